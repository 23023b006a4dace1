"""Cells of a plan with all options resolved: algorithms and keys."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from surefoot import presets
from surefoot.algorithms import ALGORITHMS
from surefoot.checkpoint import as_json
from surefoot.data.own_tasks import find_task
from surefoot.errors import ConfigError, SurefootError, UnknownNameError, check_name
from surefoot.evaluation.protocol import cost_limits
from surefoot.experiments.cell import Cell
from surefoot.experiments.plan import HELD_OUT, Method, Plan
from surefoot.experiments.sources import data_path
from surefoot.experiments.store import DataRecord
from surefoot.experiments.unread import limits_elsewhere
from surefoot.hyperparameters import declarations, flat, from_hyperparameters, hyperparameters, renamed
from surefoot.tasks import Task
from surefoot.types import BEFORE, FORMERLY

VERSIONS = ("surefoot", "jax")
"""Packages whose versions are part of a cell's key."""
KEY_LETTERS = 16


class Resolved(NamedTuple):
    """A method on a task, with all options resolved."""

    task: Task
    hyperparameters: dict[str, Any]
    """Every field of the algorithm, as JSON values."""
    identity: dict[str, Any]
    """Hyper-parameters that are part of a cell's key."""


def resolve_methods(plan: Plan, place: str, folder: Path | None = None) -> dict[tuple[str, str], Resolved]:
    """Resolve every method on every task of a plan.

    Args:
        plan: The plan.
        place: File of the plan, for errors.
        folder: Folder of relative data paths, whose cards hold the tasks of task files.

    Returns:
        (task, method) -> the resolved method.

    Raises:
        ConfigError: An algorithm, preset or hyper-parameter is unknown, or no protocol measures a task or algorithm.
    """
    found = {}
    for name in plan.tasks:
        task = _task(plan, name, place, Path() if folder is None else folder)
        for key, method in plan.methods.items():
            algorithm = _algorithm(method, task, f"{place}: methods.{key}")
            found[name, key] = Resolved(task, hyperparameters(algorithm), identity_of(algorithm))
    return found


def resolve_cells(
    plan: Plan,
    methods: Mapping[tuple[str, str], Resolved],
    data: Mapping[str, DataRecord],
    folder: Path,
    *,
    strict: bool = False,
    workers: int = 1,
) -> list[Cell]:
    """Cells of the tasks in `data`, in the plan's order. Methods that are equal on a task have cells of the same key
    there.

    Args:
        plan: The plan.
        methods: Result of `resolve_methods`.
        data: Task -> its data.
        folder: Folder of relative data paths.
        strict: Warnings are errors.
        workers: Processes that step a simulator.

    Returns:
        The cells.
    """
    groups = [(seed,) for seed in plan.seeds] if plan.split_seeds else [plan.seeds]
    places = [
        (name, key, fraction, seeds)
        for name in data
        for key in plan.methods
        for fraction in plan.tasks[name].fractions
        for seeds in groups
    ]
    return [
        Cell(
            key=_key(plan, plan.methods[key], methods[name, key], data[name], fraction, seeds),
            task=name,
            method=key,
            fraction=fraction,
            seeds=seeds,
            episodes=plan.episodes,
            algorithm=plan.methods[key].algorithm,
            preset=plan.methods[key].preset,
            hyperparameters=methods[name, key].hyperparameters,
            data_filter=plan.methods[key].data_filter,
            filter_cost_limit=plan.methods[key].filter_cost_limit,
            held_out_share=plan.methods[key].held_out,
            data=str(data_path(plan, name, folder)),
            data_size=data[name].size,
            data_modified=data[name].modified,
            held_out=plan.tasks[name].role == HELD_OUT,
            strict=strict,
            workers=workers,
        )
        for name, key, fraction, seeds in places
    ]


def key_versions() -> dict[str, str]:
    """Versions of the packages that a cell's numbers depend on."""
    return {name: metadata.version(name) for name in VERSIONS}


def _key(
    plan: Plan, method: Method, resolved: Resolved, record: DataRecord, fraction: float, seeds: tuple[int, ...]
) -> str:
    limit = resolved.task.cost_limit if method.filter_cost_limit is None else method.filter_cost_limit
    identity = {
        "task": resolved.task.name,
        "algorithm": method.algorithm,
        "hyperparameters": resolved.identity,
        "data": record.fingerprint,
        "filter": [method.data_filter, None if method.data_filter == "all" else limit],
        "fraction": fraction,
        "seeds": seeds,
        "versions": key_versions(),
        "revision": plan.revision,
        **({"held_out": method.held_out} if method.held_out else {}),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:KEY_LETTERS]


def _task(plan: Plan, name: str, place: str, folder: Path) -> Task:
    task = find_task(name, data=data_path(plan, name, folder))
    if task.environment is None:
        raise ConfigError(f"{place}: tasks: expected tasks with an environment to act in, found {name} without one.")
    try:
        for protocol in plan.protocols:
            cost_limits(task, protocol)
    except ConfigError as error:
        raise ConfigError(f"{place}: protocols: expected one that has limits for {name}, found another.") from error
    if task.image_shape is not None:
        raise ConfigError(f"{place}: tasks: expected tasks of vectors, found {name}, whose observations are images.")
    return task


def identity_of(config: Any) -> dict[str, Any]:
    """Hyper-parameters that are part of a cell's key, by their first names.

    Hyper-parameters that were added later are left out at their former values, so that earlier cells keep their keys.
    """
    found = {}
    values = flat(config)
    for _, field in declarations(type(config)):
        value = values[field.name]
        value = identity_of(value) if dataclasses.is_dataclass(value) else as_json(value)
        if BEFORE not in field.metadata or value != as_json(field.metadata[BEFORE]):
            found[field.metadata.get(FORMERLY, field.name)] = value
    return found


def _algorithm(method: Method, task: Task, place: str) -> Any:
    try:
        algorithm = presets.build(method.algorithm, task, preset=method.preset)
    except SurefootError as error:
        raise ConfigError(f"{place}: {error}") from error
    if not method.overrides:
        return algorithm
    kind = ALGORITHMS[method.algorithm]
    overrides = renamed(kind, method.overrides, warn=True)
    elsewhere = limits_elsewhere(method.algorithm, algorithm, limits="the plan's protocols say which limits")
    for name in overrides:
        if name in elsewhere:
            raise ConfigError(f"{place}.overrides.{name}: {elsewhere[name]}.")
    values = _changed(hyperparameters(algorithm), overrides, f"{place}.overrides")
    return from_hyperparameters(kind, values, source=f"{place}.overrides")


def _changed(values: dict[str, Any], overrides: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Hyper-parameters with others in their places, table by table. `ConfigError` for an unknown name."""
    changed = dict(values)
    for name, value in overrides.items():
        try:
            check_name("hyper-parameter", name, values)
        except UnknownNameError as error:
            raise ConfigError(f"{place}: {error}") from error
        inner = values[name]
        if isinstance(inner, dict) and not isinstance(value, dict):
            raise ConfigError(f"{place}.{name}: expected a table, found {value!r:.60}.")
        changed[name] = _changed(inner, value, f"{place}.{name}") if isinstance(inner, dict) else value
    return changed
