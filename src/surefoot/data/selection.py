"""Selection of the episodes that a run trains on, as a record that config.json keeps, so that it can be repeated."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from surefoot.data import Dataset, filters
from surefoot.errors import ConfigError, DataError, MissingRewardsError, option
from surefoot.ranges import SEED, check_count, check_number
from surefoot.tasks import Task
from surefoot.text import listed

DataFilter = Literal["all", "safe", "risky", "boundary", "frontier", "pareto"]
_WITHOUT_LIMIT = ("frontier", "pareto")
FRACTION_SEED = 0
"""Seed of the random share of episodes, equal for every training seed and method."""
HELD_OUT_SEED = 0
"""Seed of the held-out episodes, equal for every training seed and method."""


def selection(
    task: Task, *, data_filter: DataFilter, fraction: float, limit: float | None = None, held_out: float = 0.0
) -> dict[str, Any]:
    """Record of a selection.

    Args:
        task: Task of the data.
        data_filter: Filter of episodes; "all": none.
        fraction: Share of the episodes to train on, in (0, 1].
        limit: Cost limit of the filter; None: the task's.
        held_out: Share of the episodes kept aside, in [0, 1).

    Returns:
        JSON values, empty where all data are used.

    Raises:
        ConfigError: A share is out of range, or the filter takes no limit.
    """
    if not 0 <= held_out < 1:
        raise ConfigError(f"{option('held_out')}: expected a share of at least 0 and below 1, found {held_out:g}.")
    if not 0 < fraction <= 1:
        raise ConfigError(f"{option('fraction')}: expected a share above 0 and at most 1, found {fraction:g}.")
    # A frontier has no limit, but its record holds the task's.
    if limit is not None and (data_filter == "all" or (data_filter in _WITHOUT_LIMIT and limit != task.cost_limit)):
        raise ConfigError(
            f"{option('filter_cost_limit')}: expected none with {option('data_filter')} {data_filter}, found {limit:g}."
        )
    record: dict[str, Any] = {}
    if data_filter != "all":
        record |= {"filter": data_filter, "cost_limit": task.cost_limit if limit is None else limit}
    if fraction < 1:
        record |= {"fraction": fraction, "fraction_seed": FRACTION_SEED}
    if held_out > 0:
        record |= {"held_out": held_out, "held_out_seed": HELD_OUT_SEED}
    return record


def select(dataset: Dataset, record: dict[str, Any]) -> Dataset:
    """Episodes to train on: the selected share of the episodes that are not held out, then the filter's.

    Args:
        dataset: All episodes.
        record: Result of `selection`.

    Returns:
        The selected episodes.

    Raises:
        DataError: No episode is left.
        ConfigError: The record was not written by `selection`.
    """
    _check_record(record)
    chosen = dataset
    if "held_out" in record:
        chosen = chosen.select(other_episodes(chosen, _held_out(chosen, record)))
    if "fraction" in record:
        chosen = filters.subset(chosen, share=record["fraction"], seed=record["fraction_seed"])
    if "filter" not in record:
        return chosen
    try:
        return filters.by_cost(chosen, record["filter"], cost_limit=record["cost_limit"])
    except MissingRewardsError:
        raise
    except DataError as error:
        name, limit = record["filter"], record["cost_limit"]
        raise DataError(f"{option('data_filter')} {name} with a cost limit of {limit:g}: {error}") from error


def kept_aside(dataset: Dataset, record: dict[str, Any]) -> Dataset | None:
    """Held-out episodes of a selection.

    Args:
        dataset: All episodes.
        record: Result of `selection`.

    Returns:
        The held-out episodes; None where the record holds none out.
    """
    _check_record(record)
    return dataset.select(_held_out(dataset, record)) if "held_out" in record else None


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Context in which an error on missing rewards names the data's file. Raises `DataError`."""
    try:
        yield
    except MissingRewardsError as error:
        raise DataError(f"{path}: rewards: expected a number for every step, found none.") from error


def is_whole(record: dict[str, Any]) -> bool:
    """Whether training takes all episodes that are not held out."""
    return not {"filter", "fraction"} & record.keys()


def _held_out(dataset: Dataset, record: dict[str, Any]) -> Any:
    return held_out_episodes(dataset, share=record["held_out"], seed=record["held_out_seed"])


def _check_record(record: dict[str, Any]) -> None:
    """Refuse a record that `selection` did not write, as an edited config.json may hold."""
    kinds = {"fraction": (int, float), "fraction_seed": int, "filter": str, "cost_limit": (int, float)}
    kinds |= {"held_out": (int, float), "held_out_seed": int}
    pairs = {"fraction": "fraction_seed", "filter": "cost_limit", "held_out": "held_out_seed"}
    for name, other in pairs.items():
        if name in record and other not in record:
            raise ConfigError(f"data_selection: {other}: expected a number beside {name}, found none.")
    for name, kind in kinds.items():
        if name in record and (not isinstance(record[name], kind) or isinstance(record[name], bool)):
            raise ConfigError(
                f"data_selection: {name}: expected what a selection is described by, found {record[name]!a:.60}."
            )


def selection_name(record: dict[str, Any]) -> str:
    """Text of a selection in the words of the options: "fraction 0.1 and data_filter safe with a cost limit of 5"."""
    parts = [f"{option('held_out')} {record['held_out']:g}"] if "held_out" in record else []
    parts += [f"{option('fraction')} {record['fraction']:g}"] if "fraction" in record else []
    if "filter" in record:
        limit = "" if record["filter"] in _WITHOUT_LIMIT else f" with a cost limit of {record['cost_limit']:g}"
        parts.append(f"{option('data_filter')} {record['filter']}{limit}")
    return listed(parts)


def data_name(record: dict[str, Any]) -> str:
    """Text of a selection in a word or two: "all", "safe", "10 %", "safe, 10 %"."""
    parts = [record["filter"]] if "filter" in record else []
    parts += [f"{100 * record['fraction']:g} %"] if "fraction" in record else []
    return ", ".join(parts) or "all"


def method_name(algorithm: str, record: dict[str, Any]) -> str:
    """Name of a method in tables, such as FISOR, BC, BC-Safe, FISOR (10 %).

    Args:
        algorithm: Name of the algorithm.
        record: Result of `selection`.

    Returns:
        The name.
    """
    name = algorithm.upper() + (f"-{record['filter'].capitalize()}" if "filter" in record else "")
    return f"{name} ({100 * record['fraction']:g} %)" if "fraction" in record else name


def held_out_episodes(dataset: Dataset, *, share: float, seed: int) -> Int[np.ndarray, " H"]:
    """Random share of the episodes with a violation, and of those without, to hold out.

    Of each kind at least one is held out and one left, where there are two. With one seed a smaller share is part of a
    larger one.

    Args:
        dataset: All episodes.
        share: Share of each kind, in (0, 1).
        seed: Seed of the choice.

    Returns:
        Ascending indices of complete episodes [H].

    Raises:
        ConfigError: No episode would be held out or left.
    """
    check_number(share, "(0, 1)", "held_out: share")
    check_count(seed, "seed", SEED)
    violating = dataset.violating_steps > 0
    random = np.random.default_rng(seed)
    chosen: list[np.ndarray] = []
    for kind in (~violating, violating):
        episodes = random.permutation(np.flatnonzero(kind))
        wanted = max(1, round(share * len(episodes)))
        chosen.append(episodes[: min(wanted, len(episodes) - 1)] if len(episodes) > 1 else episodes[:0])
    found = np.sort(np.concatenate(chosen))
    if not len(found):
        raise ConfigError(
            f"held_out: expected at least two episodes with a violation or two without, found {len(violating)} in all."
        )
    return found


def other_episodes(dataset: Dataset, episodes: Int[np.ndarray, " H"]) -> Int[np.ndarray, " T"]:
    """Complete episodes that are not among some.

    Args:
        dataset: All episodes.
        episodes: Indices of complete episodes [H].

    Returns:
        Ascending indices of the others [T].
    """
    return np.setdiff1d(np.arange(len(dataset.lengths)), episodes)
