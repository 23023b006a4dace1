"""Rollouts in simulators: all training seeds in one vector environment, a record for each episode."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int, PyTree

from surefoot.envs.vector import IDLE, VectorEnv
from surefoot.protocols import Acts
from surefoot.rollouts import host
from surefoot.rollouts.acting import Budgets
from surefoot.tasks.action_units import ActionUnits

ENVS_PER_SEED = 10
"""Most environments a seed; further episodes follow in the same environments."""


class Episode(NamedTuple):
    """One finished episode."""

    seed: int
    """Training seed of the policy."""
    episode: int
    episode_return: float
    """Undiscounted, task units."""
    cost: float
    """Undiscounted sum."""
    length: int
    """Environment steps."""
    terminated: bool
    """Whether the task ended it, not the horizon."""
    restarts: int
    """How often its worker died and it was begun again."""


class Rollouts(NamedTuple):
    """Episodes, seed after seed, and the time that they took."""

    episodes: list[Episode]
    steps: int
    """Environment steps, with those of discarded beginnings."""
    policy_seconds: float
    """Wall time in the policy, compilation included."""
    simulator_seconds: float
    """Wall time of the simulator's steps and first reset."""


def envs_for(*, seeds: int, episodes: int, most_per_seed: int = ENVS_PER_SEED) -> int:
    """Number of environments for `roll_out_simulator`.

    Args:
        seeds: Training seeds.
        episodes: Episodes of each.
        most_per_seed: Most environments a seed.

    Returns:
        The number of environments.
    """
    return seeds * min(episodes, most_per_seed)


def roll_out_simulator(
    algorithm: Acts,
    states: PyTree[Any],
    env: VectorEnv,
    *,
    seeds: Sequence[int],
    episodes: int,
    shape: tuple[int, ...] | None = None,
    units: ActionUnits | None = None,
    budget: Float[np.ndarray, " t"] | None = None,
    discount: float = 1.0,
    on_progress: Callable[[int, int], None] | None = None,
    on_step: host.OnStep | None = None,
) -> Rollouts:
    """Roll out episodes of every seed in simulators.

    Args:
        algorithm: The policies' algorithm.
        states: States with a leading seed axis in the order of `seeds`.
        env: Environments, a multiple of the number of seeds.
        seeds: Training seeds.
        episodes: Episodes of each seed.
        shape: Shape of an observation, for a policy on images, which the environment returns flat.
        units: Units of actions with rate limits, or None.
        budget: Budget that the policy is given, as known at each step of the horizon, [t].
        discount: Discount of the budget, per environment step.
        on_progress: Called with (episodes done, episodes in all).
        on_step: Called after every step.

    Returns:
        The episodes and times.
    """
    budgets = None
    if budget is not None:
        totals = np.tile(budget, (env.num_envs, 1))
        budgets = Budgets(totals, np.zeros_like(totals))
    queue = _queue(env.num_envs // len(seeds), episodes)
    found = host.roll_out(
        algorithm, states, env, np.tile(queue, (len(seeds), 1)), seeds=seeds, shape=shape, units=units,
        budgets=budgets, discount=discount, on_progress=on_progress, on_step=on_step,
    )  # fmt: skip
    return Rollouts(_episodes(found, queue, seeds), found.steps, sum(found.policy_seconds), found.env_seconds)


def roll_out_alone(
    algorithm: Acts,
    state: PyTree[Any],
    env: VectorEnv,
    *,
    seed: int,
    episode: int,
    shape: tuple[int, ...] | None = None,
    units: ActionUnits | None = None,
) -> Episode:
    """Repeat one episode of `roll_out_simulator`.

    It runs among as many environments as its seed had, the others idle: matrix products round by their number of rows,
    and an episode can depend on the last bit.

    Args:
        algorithm: The policy's algorithm.
        state: Training state of the seed.
        env: Environments, as many as the seed had.
        seed: Training seed.
        episode: Number of the episode.
        shape: Shape of an observation, for a policy on images.
        units: Units of actions with rate limits, or None.

    Returns:
        The episode.
    """
    queue = np.full((env.num_envs, 1), IDLE)
    queue[episode % env.num_envs] = episode
    states = jax.tree.map(lambda leaf: leaf[None], state)
    found = host.roll_out(algorithm, states, env, queue, seeds=(seed,), shape=shape, units=units)
    return _episodes(found, queue, (seed,))[0]


def _queue(envs: int, episodes: int) -> Int[np.ndarray, "envs k"]:
    """Environment l of a seed runs episodes l, l + envs, and so on: the one that follows is known before the step that
    may end the present one."""
    numbers = np.arange(-(-episodes // envs) * envs).reshape(-1, envs).T
    return np.where(numbers < episodes, numbers, IDLE)


def _episodes(found: host.HostRollout, queue: Int[np.ndarray, "envs k"], seeds: Sequence[int]) -> list[Episode]:
    sums, envs = found.sums, len(queue)
    places = sorted((int(queue[place]), place) for place in zip(*np.nonzero(queue != IDLE), strict=True))
    return [
        Episode(
            seed=int(seed),
            episode=episode,
            episode_return=float(sums.episode_return[number * envs + env, k]),
            cost=float(sums.cost[number * envs + env, k]),
            length=int(sums.length[number * envs + env, k]),
            terminated=bool(sums.terminated[number * envs + env, k]),
            restarts=int(found.restarts[number * envs + env, k]),
        )
        for number, seed in enumerate(seeds)
        for episode, (env, k) in places
    ]
