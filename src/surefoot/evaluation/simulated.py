"""Rollouts on simulators: all training seeds in the lanes of one vector environment, one policy call a step.

An episode's noise is a function of training seed, episode and step. So its numbers do not depend on which lane it runs
in, how many lanes and worker processes there are, or whether a worker died and it was begun again.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from surefoot.envs.vector import Step, VectorEnv
from surefoot.evaluation.outputs import check_actions
from surefoot.numerics import enough_memory, pinned
from surefoot.types import PolicyInputs

LANES_PER_SEED = 10
"""At most; episodes beyond follow in the same lanes."""
FIRST_EPISODE_SEED = 1_000_000
"""The simulator's seed of episode 0; later ones count up. The same for every method and training seed."""
_IDLE = -1
_SEED = 23_11_2023


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
    """The episodes, seed after seed, and where the time went."""

    episodes: list[Episode]
    steps: int
    """Environment steps, those of discarded beginnings included."""
    policy_seconds: float
    """Wall time in the policy, compilation included."""
    simulator_seconds: float
    """Wall time of the simulator's steps and resets."""


def lanes_for(*, seeds: int, episodes: int, most_per_seed: int = LANES_PER_SEED) -> int:
    """Lanes that `roll_out_simulator` wants of its environment."""
    return seeds * min(episodes, most_per_seed)


def episode_seed(episode: int) -> int:
    """The simulator's seed of an episode."""
    return FIRST_EPISODE_SEED + episode


@pinned()
def roll_out_simulator(
    algorithm: Any,
    states: PyTree[Any],
    environment: VectorEnv,
    *,
    seeds: Sequence[int],
    episodes: int,
    shape: tuple[int, ...] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Rollouts:
    """`episodes` of every seed. `states` has a leading seed axis in the order of `seeds`, `environment` has a multiple
    of their number of lanes. `shape`: of an observation, where the policy reads images, which the environment has flat.
    `on_progress(done, total)` counts episodes."""
    bookkeeping = _Bookkeeping(seeds, episodes, environment.num_envs)
    policy_seconds, began = 0.0, time.perf_counter()
    observation = environment.reset(bookkeeping.simulator_seeds(bookkeeping.episode))
    simulator_seconds = time.perf_counter() - began
    memory = _first_memory(algorithm, states, bookkeeping.lanes)
    if on_progress is not None:
        on_progress(0, bookkeeping.total)
    while bookkeeping.running.any():
        began = time.perf_counter()
        seen = bookkeeping.shaped(observation, shape)
        with enough_memory(
            f"a policy's call for {environment.num_envs} episodes side by side", "evaluate fewer episodes"
        ):
            memory, actions = _act(algorithm, states, memory, seen, *bookkeeping.places())
        actions = check_actions(np.asarray(actions).reshape(environment.num_envs, -1), bookkeeping.running)
        policy_seconds += (acted := time.perf_counter()) - began
        step = environment.step(actions, bookkeeping.simulator_seeds(bookkeeping.upcoming))
        simulator_seconds += time.perf_counter() - acted
        observation = np.asarray(step.start_observation)
        done = bookkeeping.done
        bookkeeping.take(step)
        if on_progress is not None and bookkeeping.done > done:
            on_progress(bookkeeping.done, bookkeeping.total)
    finished = sorted(bookkeeping.finished, key=lambda one: (seeds.index(one.seed), one.episode))
    return Rollouts(finished, bookkeeping.steps, policy_seconds, simulator_seconds)


@pinned()
def act_once(
    algorithm: Any, state: PyTree[Any], memory: PyTree[Any], observation: Float[np.ndarray, " o"],
    *, seed: int, episode: int, step: int, lanes: int = 1,
) -> tuple[PyTree[Any], Float[np.ndarray, " a"]]:  # fmt: skip
    """What `roll_out_simulator` does in one lane, for one state without seed axis: repeats an episode, for pictures.

    `memory` is None at the episode's first step, then what came back. `lanes`: that a seed had; products of matrices
    round by their number of rows, and an episode can hang on the last bit.
    """
    states = jax.tree.map(lambda leaf: leaf[None], state)
    memory = _first_memory(algorithm, states, lanes) if step == 0 else memory
    grid = (1, lanes)
    seen = np.broadcast_to(observation, (*grid, *np.shape(observation)))
    memory, actions = _act(
        algorithm, states, memory, seen, np.array([seed]), np.full(grid, episode), np.full(grid, step)
    )
    lane = episode % lanes
    return memory, check_actions(np.asarray(actions)[0, lane : lane + 1], np.ones(1, bool))[0]


class _Bookkeeping:
    """Which episode each lane runs, and its sums so far. Lane l of a seed runs episodes l, l + lanes, and so on, so
    that the one that follows is known before the step that may end the present one."""

    def __init__(self, seeds: Sequence[int], episodes: int, count: int) -> None:
        if count % len(seeds):
            raise ValueError(f"expected a multiple of {len(seeds)} lanes, found {count}")
        self.seeds = np.asarray(seeds)
        self.lanes = count // len(seeds)
        self.episodes = episodes
        self.total = episodes * len(seeds)
        self.episode = self._or_idle(np.tile(np.arange(self.lanes), len(seeds)))
        self.returns, self.costs = np.zeros(count), np.zeros(count)
        self.lengths, self.restarts = np.zeros(count, int), np.zeros(count, int)
        self.finished: list[Episode] = []
        self.steps = 0

    @property
    def running(self) -> Bool[np.ndarray, " n"]:
        return self.episode != _IDLE

    @property
    def upcoming(self) -> Int[np.ndarray, " n"]:
        """The episode after the present one, -1 where there is none."""
        return np.where(self.running, self._or_idle(self.episode + self.lanes), _IDLE)

    @property
    def done(self) -> int:
        return len(self.finished)

    def simulator_seeds(self, episode: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        return np.where(episode == _IDLE, _IDLE, episode_seed(0) + episode)

    def shaped(self, observation: np.ndarray, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Lanes by seed [s, l, o], float32, or images of `shape`, uint8; idle lanes hold zeros."""
        kind = np.float32 if shape is None else np.uint8
        kept = np.where(self.running[:, None], observation, kind(0)).astype(kind)
        return kept.reshape(len(self.seeds), self.lanes, *(shape or (-1,)))

    def places(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Seeds [S], episodes and steps [S, L], of which the policy's noise is a function."""
        grid = (len(self.seeds), self.lanes)
        return self.seeds, np.maximum(self.episode, 0).reshape(grid), self.lengths.reshape(grid)

    def take(self, step: Step) -> None:
        """Add a step to the sums, and close the episodes that it ended."""
        running, again = self.running, self.running & step.restarted
        counted = running & ~again
        self.steps += int(running.sum())
        self.returns += np.where(counted, step.reward, 0.0)
        self.costs += np.where(counted, step.cost, 0.0)
        self.lengths += counted
        self.restarts += again
        ended = counted & (step.terminated | step.truncated)
        for lane in np.flatnonzero(ended):
            self.finished.append(
                Episode(
                    seed=int(self.seeds[lane // self.lanes]),
                    episode=int(self.episode[lane]),
                    episode_return=float(self.returns[lane]),
                    cost=float(self.costs[lane]),
                    length=int(self.lengths[lane]),
                    terminated=bool(step.terminated[lane]),
                    restarts=int(self.restarts[lane]),
                )
            )
        self.episode = np.where(ended, self.upcoming, self.episode)
        for sums in (self.returns, self.costs, self.lengths):
            sums[ended | again] = 0
        self.restarts[ended] = 0

    def _or_idle(self, episode: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        return np.where(episode < self.episodes, episode, _IDLE)


def _first_memory(algorithm: Any, states: PyTree[Any], lanes: int) -> PyTree[Any]:
    """The policies' memory [S, L, 1, ...] before any step."""
    return jax.vmap(lambda state: jax.vmap(lambda _: algorithm.policy(state).initial(1))(jnp.arange(lanes)))(states)


@partial(jax.jit, static_argnames="algorithm")
def _act(
    algorithm: Any, states: PyTree[Any], memory: PyTree[Any], observation: Array,
    seeds: Int[Array, " s"], episode: Int[Array, "s l"], step: Int[Array, "s l"],
) -> tuple[PyTree[Any], Float[Array, "s l a"]]:  # fmt: skip
    """One seed after the other: on a CPU faster than `vmap` over networks, as on PointRobot."""

    def one_seed(part: Any) -> tuple[PyTree[Any], Float[Array, "l a"]]:
        state, memory, observation, seed, episode, step = part
        policy = algorithm.policy(state)
        key = jax.random.fold_in(jax.random.key(_SEED), seed)

        def one_lane(memory: Any, observation: Array, episode: Array, step: Array) -> tuple[Any, Array]:
            fresh = jax.tree.map(lambda first, now: jnp.where(step == 0, first, now), policy.initial(1), memory)
            lane_key = jax.random.fold_in(jax.random.fold_in(key, episode), step)
            memory, action = policy.act(fresh, PolicyInputs(observation[None]), lane_key)
            return memory, action[0]

        return jax.vmap(one_lane)(memory, observation, episode, step)

    return jax.lax.map(one_seed, (states, memory, observation, seeds, episode, step))
