"""Host driver: policies of all training seeds in one `VectorEnv`, with one call a step for all of its environments.

The noise of an action does not depend on the environment that an episode runs in, on their number, or on a worker that
died so that the episode was begun again.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from surefoot.constraints.budgets import BudgetState, pay
from surefoot.envs.vector import IDLE, Step, VectorEnv
from surefoot.numerics import check_finite, enough_memory, pinned
from surefoot.protocols import Acts
from surefoot.rollouts.acting import ROOT, Budgets, EpisodeSums, act, episode_keys, remaining, step_keys
from surefoot.tasks.action_units import ActionUnits, AppliedActions
from surefoot.types import ActionBounds, PolicyInputs

FIRST_EPISODE_SEED = 1_000_000
"""Environment seed of episode 0; later episodes count up. Equal for every method and training seed."""


def episode_seed(episode: int) -> int:
    """Environment seed of an episode."""
    return FIRST_EPISODE_SEED + episode


class Moment(NamedTuple):
    """Observations and results of one step of n environments."""

    observation: np.ndarray
    """Observations before the actions."""
    action: Float[np.ndarray, "n act"]
    step: Step
    policy_seconds: float
    """Wall time of the policy's call."""
    env_seconds: float
    """Wall time of the environments' step."""


def walk(
    env: VectorEnv,
    observation: np.ndarray,
    next_seeds: Iterable[Int[np.ndarray, " n"]],
    choose: Callable[[int, np.ndarray], Float[np.ndarray, "n act"]],
) -> Iterator[Moment]:
    """Step environments once for each entry of `next_seeds`.

    Args:
        env: n environments.
        observation: Observations after the reset [n, ...].
        next_seeds: Seeds [n] of the episodes that begin if the present ones end with the step.
        choose: (number of the step, observations) -> actions [n, act].

    Yields:
        Observations, actions and results of each step.
    """
    for number, seeds in enumerate(next_seeds):
        began = time.perf_counter()
        action = choose(number, observation)
        acted = time.perf_counter()
        step = env.step(action, seeds)
        yield Moment(observation, action, step, acted - began, time.perf_counter() - acted)
        observation = np.asarray(step.start_observation)


class HostRollout(NamedTuple):
    """Results of the episodes of a queue, and timings."""

    sums: EpisodeSums
    """Sums [n, k]; zeros where the queue is empty."""
    restarts: Int[np.ndarray, "n k"]
    """Number of times that an episode was begun again because its worker died."""
    steps: int
    """Environment steps, including discarded beginnings."""
    policy_seconds: list[float]
    """Wall time of each call of the policy, compilation included."""
    env_seconds: float
    """Wall time of the environment's steps and first reset."""


OnStep = Callable[[PyTree[Any], Moment, Bool[np.ndarray, " n"], int], None]
"""(the policies' memory [seeds, envs, ...], step, running environments, largest number of steps of an episode)."""


@pinned()
def roll_out(
    algorithm: Acts, states: PyTree[Any], env: VectorEnv, queue: Int[np.ndarray, "n k"], *, seeds: Sequence[int],
    root: int = ROOT, shape: tuple[int, ...] | None = None, units: ActionUnits | None = None,
    budgets: Budgets | None = None, discount: float = 1.0,
    on_step: OnStep | None = None, on_progress: Callable[[int, int], None] | None = None,
) -> HostRollout:  # fmt: skip
    """Roll out the episodes of each environment's row of the queue in turn.

    Args:
        algorithm: Algorithm that acts.
        states: Training states with a leading axis of S seeds.
        env: n environments, an equal number for each seed in the order of `seeds`.
        queue: Numbers of episodes of each environment [n, k]; `IDLE` ends a row.
        seeds: Training seeds S.
        root: Root of all random keys.
        shape: Shape of an image that the policy reads and the environment has flat; None: vectors.
        units: Units of actions where the environment limits their rates, so that policies are told the applied actions.
        budgets: Budgets, a row for each environment; None: no limit.
        discount: Discount of costs in the budgets, per step.
        on_step: Called after every step.
        on_progress: Called with (finished episodes, all episodes).

    Returns:
        Sums of the episodes, and timings.

    Raises:
        OutputError: The policy gave an action that is not finite.
        ValueError: The environments are no multiple of the seeds.
    """
    books = _Books(queue)
    grid = len(seeds), env.num_envs // len(seeds)
    if env.num_envs % len(seeds):
        raise ValueError(f"expected a multiple of {len(seeds)} environments, found {env.num_envs}")
    seeds_array, everyone, total = np.asarray(seeds), np.arange(env.num_envs), int((queue != IDLE).sum())
    kind = np.float32 if shape is None else np.uint8
    memory = _first_memory(algorithm, states, grid[1])
    applied = None if units is None else AppliedActions(units, env.num_envs)

    def choose(_: int, observation: np.ndarray) -> np.ndarray:
        nonlocal memory
        seen = np.where(books.running[:, None], observation, kind(0)).astype(kind).reshape(*grid, *(shape or (-1,)))
        left: Any = np.full(env.num_envs, np.inf)
        if budgets is not None:
            left = remaining(budgets, books.spent, everyone, books.length)
        observed: Any = seen
        beside: Any = left.astype(np.float32), books.length.astype(np.int32), books.reward.astype(np.float32)
        inputs = PolicyInputs(observed, *(one.reshape(grid) for one in beside))
        if applied is not None:
            bounds = applied.bounds(books.length == 0)
            within = ActionBounds(*(jax.numpy.asarray(one.reshape(*grid, -1)) for one in bounds))
            inputs = inputs._replace(applied=applied.normalized.reshape(*grid, -1), within=within)
        episode = np.maximum(books.episode, 0).reshape(grid)
        with enough_memory(f"a policy's call for {env.num_envs} episodes side by side", "evaluate fewer side by side"):
            memory, actions = _act(algorithm, states, memory, inputs, seeds_array, episode, root=root)
        chosen = check_actions(np.asarray(actions).reshape(env.num_envs, -1), books.running)
        if applied is not None:
            applied.take(chosen, books.length == 0)
        return chosen

    began = time.perf_counter()
    observation = env.reset(_env_seeds(books.episode))
    env_seconds, policy_seconds = time.perf_counter() - began, []
    if on_progress is not None:
        on_progress(0, total)
    for moment in walk(env, observation, books.upcoming(), choose):
        policy_seconds.append(moment.policy_seconds)
        env_seconds += moment.env_seconds
        if on_step is not None:
            on_step(memory, moment, books.running, int((books.length + books.running).max()))
        if books.take(moment.step, discount=discount) and on_progress is not None:
            on_progress(books.done, total)
    return HostRollout(books.sums, books.restarts, books.steps, policy_seconds, env_seconds)


def check_actions(actions: Any, running: Bool[np.ndarray, " n"]) -> Float[np.ndarray, "n a"]:
    """Actions of n environments as NumPy, checked.

    Args:
        actions: Actions [n, act].
        running: Environments [n] that use their actions; idle ones are not checked.

    Returns:
        The actions.

    Raises:
        OutputError: A used action is not finite.
    """
    array = np.asarray(actions)
    used = np.where(running[:, None], array, 0.0)
    check_finite("action (environment, number)", used, "the policy cannot act on what it observes")
    return array


def _env_seeds(episode: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    return np.where(episode == IDLE, IDLE, episode_seed(0) + episode)


class _Books:
    """The running episode of each environment, its sums so far, and the sums of finished episodes."""

    def __init__(self, queue: Int[np.ndarray, "n k"]) -> None:
        count = len(queue)
        self._queue = np.pad(queue, ((0, 0), (0, 2)), constant_values=IDLE)
        self._place = np.zeros(count, int)
        self._now = EpisodeSums(*(np.zeros(count, kind) for kind in _KINDS))
        self._restarts = np.zeros(count, int)
        self.spent = BudgetState(self._now.discounted_cost, np.ones(count))
        self.sums = EpisodeSums(*(np.zeros(queue.shape, kind) for kind in _KINDS))
        self.restarts = np.zeros(queue.shape, int)
        self.reward = np.zeros(count)
        """Of the step before; 0 as an episode begins."""
        self.steps = self.done = 0

    @property
    def episode(self) -> Int[np.ndarray, " n"]:
        return self._queue[np.arange(len(self._queue)), self._place]

    @property
    def running(self) -> Bool[np.ndarray, " n"]:
        return self.episode != IDLE

    @property
    def length(self) -> Int[np.ndarray, " n"]:
        return np.asarray(self._now.length)

    def upcoming(self) -> Iterator[Int[np.ndarray, " n"]]:
        """Seeds of the next episodes, before each step, as long as any episode runs."""
        while self.running.any():
            yield _env_seeds(self._queue[np.arange(len(self._queue)), self._place + self.running])

    def take(self, step: Step, *, discount: float) -> int:
        """Add a step to the sums, and close the episodes that it ended: how many."""
        running, again = self.running, self.running & step.restarted
        counted = running & ~again
        ended = counted & (step.terminated | step.truncated)
        cost = np.where(counted, step.cost, 0.0)
        spent, weight = pay(self.spent, cost, discount=discount)
        now: Any = self._now
        self._now = now = EpisodeSums(
            now.episode_return + np.where(counted, step.reward, 0.0), now.cost + cost, np.array(spent),
            now.violating_steps + (cost > 0), now.length + counted, counted & step.terminated,
        )  # fmt: skip
        self._restarts = self._restarts + again
        places = np.flatnonzero(ended), self._place[ended]
        for kept, values in zip((*self.sums, self.restarts), (*now, self._restarts), strict=True):
            kept[places] = values[ended]
        over = ended | again
        self.reward = np.where(counted & ~over, step.reward, 0.0)
        for values in now:
            values[over] = 0
        self._restarts[ended] = 0
        self.spent = BudgetState(now.discounted_cost, np.where(over, 1.0, weight))
        self._place = self._place + ended
        self.steps += int(running.sum())
        self.done += (closed := int(ended.sum()))
        return closed


_KINDS = (float, float, float, int, int, bool)
"""Types of the fields of `EpisodeSums`."""


def _first_memory(algorithm: Acts, states: PyTree[Any], count: int) -> PyTree[Any]:
    """The policies' memory [S, L, ...] before any step."""
    return jax.vmap(lambda state: algorithm.policy(state).initial(count))(states)


@partial(jax.jit, static_argnames=("algorithm", "root"))
def _act(
    algorithm: Acts, states: PyTree[Any], memory: PyTree[Any], inputs: PolicyInputs,
    seeds: Int[Array, " s"], episode: Int[Array, "s l"], *, root: int,
) -> tuple[PyTree[Any], Float[Array, "s l a"]]:  # fmt: skip
    """Actions for one seed at a time: on a CPU faster than `vmap` over networks, as on PointRobot."""

    def one_seed(part: Any) -> tuple[PyTree[Any], Float[Array, "l a"]]:
        state, memory, inputs, seed, episode = part
        keys = step_keys(episode_keys(seed, episode, root=root), inputs.step)
        return act(algorithm.policy(state), memory, inputs, keys)

    return jax.lax.map(one_seed, (states, memory, inputs, seeds, episode))
