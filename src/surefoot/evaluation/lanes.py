"""Episodes under budgets, side by side: one call of a policy a step for all lanes, each with what is left of its own
budget, on tasks in pure JAX and on simulators.

The policy's noise is a function of training seed, episode and step, and the same under every budget. So an episode's
numbers depend neither on what runs beside it nor on how often a worker dies.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from surefoot.constraints.budgets import BudgetState, begin_budget, pay, remaining_budget
from surefoot.envs.pure import PureTask, where_envs
from surefoot.envs.vector import VectorEnv
from surefoot.evaluation.outputs import check_episodes
from surefoot.numerics import enough_memory, pinned
from surefoot.protocols import PlansUnderBudget, ShowsPlans
from surefoot.rollouts import host
from surefoot.rollouts.acting import Budgets
from surefoot.types import PolicyInputs

CHUNK = 10
"""Steps of a pure-JAX task in one dispatch; progress is told between two."""
_IDLE = -1
_STARTS, _NOISE = 24_11_2026, 25_11_2026


class Lanes(NamedTuple):
    """The episodes of one block, one a lane."""

    episode: Int[np.ndarray, " n"]
    """Numbers of the episodes: equal ones start alike; -1 is an idle lane."""
    totals: Float[np.ndarray, "n t"]
    """b_0 in the planner's units, as known at each step of the horizon."""


class Watched(NamedTuple):
    """What some lanes saw and imagined."""

    observations: Float[np.ndarray, "t w o"]
    """Before each step; NaN behind an episode's end."""
    plans: Float[np.ndarray, "t w h o"] | None
    """The observations that the planner expected at each step, NaN as above; None where it shows none."""

    def of(self, count: int) -> "Watched":
        """The first lanes."""
        return Watched(self.observations[:, :count], None if self.plans is None else self.plans[:, :count])


class LaneResults(NamedTuple):
    """What came of a block of lanes."""

    episode_return: Float[np.ndarray, " n"]
    cost: Float[np.ndarray, " n"]
    """Undiscounted."""
    discounted_cost: Float[np.ndarray, " n"]
    """By the planner's discount."""
    length: Int[np.ndarray, " n"]
    terminated: Bool[np.ndarray, " n"]
    restarts: Int[np.ndarray, " n"]
    """How often a simulator's worker died and the episode was begun again."""
    steps: int
    """Calls of the policy for all lanes."""
    step_seconds: float
    """Wall time of one of those calls (on pure-JAX tasks with the task's step): the median, so that the first, which
    compiles, does not count."""
    watched: Watched


class _Running(NamedTuple):
    """Lanes in the middle of their episodes."""

    environment: Any
    observation: Float[Array, "n o"]
    memory: PyTree[Any]
    budget: BudgetState
    returns: Float[Array, " n"]
    costs: Float[Array, " n"]
    length: Int[Array, " n"]
    running: Bool[Array, " n"]
    terminated: Bool[Array, " n"]


OnStep = Callable[[int], None]


@pinned()
def roll_out_pure(
    algorithm: PlansUnderBudget,
    state: PyTree[Any],
    environment: PureTask,
    lanes: Lanes,
    *,
    seed: int,
    margins: Float[np.ndarray, "#n t"] | Float[np.ndarray, " t"],
    watch: Sequence[int] = (),
    on_step: OnStep | None = None,
) -> LaneResults:
    """A block of lanes on a task in pure JAX. `state` is that of training seed `seed`, without seed axis; `margins` are
    taken off what is left before the policy sees it. `on_step(steps)` is told of steps done; lanes in `watch` are shown
    in the results."""
    horizon = lanes.totals.shape[1]
    chunk = min(CHUNK, horizon)
    episode, totals = jnp.asarray(lanes.episode, jnp.int32), jnp.asarray(lanes.totals, jnp.float32)
    # The horizon in whole chunks: lanes have ended by then, and what the last one adds is cut off again.
    padding = -horizon % chunk
    totals = jnp.pad(totals, ((0, 0), (0, padding)), mode="edge")
    offsets = jnp.pad(
        jnp.asarray(np.broadcast_to(margins, lanes.totals.shape), jnp.float32), ((0, 0), (0, padding)), mode="edge"
    )
    watched = jnp.asarray(np.asarray(watch, int))
    keys = _episode_keys(seed, lanes.episode)
    memory = partial(enough_memory, f"a block of {len(episode)} episodes side by side", "evaluate fewer side by side")
    with memory():
        now = _begin(algorithm, environment, state, episode)
    seen, seconds, done = [], [], 0
    while done < horizon and bool(now.running.any()):
        began = time.perf_counter()
        with memory():
            now, records = _steps(
                algorithm, environment, state, now, totals, offsets, watched, keys, np.int32(done), count=chunk,
                horizon=horizon,
            )  # fmt: skip
            seen.append(jax.tree.map(np.asarray, records))
        seconds.append((time.perf_counter() - began) / chunk)
        done = min(done + chunk, horizon)
        if on_step is not None:
            on_step(done)
    check_episodes(now.returns, now.costs, axes="environment")
    kept = jax.tree.map(lambda *parts: np.concatenate(parts)[:done], *seen)
    return LaneResults(
        episode_return=np.asarray(now.returns),
        cost=np.asarray(now.costs),
        discounted_cost=np.asarray(now.budget.spent),
        length=np.asarray(now.length),
        terminated=np.asarray(now.terminated),
        restarts=np.zeros(len(episode), int),
        steps=done,
        step_seconds=float(np.median(seconds)) if seconds else 0.0,
        watched=_watched(*kept),
    )


@pinned()
def roll_out_vector(
    algorithm: PlansUnderBudget,
    state: PyTree[Any],
    environment: VectorEnv,
    lanes: Lanes,
    *,
    seed: int,
    margins: Float[np.ndarray, "#n t"] | Float[np.ndarray, " t"],
    watch: Sequence[int] = (),
    on_step: OnStep | None = None,
) -> LaneResults:
    """The same on a simulator, whose number of lanes must be that of `lanes`. An episode whose worker died is begun
    again, its budget whole."""
    watched, seen = np.asarray(watch, int), []

    def look(memory: PyTree[Any], moment: host.Moment, running: np.ndarray, longest: int) -> None:
        memory = jax.tree.map(lambda leaf: leaf[0, watched], memory)
        plans = algorithm.imagined(state, memory) if isinstance(algorithm, ShowsPlans) else None
        seen.append((running[watched], moment.observation[watched], plans))
        if on_step is not None:
            on_step(longest)

    found = host.roll_out(
        algorithm, jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], state), environment, lanes.episode[:, None],
        seeds=(seed,), key=jax.random.key(_NOISE), discount=algorithm.budget_discount, on_step=look,
        budgets=Budgets(lanes.totals, np.broadcast_to(margins, lanes.totals.shape)),
    )  # fmt: skip
    sums, restarts = jax.tree.map(lambda values: values[:, 0], (found.sums, found.restarts))
    pictures = _watched(*jax.tree.map(lambda *parts: np.stack(parts), *seen))
    seconds = float(np.median(found.policy_seconds))
    values = sums._asdict()
    del values["violating_steps"]
    return LaneResults(
        **values, restarts=restarts, steps=len(found.policy_seconds), step_seconds=seconds, watched=pictures
    )


def _picture(
    algorithm: PlansUnderBudget, state: Any, memory: PyTree[Any], observation: Any, running: Any, watch: Any
) -> tuple[Any, Any, Any]:
    """Whether the watched lanes run, what they see, and what they imagine."""
    plans = None
    if isinstance(algorithm, ShowsPlans):
        plans = algorithm.imagined(state, jax.tree.map(lambda leaf: leaf[watch], memory))
    return running[watch], observation[watch], plans


def _watched(
    running: Bool[np.ndarray, "t w"],
    observations: Float[np.ndarray, "t w o"],
    plans: Float[np.ndarray, "t w h o"] | None,
) -> Watched:
    """The pictures of all steps, without what lies behind an episode's end."""
    there = running[..., None]
    shown = None if plans is None else np.where(there[..., None], plans, np.nan)
    return Watched(np.where(there, observations, np.nan), shown)


@partial(jax.jit, static_argnames=("algorithm", "environment"))
def _begin(algorithm: PlansUnderBudget, environment: PureTask, state: Any, episode: Int[Array, " n"]) -> _Running:
    count = len(episode)
    keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(_STARTS)))(jnp.maximum(episode, 0))
    first, observation = environment.reset(keys)
    zeros, falses = jnp.zeros(count), jnp.zeros(count, bool)
    return _Running(
        first, observation, algorithm.policy(state).initial(count), begin_budget(count), zeros, zeros,
        jnp.zeros(count, jnp.int32), episode != _IDLE, falses,
    )  # fmt: skip


@partial(jax.jit, static_argnames=("algorithm", "environment", "count", "horizon"))
def _steps(
    algorithm: PlansUnderBudget, environment: PureTask, state: Any, now: _Running,
    totals: Float[Array, "n t"], margins: Float[Array, "n t"], watch: Int[Array, " w"], keys: Key[Array, " n"],
    first: Int[Array, ""], *, count: int, horizon: int,
) -> tuple[_Running, Any]:  # fmt: skip
    """`count` steps of all lanes from step `first` on."""

    def one(now: _Running, index: Array) -> tuple[_Running, Any]:
        left = remaining_budget(now.budget, totals[:, index]) - margins[:, index]
        memory, action = _act_lanes(algorithm, state, now.memory, now.observation, left, now.length, keys)
        picture = _picture(algorithm, state, memory, now.observation, now.running & (index < horizon), watch)
        entered, result = environment.step(now.environment, action)
        running = now.running & (index < horizon)
        cost = jnp.where(running, result.cost, 0.0)
        ended = result.terminated | result.truncated
        hold = partial(where_envs, running)
        after = _Running(
            environment=hold(entered, now.environment),
            observation=hold(result.observation, now.observation),
            memory=memory,
            budget=hold(pay(now.budget, cost, discount=algorithm.budget_discount), now.budget),
            returns=now.returns + jnp.where(running, result.reward, 0.0),
            costs=now.costs + cost,
            length=now.length + running,
            running=running & ~ended,
            terminated=now.terminated | (running & result.terminated),
        )
        return after, picture

    return jax.lax.scan(one, now, first + jnp.arange(count))


def _episode_keys(seed: int, episode: Int[np.ndarray, " n"]) -> Key[Array, " n"]:
    key = jax.random.fold_in(jax.random.key(_NOISE), seed)
    return jax.vmap(partial(jax.random.fold_in, key))(np.maximum(episode, 0))


def _act_lanes(
    algorithm: PlansUnderBudget, state: Any, memory: PyTree[Any], observation: Float[Array, "n o"], left: Any,
    step: Int[Array, " n"], keys: Key[Array, " n"],
) -> tuple[PyTree[Any], Float[Array, "n a"]]:  # fmt: skip
    """One call for all lanes, each with noise of its own episode's `keys` and step; where an episode begins (again),
    from a memory of nothing."""
    policy = algorithm.policy(state)
    memory = where_envs(step == 0, policy.initial(observation.shape[0]), memory)
    return policy.act(memory, PolicyInputs(observation, left, step), jax.vmap(jax.random.fold_in)(keys, step))
