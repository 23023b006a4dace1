"""Collection of a simulated task's data: a safe learner trains, and every episode of its training is kept."""

import itertools
from collections.abc import Callable
from typing import Annotated, Any, NotRequired

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge

from surefoot.collection import ppo
from surefoot.collection.clock import NO_TIME, Clock, Times
from surefoot.collection.collection import Collection, Opener, Progress
from surefoot.collection.episodes import Columns, EpisodeCutter, columns_of, episode_sums, join, restarted_in
from surefoot.collection.finish import finish
from surefoot.collection.ppo import LearnerState, Rollout
from surefoot.collection.recipes import cost_limit
from surefoot.collection.scripted import play_round
from surefoot.data import Dataset
from surefoot.envs.vector import VectorEnv
from surefoot.errors import DivergenceError, option
from surefoot.interrupts import Interruption, deferred_interrupts
from surefoot.numerics import pinned
from surefoot.rollouts.host import walk

_ROOM_FOR_LEARNER = 4_000_000
"""Bytes; its checkpoint is smaller."""


# Compiled once for all collections of a process.
_INIT = jax.jit(ppo.init, static_argnums=(0, 1))
_ACT = jax.jit(ppo.act)
_UPDATE = jax.jit(ppo.update, static_argnums=(0, 1))


@pinned()
def collect(
    collection: Collection, open_simulators: Opener, *, on_progress: Callable[[Progress], None] | None = None
) -> tuple[Dataset, dict[str, Any]]:
    """Train a safe learner, keep its episodes, and filter them by density; resumes what the store holds.

    The first Ctrl-C, SIGTERM or SIGHUP stops at the next step with every whole episode kept, and raises
    `KeyboardInterrupt`. The caller removes the store.

    Args:
        collection: Task, recipe, seed and store.
        open_simulators: Opens the recipe's simulators.
        on_progress: Called before each round or iteration.

    Returns:
        (dataset, how it was made, for its card).

    Raises:
        ConfigError: The store holds another collection.
        DataError: The disk is full, with the episodes kept; or no episode is whole.
        DivergenceError: The learner is not finite.
    """
    width = 2 * collection.task.observation_dim + collection.task.action_dim + 3
    rows = collection.recipe.lanes * collection.recipe.iteration + collection.recipe.lanes * collection.task.horizon
    with (
        collection.store.opened(collection.identity, reserve=4 * width * rows + _ROOM_FOR_LEARNER),
        deferred_interrupts() as interrupted,
    ):
        metadata = _train(collection, open_simulators, interrupted, on_progress)
        return finish(collection, metadata)


# --- training --------------------------------------------------------------------------------------------------------


def _train(
    collection: Collection,
    open_simulators: Opener,
    interrupted: Interruption,
    on_progress: Callable[[Progress], None] | None,
) -> dict[str, Any]:
    """Every iteration that is not done yet; the metadata of the last checkpoint."""
    recipe, store, task = collection.recipe, collection.store, collection.task
    template = _learner(collection, 0)
    state, metadata = store.load_learner(template, _Metadata) or (template, _METADATA)
    first, rounds = metadata["iterations"], recipe.rounds(task)
    total = rounds + recipe.runs * recipe.iterations
    if first >= total:
        return metadata
    scale = ppo.scales(task, discount=recipe.learner.discount)
    clock = Clock(metadata)
    with open_simulators() as simulators:
        for number in range(first, rounds):
            _report(on_progress, collection, number, "scripted drivers")
            _play(collection, simulators, interrupted)
            metadata = {**metadata, "iterations": number + 1, "scripted_parts": len(store.parts()), **clock.read()}
            store.save_learner(state, metadata)
        gatherer = _Gatherer(collection, simulators, interrupted)
        for number in range(max(first, rounds), total):
            run, iteration = divmod(number - rounds, recipe.iterations)
            if iteration == 0:
                state = _learner(collection, run)
                gatherer.forget()
            limit = cost_limit(recipe, task, iteration=iteration)
            _report(on_progress, collection, number, _phase(collection, run, limit))
            part = len(store.parts())
            rollout, episodes = gatherer.gather(state, part)
            store.add(episodes)
            if rollout is None:
                raise interrupted.error()
            metadata = {**metadata, "iterations": number + 1}
            if episodes:
                metadata["episode_cost"] = float(episode_sums(join(episodes))[:, 0].mean())
            key = jax.random.fold_in(jax.random.fold_in(jax.random.key(collection.seed), part), 1)
            cost = jnp.float32(metadata["episode_cost"])
            inputs = {"episode_cost": cost, "cost_limit": jnp.float32(limit), "key": key}
            state, metrics = _UPDATE(recipe.learner, scale, state, rollout, **inputs)
            _check_finite(metrics, number)
            metadata |= clock.read()
            store.save_learner(state, metadata)
            if interrupted():
                raise interrupted.error()
    metadata |= clock.read()  # once more: the seconds of the workers count when they have ended
    store.save_learner(state, metadata)
    _report(on_progress, collection, total, _last_phase(collection))
    return metadata


def _play(collection: Collection, simulators: VectorEnv, interrupted: Interruption) -> None:
    """Keep a round of scripted episodes; raises where it was interrupted, with those kept that had ended."""
    make = collection.task.driver
    assert make is not None  # the collection is checked
    episodes, whole = play_round(
        collection.task,
        make,
        simulators,
        lanes=collection.recipe.lanes,
        seeds=(collection.seed, len(collection.store.parts())),
        interrupted=interrupted,
    )
    collection.store.add(episodes)
    if not whole or interrupted():
        raise interrupted.error()


class _Metadata(Times):
    iterations: Annotated[int, Ge(0)]
    episode_cost: Annotated[float, Ge(0)]
    scripted_parts: NotRequired[Annotated[int, Ge(0)]]
    """Parts of the store that hold episodes of scripted drivers; the first ones."""


_METADATA: dict[str, Any] = {"iterations": 0, "episode_cost": 0.0, **NO_TIME}
"""Of a collection that has not begun."""


class _Gatherer:
    """Runs the policy in all simulators for an iteration at a time."""

    def __init__(self, collection: Collection, simulators: VectorEnv, interrupted: Interruption) -> None:
        self._collection = collection
        self._simulators = simulators
        self._interrupted = interrupted
        self._cutter = EpisodeCutter(collection.recipe.lanes)
        self._observation: np.ndarray | None = None

    def forget(self) -> None:
        """Begin new episodes everywhere: a new learner must not end those of the old one."""
        self._cutter = EpisodeCutter(self._collection.recipe.lanes)
        self._observation = None

    def gather(self, state: LearnerState, part: int) -> tuple[Rollout | None, list[Columns]]:
        """What the learner learns from, and the episodes that ended. Without a rollout Ctrl-C came in between.

        `part`, the number of iterations ever kept, seeds the episodes and actions: it never comes twice, so that what
        a resumed collection simulates is new.
        """
        recipe, seed = self._collection.recipe, self._collection.seed
        seeds = np.random.default_rng((seed, part)).integers(2**31, size=(recipe.iteration + 1, recipe.lanes))
        keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), part), 0), recipe.iteration)
        if self._observation is None:
            self._observation = np.asarray(self._simulators.reset(seeds[-1]), np.float32)
        actions: list[np.ndarray] = []

        def choose(number: int, observation: np.ndarray) -> np.ndarray:
            actions.append(np.asarray(_ACT(state, np.asarray(observation, np.float32), keys[number])))
            return np.clip(actions[-1], -1.0, 1.0)

        upcoming = itertools.takewhile(lambda _: not self._interrupted(), seeds[:-1])
        moments = list(walk(self._simulators, self._observation, upcoming, choose))
        if not moments:
            return None, []
        self._observation = np.asarray(moments[-1].step.start_observation, np.float32)
        columns, restarted = columns_of(moments), restarted_in(moments)
        episodes = self._cutter.cut(columns, restarted=restarted)
        return (_rollout(columns, actions, restarted) if len(moments) == recipe.iteration else None), episodes


def _rollout(columns: Columns, actions: list[np.ndarray], restarted: np.ndarray) -> Rollout:
    """The steps of an iteration [T, n, ...] as the policy chose them; where a simulator was lost they teach nothing."""
    arrays: Any = {name: values.astype(np.float32) for name, values in columns.items()}
    return Rollout(
        observation=arrays["observations"],
        action=np.stack(actions).astype(np.float32),  # pyright: ignore[reportArgumentType]
        reward=arrays["rewards"],
        cost=arrays["costs"],
        next_observation=arrays["next_observations"],
        terminated=arrays["terminated"],
        truncated=arrays["truncated"],
        alive=(~restarted).astype(np.float32),  # pyright: ignore[reportArgumentType]
    )


def _learner(collection: Collection, run: int) -> LearnerState:
    key = jax.random.fold_in(jax.random.key(collection.seed), 2**31 - 1 - run)
    return _INIT(collection.recipe.learner, collection.task, key)


def _check_finite(metrics: dict[str, Any], number: int) -> None:
    for name, value in metrics.items():
        if not np.isfinite(value):
            raise DivergenceError(
                f"the collecting learner diverged: '{name}' became {float(value)} in iteration {number + 1}; what it "
                f"collected is kept, start again with another {option('seed')} and {option('out')}."
            )


def _report(on_progress: Callable[[Progress], None] | None, collection: Collection, number: int, phase: str) -> None:
    """Before round or iteration `number`."""
    if on_progress is not None:
        recipe, task = collection.recipe, collection.task
        rounds = recipe.rounds(task)
        played, learned = min(number, rounds) * task.horizon, max(0, number - rounds) * recipe.iteration
        on_progress(Progress((played + learned) * recipe.lanes, recipe.total_steps(task), phase))


def _phase(collection: Collection, run: int, limit: float) -> str:
    allowed = f"cost limit {limit:.1f}" if limit <= collection.task.cost_return_max else "no cost limit"
    runs = collection.recipe.runs
    return (f"run {run + 1} of {runs}, " if runs > 1 else "") + allowed


def _last_phase(collection: Collection) -> str:
    recipe = collection.recipe
    if recipe.iterations == 0:
        return "scripted drivers"
    limit = cost_limit(recipe, collection.task, iteration=recipe.iterations - 1)
    return _phase(collection, recipe.runs - 1, limit)
