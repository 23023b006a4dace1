"""Whole episodes of a behaviour that knows the simulator's state, run where the simulator runs."""

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
    """Of each decision."""
    costs: Float[np.ndarray, " t"]
    """Of each decision."""
    terminated: Bool[np.ndarray, ""]
    """Whether the task ended it, not the horizon."""


class EpisodeOrder(NamedTuple):
    """An episode's description: it is a function of this alone."""

    seed: int
    """Of the simulator."""
    behavior: int
    """Number in `BEHAVIORS`."""
    noise: int
    """Seed of the behaviour's own randomness."""


def play(environment: Simulator, order: EpisodeOrder) -> PixelEpisode:
    """Run one episode of a task with cameras."""
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
    """Play the episode of a description, and return its arrays by name.

    In a task file's environment: `own.episodes.Request` -> `own.episodes.Rows`. In a task with cameras: `EpisodeOrder`
    -> the fields of a `PixelEpisode`.
    """
    backend = environment.backend
    if isinstance(backend, GymnasiumBackend):
        return own_episodes.play(backend, own_episodes.Request(**description), environment.task.horizon)
    return play(environment, EpisodeOrder(**description))._asdict()
