"""Episodes under budgets, side by side: one call of the policy a step for all environments, each with its own budget.

The policy's noise is a function of training seed, episode and step, equal under every budget. So an episode's numbers
depend neither on what runs beside it nor on how often a worker dies.
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
"""Steps of a pure-JAX task in one dispatch; progress is reported between dispatches."""
_STARTS = 24_11_2026
_ROOT = 25_11_2026
"""Of the keys: evaluations go on with rows that lie in files."""


class Lanes(NamedTuple):
    """The episodes of one block, one an environment."""

    episode: Int[np.ndarray, " n"]
    """Numbers of the episodes: equal ones start alike; -1 is an idle environment."""
    totals: Float[np.ndarray, "n t"]
    """Budgets in the planner's units, as known at each step of the horizon."""


class Watched(NamedTuple):
    """Observations and plans of some environments."""

    observations: Float[np.ndarray, "t w o"]
    """Observation before each step; NaN after an episode's end."""
    plans: Float[np.ndarray, "t w h o"] | None
    """Observations that the planner expected at each step, NaN after the end; None where it shows none."""

    def of(self, count: int) -> "Watched":
        """Observations and plans of the first `count` environments."""
        return Watched(self.observations[:, :count], None if self.plans is None else self.plans[:, :count])


class LaneResults(NamedTuple):
    """Results of a block of environments."""

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
    """Calls of the policy."""
    step_seconds: float
    """Wall time of a call, with the environment's step on pure-JAX tasks: the median, so that compilation does not
    count."""
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
    """Roll out a block of environments on a task in pure JAX.

    Args:
        algorithm: Planner under budgets.
        state: Training state of one seed.
        environment: The task.
        lanes: Episodes and budgets.
        seed: Training seed.
        margins: Subtracted from what is left before the policy sees it, [n, t] or [t].
        watch: Environments whose observations and plans are kept.
        on_step: Called with the number of steps done.

    Returns:
        Results of n environments.

    Raises:
        OutputError: An action is not finite.
    """
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
    """Roll out a block of environments on a simulator; an episode whose worker died is begun again with its whole
    budget.

    Args:
        algorithm: Planner under budgets.
        state: Training state of one seed.
        environment: As many simulators as `lanes` has.
        lanes: Episodes and budgets.
        seed: Training seed.
        margins: Subtracted from what is left before the policy sees it, [n, t] or [t].
        watch: Environments whose observations and plans are kept.
        on_step: Called with the number of steps done.
        units: Units of actions with rate limits, or None.

    Returns:
        Results of n environments.
    """
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
