"""Which of a file's episodes a run trains on, as a record that config.json keeps, so that it can be made again."""

from typing import Any, Literal

import numpy as np

from surefoot.data import Dataset, filters
from surefoot.errors import ConfigError, DataError
from surefoot.tasks import Task

DataFilter = Literal["all", "safe"]
FRACTION_SEED = 0
"""Of the random share of episodes: the same for every training seed and method."""


def selection(task: Task, *, data_filter: DataFilter, fraction: float, limit: float | None = None) -> dict[str, Any]:
    """The record of a selection; empty where all data are taken. Raises `ConfigError` on a share outside (0, 1]."""
    if not 0 < fraction <= 1:
        raise ConfigError(f"--fraction: expected a share above 0 and at most 1, found {fraction:g}.")
    record: dict[str, Any] = {}
    if data_filter == "safe":
        record |= {"filter": "safe", "cost_limit": task.cost_limit if limit is None else limit}
    if fraction < 1:
        record |= {"fraction": fraction, "fraction_seed": FRACTION_SEED}
    return record


def select(dataset: Dataset, record: dict[str, Any]) -> Dataset:
    """The episodes that a record of `selection` asks for: the share first, then the safe ones of it.

    Raises `DataError` where none is left.
    """
    chosen = dataset
    if "fraction" in record:
        chosen = filters.subset(chosen, fraction=record["fraction"], seed=record["fraction_seed"])
    if record.get("filter") == "safe":
        costs = chosen.cost_returns
        if not (costs <= record["cost_limit"]).any():
            least = f"{np.min(costs):g} as the least" if len(costs) else "no complete episode"
            limit = f"{record['cost_limit']:g}"
            raise DataError(
                f"data of {dataset.task}: expected episodes of a cost of at most {limit} for the filter 'safe', "
                f"found {least}."
            )
        chosen = filters.safe(chosen, cost_limit=record["cost_limit"])
    if record and not len(chosen):
        raise DataError(f"data of {dataset.task}: expected at least one episode in the selection, found none.")
    return chosen


def data_name(record: dict[str, Any]) -> str:
    """The selection in a word or two: "all", "safe", "10 %", "safe, 10 %"."""
    parts = [record["filter"]] if "filter" in record else []
    parts += [f"{100 * record['fraction']:g} %"] if "fraction" in record else []
    return ", ".join(parts) or "all"


def method_name(algorithm: str, record: dict[str, Any]) -> str:
    """A method as tables call it: FISOR, BC, BC-Safe, FISOR (10 %)."""
    name = algorithm.upper() + ("-Safe" if record.get("filter") == "safe" else "")
    return f"{name} ({100 * record['fraction']:g} %)" if "fraction" in record else name
