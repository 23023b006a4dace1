"""Collection of medium-replay data: SAC trains, and the file is its replay buffer.

A checkpoint holds learner and buffer after every part. On a pure-JAX task it also holds the environments; simulators
begin each part anew. Every random number is a function of the seed and the number of the round, so a killed collection
goes on to the bit.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge
from jaxtyping import Array, Key

from surefoot.checkpoint import as_json, versions
from surefoot.collection import replay, sac
from surefoot.collection.card import ORIGIN, coverage
from surefoot.collection.clock import NO_TIME, Clock, Times, times
from surefoot.collection.collection import Opener, Progress
from surefoot.collection.episodes import Columns, EpisodeCutter, columns_dataset, join
from surefoot.collection.replay import Collected, PureState, Rows
from surefoot.collection.replay_recipes import ReplayRecipe
from surefoot.collection.store import Store
from surefoot.data import Dataset
from surefoot.envs.pure import pure_task_of
from surefoot.envs.simulators.install import simulator_versions
from surefoot.envs.vector import Step, VectorEnv
from surefoot.errors import DataError, DivergenceError, option
from surefoot.interrupts import Interruption, deferred_interrupts
from surefoot.numerics import pinned
from surefoot.ranges import SEED, Range, Ranged
from surefoot.rollouts.host import walk
from surefoot.tasks import Task

RECIPE = "medium-replay: SAC from scratch, costs ignored, its whole replay buffer; actions in [-1, 1] as executed"
_LAST_SHARE = 10
"""The last tenth of the episodes shows in the card what the learner reached in the end."""
_TOLD_EVERY = 50
"""Rounds of a simulator between two reports of progress."""


@dataclass(frozen=True)
class ReplayCollection(Ranged):
    """A collection of medium-replay data."""

    task: Task
    recipe: ReplayRecipe
    seed: Annotated[int, Range(SEED)]
    """Seed of all randomness: learner, actions, starts of episodes."""
    store: Store

    @property
    def identity(self) -> dict[str, Any]:
        """Values that must stay equal for a collection to be resumed."""
        return as_json({"task": self.task.name, "seed": self.seed, "recipe": asdict(self.recipe)})


class _State(NamedTuple):
    """What a checkpoint holds."""

    collected: Collected
    lanes: PureState | None
    """Of a pure-JAX task."""


Report = Callable[[int], None]
"""Called with the rounds done."""


@pinned()
def collect_replay(
    collection: ReplayCollection,
    open_simulators: Opener | None = None,
    *,
    on_progress: Callable[[Progress], None] | None = None,
) -> tuple[Dataset, dict[str, Any]]:
    """Train SAC and keep its replay buffer; resumes what the store holds.

    The first Ctrl-C, SIGTERM or SIGHUP raises `KeyboardInterrupt`: on a pure-JAX task after the current part, on a
    simulator at once, where the part is lost. The caller removes the store.

    Args:
        collection: Task, recipe, seed and store.
        open_simulators: Opens the recipe's simulators; None for a pure-JAX task.
        on_progress: Called as rounds are done.

    Returns:
        (the buffer's whole episodes, data card).

    Raises:
        ConfigError: The store holds another collection.
        DataError: The disk is full, or no episode is whole.
        DivergenceError: The learner is not finite.
    """
    recipe, store = collection.recipe, collection.store

    def report(rounds: int) -> None:
        if on_progress is not None:
            on_progress(Progress(rounds * recipe.lanes, recipe.rounds * recipe.lanes, "SAC"))

    template = _first(collection, on_simulator=open_simulators is not None)
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(template))
    with store.opened(collection.identity, reserve=size), deferred_interrupts() as interrupted:
        if open_simulators is None:
            state, metadata = _train(collection, template, partial(_pure_part, collection, report), interrupted)
        else:
            with open_simulators() as simulators:
                part = partial(_simulated_part, collection, simulators, report, interrupted)
                state, metadata = _train(collection, template, part)
        report(recipe.rounds)
    dataset = _dataset(collection, state.collected.buffer, on_simulator=open_simulators is not None)
    return dataset, _card(collection, dataset, metadata)


def parts(recipe: ReplayRecipe) -> list[tuple[int, int]]:
    """(first round, round after the last) of every part; the warm-up is a part of its own."""
    starts = [0, *range(recipe.warm_up_rounds, recipe.rounds, recipe.part), recipe.rounds]
    return [(first, after) for first, after in itertools.pairwise(starts) if first < after]


def _first(collection: ReplayCollection, *, on_simulator: bool) -> _State:
    task, recipe = collection.task, collection.recipe
    k_learner, k_lanes = jax.random.split(jax.random.fold_in(jax.random.key(collection.seed), recipe.rounds))
    learner = _INIT(recipe.learner, task.observation_dim, task.action_dim, k_learner)
    buffer = replay.empty(recipe.rounds, recipe.lanes, task.observation_dim, task.action_dim)
    collected = Collected(learner, buffer, jnp.int32(0))
    return _State(
        collected, None if on_simulator else replay.begin_pure(pure_task_of(task), k_lanes, lanes=recipe.lanes)
    )


_INIT = jax.jit(sac.init, static_argnums=(0, 1, 2))
_ACT = jax.jit(sac.act)
_RANDOM = jax.jit(replay.random_actions, static_argnums=(0, 1))


@partial(jax.jit, static_argnames="count")
def _keys(seed: Array, first: Array, *, count: int) -> Key[Array, " count"]:
    """A key for each round from `first` on."""
    return jax.vmap(partial(jax.random.fold_in, jax.random.key(seed)))(first + jnp.arange(count))


# --- training --------------------------------------------------------------------------------------------------------


class _Metadata(Times):
    rounds: Annotated[int, Ge(0)]


def _train(
    collection: ReplayCollection,
    template: _State,
    part: Callable[[_State, int, int], tuple[_State, dict[str, Any]]],
    interrupted: Interruption | None = None,
) -> tuple[_State, dict[str, Any]]:
    """All parts that are not done yet; `interrupted` is asked after each."""
    state, metadata = collection.store.load_learner(template, _Metadata) or (template, {"rounds": 0, **NO_TIME})
    clock = Clock(metadata)
    for first, after in parts(collection.recipe):
        if first < metadata["rounds"]:
            continue
        state, metrics = part(state, first, after)
        metadata = _keep(collection, state, metrics, after, clock)
        if interrupted is not None and interrupted():
            raise interrupted.error()
    return state, metadata


def _pure_part(
    collection: ReplayCollection, report: Report, state: _State, first: int, after: int
) -> tuple[_State, dict[str, Any]]:
    """Rounds `first` to `after` of a pure-JAX task in one dispatch."""
    recipe = collection.recipe
    assert state.lanes is not None
    report(first)
    keys = _keys(jnp.int32(collection.seed), jnp.int32(first), count=after - first)
    updates, task = 0 if after <= recipe.warm_up_rounds else recipe.updates, pure_task_of(collection.task)
    collected, lanes, metrics = replay.run_pure(
        recipe.learner, task, state.collected, state.lanes, keys, updates=updates, gain=recipe.action_gain
    )
    return _State(collected, lanes), metrics


def _simulated_part(
    collection: ReplayCollection,
    simulators: VectorEnv,
    report: Report,
    interrupted: Interruption,
    state: _State,
    first: int,
    after: int,
) -> tuple[_State, dict[str, Any]]:
    """Rounds `first` to `after` in simulators, in new episodes, with updates after each; the metrics of the last."""
    recipe, task, collected = collection.recipe, collection.task, state.collected
    seeds = np.random.default_rng((collection.seed, first)).integers(2**31, size=(after - first + 1, recipe.lanes))
    updates = 0 if after <= recipe.warm_up_rounds else recipe.updates
    metrics: dict[str, Any] = {}
    action, k_learn = np.zeros(0), jax.random.key(0)

    def upcoming() -> Iterator[np.ndarray]:
        for number in range(after - first):
            if interrupted():
                raise interrupted.error()
            if number % _TOLD_EVERY == 0:
                report(first + number)
            yield seeds[number]

    def choose(number: int, observation: np.ndarray) -> np.ndarray:
        nonlocal action, k_learn
        (key,) = _keys(jnp.int32(collection.seed), jnp.int32(first + number), count=1)
        k_act, k_learn = jax.random.split(key)
        if updates:
            action = np.asarray(_ACT(collected.learner, observation, k_act))
        else:
            action = np.asarray(_RANDOM(recipe.lanes, task.action_dim, k_act))
        return np.clip(recipe.action_gain * action, -1.0, 1.0)

    for moment in walk(simulators, simulators.reset(seeds[-1]), upcoming(), choose):
        rows = _rows(moment.observation, action, moment.step)
        collected, metrics = replay.run_round(recipe.learner, collected, rows, k_learn, updates=updates)
    return _State(collected, None), metrics


def _rows(observation: np.ndarray, action: np.ndarray, step: Step) -> Rows:
    if step.restarted.any():
        raise DataError("a simulator was lost; start the same command again to go on from the last checkpoint.")
    parts = (observation, action, step.reward, step.cost, step.observation, step.terminated, step.truncated)
    return Rows(*(np.asarray(part, np.float32) for part in parts))  # pyright: ignore[reportArgumentType]


def _keep(
    collection: ReplayCollection, state: _State, metrics: dict[str, Any], rounds: int, clock: Clock
) -> dict[str, Any]:
    for name, value in metrics.items():
        if not np.isfinite(value):
            raise DivergenceError(
                f"the collecting learner diverged: '{name}' became {float(value)} before step "
                f"{rounds * collection.recipe.lanes:,}; start again with another {option('seed')} and {option('out')}."
            )
    metadata = {"rounds": rounds, **clock.read()}
    collection.store.save_learner(state, metadata)
    return metadata


# --- what becomes the file -------------------------------------------------------------------------------------------


def _dataset(collection: ReplayCollection, buffer: Rows, *, on_simulator: bool) -> Dataset:
    """Every whole episode of the buffer, in the order in which they ended."""
    recipe = collection.recipe
    arrays = {name: np.asarray(values) for name, values in buffer._asdict().items()}
    columns: Columns = {
        "observations": arrays["observation"],
        "actions": np.asarray(replay.executed(buffer.action, recipe.action_gain)),
        "rewards": arrays["reward"],
        "costs": arrays["cost"],
        "next_observations": arrays["next_observation"],
        "terminated": arrays["terminated"] > 0,
        "truncated": arrays["truncated"] > 0,
    }
    pieces = parts(recipe) if on_simulator else [(0, recipe.rounds)]
    episodes = []
    for first, after in pieces:
        cutter = EpisodeCutter(recipe.lanes)
        piece = {name: values[first:after] for name, values in columns.items()}
        episodes += cutter.cut(piece, restarted=np.zeros((after - first, recipe.lanes), bool))
    if not episodes:
        collection.store.remove()  # nothing is in it, and it would refuse another number of steps
        horizon = collection.task.horizon
        raise DataError(
            f"{collection.task.name}: expected at least one whole episode, found none in {recipe.steps} steps; "
            f"simulate at least {horizon * recipe.lanes + recipe.warm_up} with {option('steps')}."
        )
    return columns_dataset(collection.task.name, join(episodes))


def _card(collection: ReplayCollection, dataset: Dataset, metadata: dict[str, Any]) -> dict[str, Any]:
    recipe, task = collection.recipe, collection.task
    last = max(1, len(dataset.lengths) // _LAST_SHARE)
    simulated = recipe.rounds * recipe.lanes
    return {
        "task": task.name,
        "origin": ORIGIN,
        "recipe": RECIPE,
        "hyperparameters": as_json(asdict(recipe)),
        "seed": collection.seed,
        "simulated_steps": simulated,
        "steps_of_episodes_that_were_broken_off": simulated - len(dataset),
        **times(metadata),
        "last_episodes": {
            "episodes": last,
            "return_mean": float(dataset.returns[-last:].mean()),
            "cost_mean": float(dataset.cost_returns[-last:].mean()),
        },
        "cost_of_ratio_1": task.budget_maximum,
        "versions": {**versions(), **simulator_versions(task)},
        "coverage": coverage(dataset, task),
    }
