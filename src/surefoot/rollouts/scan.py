"""Scan driver: a policy in a task of pure JAX, with one call a step for all environments, inside `jit`.

Where an episode ends, its environment takes the next one of the queue at once, so that the computation is that of the
episodes' summed lengths. Results of an episode do not depend on the environment that runs it.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from surefoot.constraints.budgets import BudgetState, begin_budget, pay
from surefoot.envs.entered import Entered
from surefoot.envs.pure import PureTask, where_envs
from surefoot.numerics import enough_memory, pinned
from surefoot.protocols import Acts
from surefoot.rollouts.acting import Budgets, EpisodeSums, act, remaining, step_keys
from surefoot.types import Policy, PolicyInputs

Begin = Callable[[Int[Array, " n"]], tuple[PyTree[Any], Array]]
"""Numbers of episodes [n] -> their first states and observations."""
EpisodeKey = Callable[[Int[Array, " n"]], Key[Array, " n"]]
"""Numbers of episodes [n] -> their keys."""


class First(NamedTuple):
    """First states of e episodes."""

    state: PyTree[Any]
    """State records of the task, arrays [e, ...]."""
    observation: Array
    """Observations [e, ...]."""


class Running(NamedTuple):
    """n environments in the middle of their episodes."""

    state: PyTree[Any]
    observation: Array
    memory: PyTree[Any]
    """Memory of the policy after its last action."""
    episode: Int[Array, " n"]
    """Number of the episode in the queue; behind its end where the environment is idle."""
    spent: BudgetState
    reward: Float[Array, " n"]
    """Reward of the previous step; 0 as an episode begins."""
    sums: EpisodeSums
    waiting: Int[Array, ""]
    """Number of the first episode that has not begun."""


class ScanStep(NamedTuple):
    """One step of n environments, the argument of `keep`."""

    observation: Array
    """Observations before the actions."""
    memory: PyTree[Any]
    """Memory of the policy after it acted."""
    action: Float[Array, "n act"]
    entered: PyTree[Any]
    """States entered, before any reset."""
    result: Entered


class Row(NamedTuple):
    """Results of one step of n environments."""

    episode: Int[Array, " n"]
    step: Int[Array, " n"]
    playing: Bool[Array, " n"]
    ended: Bool[Array, " n"]
    """Whether the episode ends with this step."""
    sums: EpisodeSums
    """Sums of the episode up to this step."""
    kept: PyTree[Any]


Keep = Callable[[Any, PyTree[Any], ScanStep], PyTree[Any]]
"""(algorithm, state, step) -> what is kept of the step, arrays [n, ...]."""


class ScanRollout(NamedTuple):
    """Results of the episodes of a queue, in NumPy."""

    sums: EpisodeSums
    """Sums [e]; zeros for an episode that was left out."""
    kept: PyTree[Any]
    """Results of `keep` at every step, arrays [e, horizon, ...]; zeros behind an episode's end."""
    steps: int
    """Number of calls of the policy for all environments."""
    step_seconds: float
    """Median wall time in seconds of one step of policy and task, which leaves compilation out."""


@partial(jax.jit, static_argnames="task")
def first_states(task: PureTask, keys: Key[Array, " e"]) -> First:
    """First states of episodes, each a function of its key alone.

    Args:
        task: Task of pure JAX.
        keys: Keys of the episodes [e].

    Returns:
        States and observations, arrays [e, ...].
    """
    return First(*task.reset(keys))


def start(policy: Policy, first: First, episode: Int[Array, " n"]) -> Running:
    """Environments at the beginning of their episodes.

    Args:
        policy: Policy.
        first: First states of the episodes, arrays [n, ...].
        episode: Numbers of the episodes [n].

    Returns:
        The environments before their first step.
    """
    count = episode.shape[0]
    return Running(
        first.state, first.observation, policy.initial(count), episode, begin_budget(count), jnp.zeros(count),
        _nothing(count), jnp.int32(count),
    )  # fmt: skip


def advance(
    policy: Policy, task: PureTask, begin: Begin, episode_key: EpisodeKey, now: Running,
    *, count: int | None, budgets: Budgets | None = None, discount: float = 1.0,
) -> tuple[Running, ScanStep, Row]:  # fmt: skip
    """One step of all environments.

    Args:
        policy: Policy.
        task: Task of pure JAX.
        begin: First states of episodes by number.
        episode_key: Keys of episodes by number.
        now: The environments before the step.
        count: Episodes in the queue; None: no end, and environment i of n plays the episodes i, i + n, and so on.
        budgets: Budgets of the queue's episodes; None: no limit.
        discount: Discount of costs in the budgets, per step.

    Returns:
        (the environments after the step, the step for `keep`, its results).
    """
    size = now.episode.shape[0]
    playing = jnp.ones(size, bool) if count is None else now.episode < count
    step: Any = now.sums.length
    place = now.episode if count is None else jnp.minimum(now.episode, count - 1)
    left = jnp.full(size, jnp.inf) if budgets is None else remaining(budgets, now.spent, place, step)
    inputs = PolicyInputs(now.observation, left, step, now.reward)
    memory, action = act(policy, now.memory, inputs, step_keys(episode_key(place), step))
    entered, result = task.step(now.state, action)
    reward, cost = jnp.where(playing, result.reward, 0.0), jnp.where(playing, result.cost, 0.0)
    spent = where_envs(playing, pay(now.spent, cost, discount=discount), now.spent)
    sums = EpisodeSums(
        now.sums.episode_return + reward,
        now.sums.cost + cost,
        spent.spent,
        now.sums.violating_steps + (cost > 0),
        step + playing,
        playing & result.terminated,
    )
    ended = playing & (result.terminated | result.truncated)
    upcoming = now.waiting + jnp.cumsum(ended) - 1
    upcoming = now.episode + size if count is None else jnp.minimum(upcoming, count)
    episode = jnp.where(ended, upcoming, now.episode)
    held = where_envs(playing, (entered, result.observation), (now.state, now.observation))
    fresh = (*begin(episode), begin_budget(size), jnp.zeros(size), _nothing(size))
    state, observation, spent_next, reward_next, sums_next = where_envs(ended, fresh, (*held, spent, reward, sums))
    after = Running(state, observation, memory, episode, spent_next, reward_next, sums_next, now.waiting + ended.sum())
    seen = ScanStep(now.observation, memory, action, entered, result)
    return after, seen, Row(now.episode, step, playing, ended, sums, None)


def _nothing(count: int) -> EpisodeSums:
    zeros, none = jnp.zeros(count), jnp.zeros(count, jnp.int32)
    return EpisodeSums(zeros, zeros, zeros, none, none, jnp.zeros(count, bool))


@pinned()
def roll_out(
    algorithm: Acts, state: PyTree[Any], task: PureTask, first: First, *, keys: Key[Array, " e"], num_envs: int,
    chunk: int, budgets: Budgets | None = None, discount: float = 1.0, idle: Bool[np.ndarray, " e"] | None = None,
    keep: Keep | None = None, watch: Int[np.ndarray, " w"] | None = None,
    on_chunk: Callable[[int, int], None] | None = None,
) -> ScanRollout:  # fmt: skip
    """Roll out one episode from each first state.

    Args:
        algorithm: Algorithm that acts.
        state: Training state.
        task: Task of pure JAX.
        first: First states of e episodes.
        keys: Keys of the episodes [e].
        num_envs: Environments that run at once.
        chunk: Steps in a dispatch.
        budgets: Budgets of the episodes; None: no limit.
        discount: Discount of costs in the budgets, per step.
        idle: Episodes [e] that are left out; None: none.
        keep: What is kept of every step; None: nothing.
        watch: Environments [w] of which alone steps are kept, where there are as many environments as episodes; None:
            all.
        on_chunk: Called after each dispatch with (steps, finished episodes).

    Returns:
        Sums and kept results of the episodes.
    """
    count = first.observation.shape[0]
    num_envs = min(num_envs, count)
    memory = partial(enough_memory, f"a rollout of {num_envs} episodes side by side", "evaluate fewer side by side")
    watched = None if watch is None else jnp.asarray(watch)
    left_out = np.zeros(count, bool) if idle is None else idle
    with memory():
        now = _start(algorithm, state, first, jnp.asarray(np.where(left_out, count, np.arange(count))[:num_envs]))
    table, seconds = _Table(count, task.horizon, watch), []
    while bool((now.episode < count).any()):
        began = time.perf_counter()
        with memory():
            now, row = _chunk(
                algorithm, state, task, first, keys, now, budgets, watched, steps=chunk, discount=discount, keep=keep
            )
            table.add(jax.tree.map(np.asarray, row))
        seconds.append((time.perf_counter() - began) / chunk)
        if on_chunk is not None:
            on_chunk(len(seconds) * chunk, int(min(now.waiting, count) - (now.episode < count).sum()))
    return ScanRollout(table.sums, table.kept, len(seconds) * chunk, float(np.median(seconds)) if seconds else 0.0)


class _Table:
    """Rows of steps, put where their episodes lie."""

    def __init__(self, count: int, horizon: int, watch: Int[np.ndarray, " w"] | None) -> None:
        self._shape, self._watch = (count if watch is None else len(watch), horizon), watch
        nothing = jax.tree.map(np.asarray, _nothing(count))
        self.sums: EpisodeSums = jax.tree.map(np.copy, nothing)
        self.kept: PyTree[Any] = None

    def add(self, row: Any) -> None:
        """Rows [ticks, n, ...] in NumPy."""
        jax.tree.map(lambda all_sums, new: _put(all_sums, new, row.ended, row.episode), self.sums, row.sums)
        if self.kept is None:
            self.kept = jax.tree.map(lambda new: np.zeros((*self._shape, *new.shape[2:]), new.dtype), row.kept)
        episode, step, playing = row.episode, row.step, row.playing
        if self._watch is not None:
            step, playing = step[:, self._watch], playing[:, self._watch]
            episode = np.broadcast_to(np.arange(len(self._watch)), step.shape)
        jax.tree.map(lambda all_kept, new: _put(all_kept, new, playing, episode, step), self.kept, row.kept)


def _put(place: np.ndarray, values: np.ndarray, mask: np.ndarray, *index: np.ndarray) -> None:
    place[tuple(one[mask] for one in index)] = values[mask]


@partial(jax.jit, static_argnames="algorithm")
def _start(algorithm: Acts, state: PyTree[Any], first: First, episode: Int[Array, " n"]) -> Running:
    beginning = jax.tree.map(lambda leaf: leaf[: episode.shape[0]], first)
    return start(algorithm.policy(state), beginning, episode)


@partial(jax.jit, static_argnames=("algorithm", "task", "steps", "discount", "keep"))
def _chunk(
    algorithm: Acts, state: PyTree[Any], task: PureTask, first: First, keys: Key[Array, " e"], now: Running,
    budgets: Budgets | None, watch: Int[Array, " w"] | None, *, steps: int, discount: float, keep: Keep | None,
) -> tuple[Running, Row]:  # fmt: skip
    """Some steps of all environments."""
    count = first.observation.shape[0]

    def begin(episode: Int[Array, " n"]) -> tuple[PyTree[Any], Array]:
        return jax.tree.map(lambda leaf: leaf[jnp.minimum(episode, count - 1)], tuple(first))

    def one(now: Running, _: None) -> tuple[Running, Row]:
        policy = algorithm.policy(state)
        now, seen, row = advance(
            policy, task, begin, lambda episode: keys[episode], now, count=count, budgets=budgets, discount=discount
        )
        seen = seen if watch is None else jax.tree.map(lambda leaf: leaf[watch], seen)
        return now, row._replace(kept=None if keep is None else keep(algorithm, state, seen))

    return jax.lax.scan(one, now, length=steps)
