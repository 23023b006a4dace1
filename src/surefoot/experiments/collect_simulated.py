"""Collect data on simulators and on a task file's environment: learners, replay buffers, cameras, a user's policy."""

import os
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from surefoot import data
from surefoot.checkpoint import versions
from surefoot.collection.card import make_card
from surefoot.collection.collection import Collection
from surefoot.collection.collector import collect as collect_simulated
from surefoot.collection.recipes import Recipe, recipe_of
from surefoot.collection.replay_collector import ReplayCollection, collect_replay, parts
from surefoot.collection.replay_recipes import replay_recipe
from surefoot.collection.store import Store
from surefoot.data import Dataset
from surefoot.data.frames import FrameData
from surefoot.envs.vector import VectorEnv
from surefoot.errors import ConfigError, DataError, option
from surefoot.experiments.collect_request import CollectRequest
from surefoot.observer import Observer
from surefoot.tasks import Task

VISION_TRANSITIONS = 20_000
EPISODES = 100
"""Episodes on a task file's environment where neither episodes nor transitions are requested."""


def collect_own_task(request: CollectRequest, task: Task, observer: Observer) -> Dataset:
    """Collect a log in a task file's environment and write it.

    Args:
        request: Options of the collection.
        task: The task.
        observer: Receives progress.

    Returns:
        The transitions of the log.

    Raises:
        ConfigError: An option cannot be used.
    """
    # Here: nothing else of the command needs these.
    from surefoot.collection.own import OwnCollection, collect_own, write_log
    from surefoot.envs.workers.players import Players

    if request.out.suffix.lower() not in (".csv", ".hdf5", ".h5"):
        raise ConfigError(f"{option('out')}: expected a file that ends in .csv or .hdf5, found {request.out}.")
    if request.episodes is not None and request.transitions is not None:
        raise ConfigError(f"{option('episodes')}: expected either these or {option('transitions')}, found both.")
    episodes = EPISODES if request.episodes is None and request.transitions is None else request.episodes
    given = {"policy": request.policy, "noise": request.noise, "transitions": request.transitions}
    chosen = {name: value for name, value in given.items() if value is not None}
    collection = OwnCollection(task, episodes=episodes, seed=request.seed, **chosen)
    workers = min(os.cpu_count() or 1, episodes or 8) if request.workers is None else request.workers
    players = Players(task, workers=workers, on_death=observer.warn_of_death)
    unit = "transitions" if episodes is None else "episodes"
    with players, observer.progress(f"collecting {task.name}", unit=unit) as line:
        columns = collect_own(collection, players, on_progress=line.report)
    facts = {"recipe": "surefoot collect", "policy": collection.policy, "noise": collection.noise, "seed": request.seed}
    return write_log(collection, columns, request.out, card={**facts, "versions": versions()})


def collect_vision(request: CollectRequest, task: Task, observer: Observer) -> FrameData:
    """Collect episodes of images from a robot's cameras into a folder.

    Args:
        request: Options of the collection.
        task: The task.
        observer: Receives progress.

    Returns:
        All frames of the folder.

    Raises:
        ConfigError: `out` is a file.
    """
    from surefoot.collection.pixels import PixelCollection, collect_pixels
    from surefoot.envs.simulators.drawing import choose_renderer
    from surefoot.envs.workers.players import Players

    if request.out.is_file():
        raise ConfigError(
            f"{option('out')}: expected a folder for {task.name}, new or to go on with; remove what lies there."
        )
    cores = os.cpu_count() or 1
    workers = cores if request.workers is None else request.workers
    renderer = choose_renderer(task.name).upper()
    observer.note(f"{task.name}: drawn by {renderer}, {workers} processes.")
    wanted = VISION_TRANSITIONS if request.transitions is None else request.transitions
    with observer.progress(f"collecting {task.name}", unit="transitions") as line:
        frames, _ = collect_pixels(
            PixelCollection(task, wanted, request.seed, request.out),
            lambda: Players(task, workers=workers, on_death=observer.warn_of_death),
            renderer=renderer,
            on_progress=line.report,
        )
    return frames


def collect_replay_buffer(request: CollectRequest, task: Task, observer: Observer) -> Dataset:
    """Collect medium-replay data and write them.

    Args:
        request: Options of the collection.
        task: The task.
        observer: Receives progress.

    Returns:
        The replay buffer's whole episodes.

    Raises:
        ConfigError: The steps do not hold a whole episode.
    """
    recipe = replay_recipe(task, steps=request.steps)
    # In a simulator each part begins new episodes; in pure JAX they go on.
    each = max(after - first for first, after in parts(recipe)) if task.simulated else recipe.rounds
    simulated = recipe.rounds * recipe.lanes
    _check_steps(task, observer, wanted=recipe.steps, simulated=simulated, lanes=recipe.lanes, each=each)
    collection = ReplayCollection(task, recipe, request.seed, Store.beside(request.out))

    def open_simulators() -> AbstractContextManager[VectorEnv]:
        from surefoot.envs.workers.vector import VectorSimulator

        return VectorSimulator(task, num_envs=recipe.lanes, workers=0)

    opener = open_simulators if task.simulated else None
    with observer.progress(f"collecting {task.name}", unit="steps") as line:
        dataset, card = collect_replay(
            collection, opener, on_progress=lambda told: line.report(told.done, told.total, phase=told.phase)
        )
    _save_whole(request.out, dataset, card, collection.store)
    return dataset


def collect_by_learner(request: CollectRequest, task: Task, observer: Observer) -> Dataset:
    """Collect data by an online learner in a simulator and write them.

    Args:
        request: Options of the collection.
        task: The task.
        observer: Receives progress.

    Returns:
        The filtered dataset.

    Raises:
        ConfigError: The steps do not hold a whole episode.
    """
    # Here: nothing else of this command needs a simulator.
    from surefoot.envs.workers.vector import VectorSimulator

    recipe = _recipe(request, task, observer)
    workers = _workers(request, recipe)
    wanted = request.rows(recipe.transitions)
    collection = Collection(task, recipe, request.seed, wanted, Store.beside(request.out))
    with observer.progress(f"collecting {task.name}", unit="steps") as line:
        dataset, made = collect_simulated(
            collection,
            lambda: VectorSimulator(task, num_envs=recipe.lanes, workers=workers, on_death=observer.warn_of_death),
            on_progress=lambda progress: line.report(progress.done, progress.total, phase=progress.phase),
        )
    card = make_card(dataset, task, transitions=request.rows(), made=made)
    _save_whole(request.out, dataset, card, collection.store)
    return dataset


def _recipe(request: CollectRequest, task: Task, observer: Observer) -> Recipe:
    recipe = recipe_of(task)
    if request.steps is None:
        return recipe
    recipe = replace(recipe, steps=request.steps)
    simulated, lanes = recipe.total_steps(task), recipe.lanes * recipe.runs
    # Scripted episodes are whole, however few steps are asked for.
    each = recipe.iterations * recipe.iteration if recipe.scripted == 0.0 else recipe.steps // lanes
    _check_steps(task, observer, wanted=recipe.steps, simulated=simulated, lanes=lanes, each=each)
    return recipe


def _check_steps(task: Task, observer: Observer, *, wanted: int, simulated: int, lanes: int, each: int) -> None:
    """Say to how many steps a number is rounded; `ConfigError` where no episode of full length fits in. `each`: steps
    one after the other in a lane."""
    if simulated != wanted:
        rounded = f"{wanted:,} rounded to whole rounds of the learner"
        observer.note(f"{task.name}: {simulated:,} environment steps, {rounded}.")
    if each < task.horizon:
        raise ConfigError(
            f"{option('steps')}: expected enough for a whole episode of {task.horizon:,} steps in each of {lanes} "
            f"lanes, about {lanes * task.horizon:,}, found {wanted:,}, which is {each:,} steps in each lane."
        )


def _workers(request: CollectRequest, recipe: Recipe) -> int:
    if request.workers is None:
        return min(os.cpu_count() or 1, recipe.lanes)
    if not 0 <= request.workers <= recipe.lanes:
        raise ConfigError(f"{option('workers')}: expected 0 to {recipe.lanes} processes, found {request.workers}.")
    return request.workers


def _save_whole(out: Path, dataset: Dataset, card: dict[str, Any], store: Store) -> None:
    """Write a collection's file, and remove the parts that it was made of once it was found good and lies there."""
    try:
        data.save(out, dataset, card=card)
    except DataError as error:
        raise DataError(f"{str(error).rstrip('.')}; what was collected is kept in {store.path}.") from error
    store.remove()
