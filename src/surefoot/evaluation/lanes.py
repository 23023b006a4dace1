"""Episodes under budgets, side by side: one call of a policy a step for all lanes, each with what is left of its own
budget, on tasks in pure JAX and on simulators.

The policy's noise is a function of training seed, episode and step, and the same under every budget. So an episode's
numbers depend neither on what runs beside it nor on how often a worker dies.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from surefoot.envs.pure import PureTask
from surefoot.envs.vector import IDLE, VectorEnv
from surefoot.evaluation.outputs import check_episodes
from surefoot.numerics import pinned
from surefoot.protocols import PlansUnderBudget, ShowsPlans
from surefoot.rollouts import host, scan
from surefoot.rollouts.acting import Budgets, EpisodeSums, episode_keys
from surefoot.tasks.action_units import ActionUnits

CHUNK = 10
"""Steps of a pure-JAX task in one dispatch; progress is told between two."""
_STARTS = 24_11_2026
_ROOT = 25_11_2026
"""Of the keys: evaluations go on with rows that lie in files."""


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
    horizon, watched = lanes.totals.shape[1], np.asarray(watch, int)
    margins = np.broadcast_to(margins, lanes.totals.shape)
    found = scan.roll_out(
        algorithm, state, environment, scan.First(*_starts(environment, lanes.episode)),
        keys=episode_keys(seed, lanes.episode, root=_ROOT), num_envs=len(lanes.episode),
        chunk=min(CHUNK, horizon), budgets=Budgets(*map(jnp.float32, (lanes.totals, margins))),
        discount=algorithm.budget_discount, idle=lanes.episode == IDLE, keep=_picture, watch=watched,
        on_chunk=None if on_step is None else lambda steps, _: on_step(min(steps, horizon)),
    )  # fmt: skip
    check_episodes(found.sums.episode_return, found.sums.cost, axes="environment")
    steps = min(found.steps, horizon)
    running = np.arange(steps)[:, None] < np.asarray(found.sums.length)[watched]
    pictures = jax.tree.map(lambda values: np.swapaxes(values, 0, 1)[:steps], found.kept)
    restarts = np.zeros(len(lanes.episode), int)
    return _results(found.sums, restarts, steps, found.step_seconds, _watched(running, *pictures))


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
    units: ActionUnits | None = None,
) -> LaneResults:
    """The same on a simulator, whose number of lanes must be that of `lanes`. An episode whose worker died is begun
    again, its budget whole. `units`: of a task whose actions have rate limits."""
    watched, seen = np.asarray(watch, int), []

    def look(memory: PyTree[Any], moment: host.Moment, running: np.ndarray, longest: int) -> None:
        memory = jax.tree.map(lambda leaf: leaf[0, watched], memory)
        seen.append((running[watched], moment.observation[watched], _plans(algorithm, state, memory)))
        if on_step is not None:
            on_step(longest)

    found = host.roll_out(
        algorithm, jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], state), environment, lanes.episode[:, None],
        seeds=(seed,), root=_ROOT, discount=algorithm.budget_discount, on_step=look, units=units,
        budgets=Budgets(lanes.totals, np.broadcast_to(margins, lanes.totals.shape)),
    )  # fmt: skip
    sums, restarts = jax.tree.map(lambda values: values[:, 0], (found.sums, found.restarts))
    pictures = _watched(*jax.tree.map(lambda *parts: np.stack(parts), *seen))
    seconds = float(np.median(found.policy_seconds))
    return _results(sums, restarts, len(found.policy_seconds), seconds, pictures)


def _results(sums: EpisodeSums, restarts: Any, steps: int, step_seconds: float, watched: Watched) -> LaneResults:
    values = sums._asdict()
    del values["violating_steps"]
    return LaneResults(**values, restarts=restarts, steps=steps, step_seconds=step_seconds, watched=watched)


def _picture(algorithm: PlansUnderBudget, state: PyTree[Any], seen: scan.ScanStep) -> tuple[Any, Any]:
    """What environments see, and what they imagine."""
    return seen.observation, _plans(algorithm, state, seen.memory)


def _plans(algorithm: PlansUnderBudget, state: PyTree[Any], memory: PyTree[Any]) -> Any:
    """None where the planner shows none."""
    return algorithm.imagined(state, memory) if isinstance(algorithm, ShowsPlans) else None


def _watched(
    running: Bool[np.ndarray, "t w"],
    observations: Float[np.ndarray, "t w o"],
    plans: Float[np.ndarray, "t w h o"] | None,
) -> Watched:
    """The pictures of all steps, without what lies behind an episode's end."""
    there = running[..., None]
    shown = None if plans is None else np.where(there[..., None], plans, np.nan)
    return Watched(np.where(there, observations, np.nan), shown)


@partial(jax.jit, static_argnames="environment")
def _starts(environment: PureTask, episode: Int[Array, " n"]) -> tuple[PyTree[Any], Array]:
    return environment.reset(jax.vmap(partial(jax.random.fold_in, jax.random.key(_STARTS)))(jnp.maximum(episode, 0)))
