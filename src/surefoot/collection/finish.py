"""Dataset and card of a collection from its parts, filtered by density."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.checkpoint import as_json
from surefoot.collection.clock import times
from surefoot.collection.collection import Collection
from surefoot.collection.density_filter import COST_BINS, RETURN_BINS, Grid, Thinned, filtered_by_density
from surefoot.collection.episodes import Columns, columns_dataset, episode_sums, join
from surefoot.collection.recipes import Recipe
from surefoot.collection.store import Store
from surefoot.data import Dataset
from surefoot.errors import DataError

THINNED = "then thinned at random in each bin of a grid over cost return and return"
RECIPE = (
    "PPO-Lagrangian with a PID multiplier whose cost limit rises over the run, every episode of the training kept, "
    f"{THINNED}"
)
DRIVERS = "whole episodes of scripted drivers, each of a caution, speed and noise of its own"
"""Description of the scripted part of a recipe."""


def finish(collection: Collection, metadata: dict[str, Any]) -> tuple[Dataset, dict[str, Any]]:
    """The filtered dataset of a collection.

    Args:
        collection: The collection.
        metadata: Metadata of the learner's last checkpoint.

    Returns:
        (dataset, how it was made, for its card).

    Raises:
        DataError: No episode is whole.
    """
    store, recipe, task = collection.store, collection.recipe, collection.task
    parts = store.parts()
    sums = [episode_sums(columns) if columns else np.zeros((0, 3)) for columns in map(store.read, parts)]
    every = np.concatenate(sums) if sums else np.zeros((0, 3))
    if not len(every):
        store.remove()  # nothing is in it, and it would refuse another number of steps
        raise DataError(f"{store.path}: expected at least one whole episode, found none: simulate more steps.")
    grid = Grid((task.cost_return_min, task.cost_return_max), (task.return_min, task.return_max))
    wanted = {"transitions": collection.transitions, "seed": collection.seed}
    kept = filtered_by_density(every[:, 0], every[:, 1], every[:, 2], grid=grid, **wanted)
    columns = _select(store, parts, kept)
    scripted = np.concatenate([np.zeros((0, 3)), *sums[: metadata.get("scripted_parts", 0)]])
    made = {
        "recipe": _words(recipe),
        "hyperparameters": as_json(asdict(recipe)),
        "seed": collection.seed,
        "simulated_steps": recipe.learned_steps + int(scripted[:, 2].sum()),
        "episodes_collected": len(every),
        "transitions_collected": int(every[:, 2].sum()),
        "thinning": {"grid": [COST_BINS, RETURN_BINS], **asdict(grid), "most_episodes_per_bin": kept.most_per_bin},
        **_behaviors(collection, len(scripted), len(every), kept.kept),
        **times(metadata),
    }
    return columns_dataset(task.name, columns), made


def _words(recipe: Recipe) -> str:
    if recipe.scripted == 0.0:
        return RECIPE
    return f"{DRIVERS}, {THINNED}" if recipe.scripted == 1.0 else f"{DRIVERS}; beside them {RECIPE}"


def _behaviors(collection: Collection, scripted: int, collected: int, kept: np.ndarray) -> dict[str, Any]:
    """What made the episodes, for the card; nothing where the learner made all. `episodes`: first, and after the last
    in the file."""
    if collection.recipe.scripted == 0.0:
        return {}
    first = int((kept < scripted).sum())
    rows = (
        ("scripted drivers", scripted, [0, first]), ("PPO-Lagrangian", collected - scripted, [first, len(kept)]),
    )  # fmt: skip
    return {
        "behaviours": [
            {"name": name, "episodes_collected": count, "episodes": places} for name, count, places in rows if count
        ]
    }


def _select(store: Store, parts: list[Path], thinned: Thinned) -> Columns:
    """The rows of the episodes that are kept, read part by part: the whole may be larger than the memory."""
    wanted, first, chosen = thinned.kept, 0, []
    for part in parts:
        columns = store.read(part)
        if not columns:
            continue
        lengths = episode_sums(columns)[:, 2].astype(int)
        mask = np.isin(np.arange(first, first + len(lengths)), wanted)
        first += len(lengths)
        if mask.any():
            rows = np.repeat(mask, lengths)
            chosen.append({name: values[rows] for name, values in columns.items()})
    return join(chosen)
