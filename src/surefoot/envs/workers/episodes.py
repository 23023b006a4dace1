"""Whole episodes of a behavior that knows the simulator's state, run in the simulator's process."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from surefoot.envs.own import episodes as own_episodes
from surefoot.envs.own.backend import GymnasiumBackend
from surefoot.envs.simulators.adapter import Simulator
from surefoot.envs.simulators.scripted_policies import BEHAVIORS, ScriptedPolicy
from surefoot.envs.simulators.vision import VisionBackend


class PixelEpisode(NamedTuple):
    """An episode of T decisions."""

    observations: UInt8[np.ndarray, "frames size size channels"]
    """T + 1 images."""
    actions: Float[np.ndarray, "t act"]
    rewards: Float[np.ndarray, " t"]
    """Reward of each decision."""
    costs: Float[np.ndarray, " t"]
    """Cost of each decision."""
    terminated: Bool[np.ndarray, ""]
    """Whether the task ended it, not the horizon."""


class EpisodeOrder(NamedTuple):
    """Description of an episode, which depends on nothing else."""

    seed: int
    """Seed of the simulator."""
    behavior: int
    """Number in `BEHAVIORS`."""
    noise: int
    """Seed of the behavior's own randomness."""


def play(environment: Simulator, order: EpisodeOrder) -> PixelEpisode:
    """Play one episode of a task with cameras.

    Args:
        environment: The task in its simulator.
        order: Description of the episode.

    Returns:
        The episode.
    """
    backend, vision = environment.backend, environment.task.vision
    assert isinstance(backend, VisionBackend)
    assert vision is not None
    scripted_policy = ScriptedPolicy(vision, BEHAVIORS[order.behavior], np.random.default_rng(order.noise))
    images: list[np.ndarray] = [environment.reset(seed=order.seed)[0]]
    actions: list[np.ndarray] = []
    rewards: list[float] = []
    costs: list[float] = []
    terminated = truncated = False
    while not (terminated or truncated):
        action = scripted_policy.act(backend.privileged_state()).astype(np.float32)
        image, reward, terminated, truncated, info = environment.step(action)
        images.append(image)
        actions.append(action)
        rewards.append(reward)
        costs.append(info["cost"])
    single = np.float32
    return PixelEpisode(
        np.stack(images), np.asarray(actions), np.asarray(rewards, single), np.asarray(costs, single),
        np.asarray(terminated),
    )  # fmt: skip


def arrays_of_episode(environment: Simulator, description: dict[str, Any]) -> dict[str, np.ndarray]:
    """Play the described episode.

    In a task file's environment: `own.episodes.Request` -> `own.episodes.Rows`. In a task with cameras: `EpisodeOrder`
    -> the fields of a `PixelEpisode`.

    Args:
        environment: The task in its simulator.
        description: Fields of the description.

    Returns:
        Arrays by name.
    """
    backend = environment.backend
    if isinstance(backend, GymnasiumBackend):
        return own_episodes.play(backend, own_episodes.Request(**description), environment.task.horizon)
    return play(environment, EpisodeOrder(**description))._asdict()
