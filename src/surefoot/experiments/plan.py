"""Plan of a benchmark: tasks and their data, methods, seeds and episodes, read from TOML."""

import dataclasses
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from surefoot.data.selection import DataFilter
from surefoot.errors import ConfigError, UnknownNameError, check_name
from surefoot.evaluation.protocol import ProtocolName
from surefoot.json_files import MOST_NESTED, check_json
from surefoot.ranges import COUNT, SEED, Range, Ranged, Relation
from surefoot.tasks import TASKS, get_task
from surefoot.tasks.own_task import is_task_file
from surefoot.tasks.read_task_file import read_task_file
from surefoot.tasks.toml_lines import read_toml

Role = Literal["development", "held-out"]
HELD_OUT: Role = "held-out"
_WHAT = "the plan of a benchmark"
_NAME = re.compile(r"\w[\w.-]{0,59}")


@dataclass(frozen=True)
class TaskEntry(Ranged):
    """A task of a plan."""

    data: str
    """Its data; a relative path counts from the folder of data."""
    role: Role = "development"
    """development: methods may be chosen on it. held-out: looked at a few times only, each noted in the log."""
    fractions: Annotated[tuple[float, ...], Range("(0, 1]", fewest=1)] = (1.0,)
    """Random shares of the data's episodes, a cell of each method for each."""

    def _relations(self) -> Iterator[Relation]:
        differ = len(set(self.fractions)) == len(self.fractions)
        yield Relation(differ, "fractions", f"expected different shares, found {list(self.fractions)}")


@dataclass(frozen=True)
class Method(Ranged):
    """A method of a plan: the same on every task."""

    algorithm: str
    """Name of the algorithm."""
    preset: str = "small"
    """Named hyper-parameters that `overrides` change."""
    data_filter: DataFilter = "all"
    """Episodes to train on, as in `surefoot train`."""
    filter_cost_limit: Annotated[float | None, Range("[0, inf)")] = None
    """The filter's cost limit; by default each task's limit in the strict protocol."""
    held_out: Annotated[float, Range("[0, 1)")] = 0.0
    """Share of the data's episodes that training never sees, as in `surefoot train`: for its verdict."""
    title: str | None = None
    """Its name in tables and figures; by default its key in the plan."""
    overrides: dict[str, Any] = field(default_factory=dict)
    """Hyper-parameters in place of the preset's; those of a nested configuration in a table of their own."""

    def _relations(self) -> Iterator[Relation]:
        goes = self.filter_cost_limit is None or self.data_filter not in ("all", "frontier", "pareto")
        sentence = f"expected none with the data filter {self.data_filter}, found one"
        yield Relation(goes, "filter_cost_limit", sentence)


@dataclass(frozen=True)
class Plan(Ranged):
    """Tasks x methods x fractions, each a cell of all seeds."""

    name: str
    """Tells plans apart: a store holds the cells of one."""
    tasks: dict[str, TaskEntry]
    """Task -> its data and its role."""
    methods: dict[str, Method]
    """Key of the method -> what it is."""
    seeds: Annotated[tuple[int, ...], Range(SEED, fewest=1)] = (0, 1, 2)
    """Of every method, trained side by side."""
    episodes: Annotated[int, Range(COUNT)] = 20
    """Evaluation episodes of each seed."""
    protocols: tuple[ProtocolName, ...] = ("strict",)
    """Cost limits that the episodes are scored against."""
    split_seeds: bool = False
    """Make a cell of each seed, so that many machines share a task."""
    baseline: str | None = None
    """Method that the others are compared with, on the tasks that it is safe on."""
    held_out_log: str = "held_out_log.md"
    """File of the looks at held-out tasks; a relative path counts from the plan's folder."""
    held_out_looks: Annotated[int, Range("[0, 1000]")] = 3
    """Looks at held-out tasks in all."""
    revision: str = ""
    """Enters every cell's key: another text runs all cells anew, as after a change of the code."""

    def _relations(self) -> Iterator[Relation]:
        sentence = f"expected letters, digits, dots and dashes, found {self.name!r:.60}"
        yield Relation(_NAME.fullmatch(self.name) is not None, "name", sentence)
        for what, found in (("task", self.tasks), ("method", self.methods), ("protocol", self.protocols)):
            yield Relation(bool(found), f"{what}s", f"expected at least one {what}, found none")
        for key in self.methods:
            sentence = f"expected names of letters, digits, dots and dashes, found {key!r:.60}"
            yield Relation(_NAME.fullmatch(key) is not None, "methods", sentence)
        for key, values in (("seeds", self.seeds), ("protocols", self.protocols)):
            yield Relation(len(set(values)) == len(values), key, f"expected different ones, found {list(values)}")
        titles = [self.title_of(key) for key in self.methods]
        for title in sorted({title for title in titles if titles.count(title) > 1}):
            yield Relation(False, "methods", f"expected different titles, found '{title}' twice")
        known = self.baseline is None or self.baseline in self.methods
        sentence = f"expected one of {', '.join(self.methods) or 'its methods'}, found {self.baseline}"
        yield Relation(known, "baseline", sentence)

    def title_of(self, method: str) -> str:
        """Name of a method in tables."""
        return self.methods[method].title or method


def read_plan(path: Path) -> Plan:
    """Read the plan of a benchmark.

    Args:
        path: The TOML file.

    Returns:
        The plan.

    Raises:
        ConfigError: The file has another form; the sentence names file, key, expected and found.
    """
    values, _ = read_toml(path, what=_WHAT)
    _check_values(values, str(path), path)
    _check_keys(values, Plan, str(path))
    tasks, methods = _table(values, "tasks", path), _table(values, "methods", path)
    # A task's data alone stand for its table.
    entries = {name: {"data": one} if isinstance(one, str) else one for name, one in tasks.items()}
    kinds: tuple[tuple[str, Any, Any], ...] = (("tasks", entries, TaskEntry), ("methods", methods, Method))
    for key, table, kind in kinds:
        for name, one in table.items():
            _check_keys(one, kind, f"{path}: {key}.{name}")
            _checked(one, kind, f"{path}: {key}.{name}")
    return _checked({**values, "tasks": _by_own_names(entries, str(path))}, Plan, str(path))


def _by_own_names(entries: dict[str, Any], place: str) -> dict[str, Any]:
    """The tasks by surefoot's names, where DSRL's are given, and by those in task files, which lie beside the plan."""
    found: dict[str, Any] = {}
    for name, entry in entries.items():
        try:
            own = read_task_file(Path(place).parent / name, taken=list(TASKS)).task.name if is_task_file(name) else ""
            known = own or get_task(name).name
        except UnknownNameError as error:
            raise ConfigError(f"{place}: tasks: {error}") from error
        if known in found:
            raise ConfigError(f"{place}: tasks: expected each task once, found {known} twice.")
        found[known] = entry
    return found


def _checked(values: Any, kind: Any, place: str) -> Any:
    """A table of the plan as its dataclass; errors begin with `place`."""
    try:
        return check_json(values, kind, place=place, what=_WHAT)
    except ConfigError as error:
        raise error if str(error).startswith(place) else ConfigError(f"{place}: {error}") from error


def _table(values: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
    found = values.get(key)
    if not isinstance(found, dict):
        shown = "none" if found is None else f"{found!r:.60}"
        raise ConfigError(f"{path}: {key}: expected a table, found {shown}.")
    return found


def _check_keys(values: Any, kind: Any, place: str) -> None:
    """Raise `ConfigError` where a table has a key that is no field of `kind`, or is no table."""
    if not isinstance(values, dict):
        raise ConfigError(f"{place}: expected a table, found {values!r:.60}.")
    for key in values:
        try:
            inside = "a hyper-parameter in the table overrides" if kind is Method else ""
            check_name("key", key, [one.name for one in dataclasses.fields(kind)], also=inside)
        except UnknownNameError as error:
            raise ConfigError(f"{place}: {error}") from error


def _check_values(value: Any, place: str, path: Path, depth: int = 0) -> None:
    """Raise `ConfigError` for dates, times, infinities and NaN, which TOML has and a plan has not, and deep nesting."""
    if depth > MOST_NESTED:
        raise ConfigError(f"{path}: expected {_WHAT}, found tables or lists nested too deeply.")
    if isinstance(value, dict):
        for key, part in value.items():
            _check_values(part, f"{place}: {key}" if place == str(path) else f"{place}.{key}", path, depth + 1)
    elif isinstance(value, list):
        for part in value:
            _check_values(part, place, path, depth + 1)
    elif isinstance(value, str) and "\0" in value:
        raise ConfigError(f"{place}: expected text without null characters, found {value!r:.60}.")
    elif not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
        raise ConfigError(f"{place}: expected text, a finite number, a list or a table, found {value}.")
