"""Reading and checking of task files. Every fault is one sentence with file, line, key, expected and found."""

import difflib
import functools
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, NoReturn

from surefoot.errors import ConfigError
from surefoot.tasks.expressions import Expression, parse_expression
from surefoot.tasks.task_file import ENDS, FILES, GAPS, ConstraintTable, RewardTable, TaskFile
from surefoot.tasks.toml_lines import line_of, read_toml
from surefoot.tasks.units import Unit, parse_unit

LONGEST, SMALLEST, LARGEST = 2**31 - 1, 2.0**-126, float.fromhex("0x1.fffffep127")
"""Largest horizon in steps; smallest and largest number in 32 bits."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_EXPECTED = {
    "reference_returns": '"from data" or [low, high]',
    "scale": '"from data" or a number above 0',
}
"""Values of a key that may have several types, for messages."""
_TYPES = {"string": "text in quotes", "tuple": "a list", "list": "a list", "dict": "a table", "bool": "true or false"}


class TaskFileReader:
    """Text of a task file, and the wording of faults in it."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text = path, text

    def refuse(self, key: Sequence[str | int], sentence: str) -> NoReturn:
        """Raise `ConfigError` that names file, line and key; `sentence` is "expected ..., found ..."."""
        number = line_of(self.text, tuple(key))
        place = f"{self.path}" if number is None else f"{self.path}: line {number}"
        raise ConfigError(f"{place}: {_dotted(key)}: {sentence}.")


def read_task_file(path: str | os.PathLike[str], *, taken: Sequence[str] = ()) -> TaskFile:
    """Read a task file, checked as far as possible without a log.

    Args:
        path: TOML file.
        taken: Names of other tasks.

    Returns:
        The task file.

    Raises:
        ConfigError: It cannot be used; one sentence.
    """
    return open_task_file(path, taken=taken)[0]


def open_task_file(path: str | os.PathLike[str], *, taken: Sequence[str] = ()) -> tuple[TaskFile, TaskFileReader]:
    """Read a task file, and return it with a reader that names the lines of later faults."""
    path = Path(path)
    values, text = read_toml(path, what="a task file")
    reader = TaskFileReader(path, text)
    found = parse_task_file(values, reader)
    check_task_file(found, reader, taken)
    return found, reader


def parse_task_file(values: Mapping[str, Any], reader: TaskFileReader) -> TaskFile:
    """Tables of a task file from TOML or JSON values. Raises `ConfigError`."""
    from pydantic import ValidationError  # takes a tenth of a second, which `import surefoot` is spared

    _check_values(values, (), reader)
    try:
        return _adapter().validate_json(json.dumps(values), strict=True)
    except ValidationError as fault:
        first = fault.errors(include_url=False, include_context=False)[0]
        reader.refuse(*_fault(first, _key(first, values), values))


def task_schema() -> dict[str, Any]:
    """JSON schema of a task file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_adapter().json_schema(mode="validation"),
        "title": "Surefoot task file",
    }


@functools.cache
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(TaskFile)


# --- faults of form --------------------------------------------------------------------------------------------------


def _check_values(value: Any, key: tuple[str | int, ...], reader: TaskFileReader) -> None:
    """Refuse what TOML has and JSON has not: dates, nan and inf."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            _check_values(part, (*key, name), reader)
    elif isinstance(value, list):
        for number, part in enumerate(value):
            _check_values(part, (*key, number), reader)
    elif isinstance(value, date | datetime | time):
        reader.refuse(key, f"expected a number or a text, found the date {value}")
    elif isinstance(value, float) and not math.isfinite(value):
        reader.refuse(key, f"expected a finite number, found {value}")
    elif isinstance(value, int) and abs(value) >= 2**63:
        reader.refuse(key, "expected a number below 2^63, found a larger one")


def _key(first: Any, values: Any) -> list[str | int]:
    """The key of what pydantic found wrong, without the types of a union that it tried."""
    key: list[str | int] = []
    for part in first["loc"]:
        there = part in values if isinstance(values, Mapping) else isinstance(values, list) and isinstance(part, int)
        if not there:
            return [*key, part] if first["type"] in ("missing", "missing_argument") else key
        key.append(part)
        values = values[part]
    return key


def _fault(first: Any, key: list[str | int], values: Mapping[str, Any]) -> tuple[list[str | int], str]:
    """Key and "expected ..., found ..." of what pydantic found wrong."""
    kind = first["type"]
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        return key, f"expected {_near(str(key[-1]), key[:-1])}, found a key of that name"
    if kind in ("missing", "missing_argument"):
        return key, "expected a value, found none"
    for length in range(len(key), 0, -1):
        if key[length - 1] in _EXPECTED:
            return key[:length], f"expected {_EXPECTED[str(key[length - 1])]}, found {_shown(values, key[:length])}"
    expected = first["msg"].removeprefix("Input should be ").rstrip(".")
    for name, words in _TYPES.items():
        if kind.startswith(name) and kind.endswith("_type"):
            expected = words
    if kind == "too_short":
        expected = "at least one"
    return key, f"expected {expected}, found {_shown(values, key)}"


def _near(name: str, table: Sequence[str | int]) -> str:
    """The known keys of a table, or the one that was probably meant."""
    kind: Any = TaskFile
    for part in table:
        if isinstance(part, str):
            kind = _TABLES[part]
    known = [one for one in kind.__dataclass_fields__ if not one.startswith("_")]
    near = difflib.get_close_matches(name, known, n=1)
    return f"{near[0]!r}" if near else f"one of {', '.join(known)}"


_TABLES: dict[str, Any] = {
    "task": TaskFile.__annotations__["task"],
    "observation": TaskFile.__annotations__["observation"],
    "action": TaskFile.__annotations__["action"],
    "constraint": ConstraintTable,
    "episodes": TaskFile.__annotations__["episodes"],
    "reward": RewardTable,
    "environment": TaskFile.__annotations__["environment"].__args__[0],
    "log": TaskFile.__annotations__["log"].__args__[0],
}


def _shown(values: Any, key: Sequence[str | int]) -> str:
    for part in key:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return "none"
    text = json.dumps(values, default=str)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _dotted(key: Sequence[str | int]) -> str:
    """A key as messages write it: "constraint[1].unit"."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).removeprefix(".")


# --- faults of meaning -----------------------------------------------------------------------------------------------


def check_task_file(found: TaskFile, reader: TaskFileReader, taken: Sequence[str]) -> None:
    """Check a task file without a log. `taken`: names of other tasks. Raises `ConfigError`."""
    if _NAME.fullmatch(found.task.name) is None:
        sentence = f"expected letters, digits, dots, dashes and underscores, found {found.task.name!r:.60}"
        reader.refuse(("task", "name"), sentence)
    if found.task.horizon > LONGEST:
        reader.refuse(("task", "horizon"), f"expected at most {LONGEST:,} steps, found {found.task.horizon:,}")
    if found.task.name in taken:
        reader.refuse(("task", "name"), f"expected a name of your own, found that of the built-in {found.task.name}")
    if isinstance(found.task.reference_returns, tuple):
        low, high = found.task.reference_returns
        if low >= high:
            reader.refuse(
                ("task", "reference_returns"), f"expected [low, high] with low < high, found [{low:g}, {high:g}]"
            )
    _check_twice(found, reader)
    _check_bounds(found, reader)
    units = _units_of(found, reader)
    if found.reward is not None:
        _check_source(found.reward, ("reward",), units, reader)
    names: set[str] = set()
    for number, one in enumerate(found.constraint):
        key = ("constraint", number)
        if not one.name.strip() or one.name in names:
            reader.refuse((*key, "name"), f"expected a name that no other constraint has, found {one.name!r:.60}")
        names.add(one.name)
        _check_constraint(one, key, units, reader)
    _check_episodes(found, reader)
    if found.environment is not None and not re.fullmatch(r"[\w./-]+(:[\w.-]+)?", found.environment.make):
        sentence = f"expected a Gymnasium id or module:function, found {found.environment.make!r:.60}"
        reader.refuse(("environment", "make"), sentence)
    if found.environment is not None and not re.fullmatch(r"(info\..+)?", found.environment.cost):
        sentence = f'expected a place in info, as "info.cost", found {found.environment.cost!r:.60}'
        reader.refuse(("environment", "cost"), sentence)


def _check_twice(found: TaskFile, reader: TaskFileReader) -> None:
    for table, columns in (("observation", found.observation.columns), ("action", found.action.columns)):
        for number, name in enumerate(columns):
            if not name or name in columns[:number]:
                reader.refuse((table, "columns"), f"expected each column once, found {name!r:.60} again")


def _check_bounds(found: TaskFile, reader: TaskFileReader) -> None:
    action, width = found.action, len(found.action.columns)
    patterns = any("*" in name for name in action.columns)
    if bool(action.low) != bool(action.high):
        key = "high" if action.low else "low"
        reader.refuse(("action", key), "expected bounds on both sides, found one side alone")
    for key in ("low", "high", "rate_limit"):
        numbers = getattr(action, key)
        if numbers and not patterns and len(numbers) != width:
            sentence = f"expected {width} numbers, one for each of {', '.join(action.columns)}, found {len(numbers)}"
            reader.refuse(("action", key), sentence)
    for number, (low, high) in enumerate(zip(action.low, action.high, strict=False)):
        if low >= high:
            name = action.columns[number] if not patterns else f"column {number}"
            reader.refuse(("action", "low"), f"expected low < high, found {low:g} and {high:g} for {name}")


def _units_of(found: TaskFile, reader: TaskFileReader) -> dict[str, Unit]:
    """The units of the columns that have one."""
    units: dict[str, Unit] = {}
    for table, section in (("observation", found.observation), ("action", found.action)):
        for column, text in section.units.items():
            try:
                units[column] = parse_unit(text)
            except ConfigError as error:
                reader.refuse((table, "units", column), str(error))
            if not any(matches(pattern, column) for pattern in section.columns):
                expected = f"one of the columns {', '.join(section.columns)}"
                reader.refuse((table, "units", column), f"expected {expected}, found another")
    return units


def matches(pattern: str, name: str) -> bool:
    """Whether a column's name fits a pattern in which * stands for any letters."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) is not None


def _check_source(
    section: RewardTable | ConstraintTable,
    key: tuple[str | int, ...],
    units: Mapping[str, Unit],
    reader: TaskFileReader,
) -> tuple[Unit | None, Sequence[str]]:
    """The unit of a column or an expression, of which there must be one, and the columns that it reads."""
    if bool(section.column) == bool(section.expression):
        found = "both" if section.column else "neither"
        reader.refuse(key, f"expected a column or an expression, found {found}")
    if section.column:
        return units.get(section.column), (section.column,)
    try:
        expression = parse_expression(section.expression)
        expression.check_constants()
        return expression.unit(units), expression.columns
    except ConfigError as error:
        reader.refuse((*key, "expression"), str(error))


def _check_constraint(
    one: ConstraintTable, key: tuple[str | int, ...], units: Mapping[str, Unit], reader: TaskFileReader
) -> None:
    unit, columns = _check_source(one, key, units, reader)
    if not columns:
        sentence = f"expected at least one column, by which states differ, found {one.expression:.60}"
        reader.refuse((*key, "expression"), sentence)
    if isinstance(one.scale, int | float) and not SMALLEST <= one.scale <= LARGEST:
        expected = f"a number from {SMALLEST:g} to {LARGEST:g}, as 32 bits hold it"
        reader.refuse((*key, "scale"), f"expected {expected}, found {one.scale:g}")
    if one.kind == "cost":
        for name, given in (("safe", one.safe != "below 0"), ("unit", one.unit), ("scale", one.scale != "from data")):
            if given:
                reader.refuse((*key, name), f"expected none for a cost, found {getattr(one, name)!r}")
        return
    if one.limit:
        reader.refuse(
            (*key, "limit"), f"expected none for a signal, which is safe on one side of 0, found {one.limit:g}"
        )
    if not one.unit:
        return
    try:
        declared = parse_unit(one.unit)
    except ConfigError as error:
        reader.refuse((*key, "unit"), str(error))
    if unit is not None and not declared.equals(unit):
        what = "the unit" if declared.is_kind_of(unit) else "a unit of the kind"
        source = one.column or one.expression
        reader.refuse((*key, "unit"), f"expected {what} {unit.text}, as {source:.60} has, found {one.unit}")


def _check_episodes(found: TaskFile, reader: TaskFileReader) -> None:
    episodes = found.episodes
    if episodes.by == ENDS and not (episodes.terminated or episodes.truncated):
        expected = f'a column that tells episodes apart, "{FILES}" or "{GAPS}", or columns terminated or truncated'
        reader.refuse(("episodes", "by"), f"expected {expected}, found no episode ends")
    if episodes.by == GAPS or episodes.gaps == "split":
        for key in ("time", "step_seconds"):
            if not getattr(episodes, key):
                reader.refuse(("episodes", key), "expected a value, without which no gap is known, found none")
    if episodes.step_seconds and not episodes.time:
        reader.refuse(("episodes", "time"), "expected the column of times that step_seconds is about, found none")


def source_of(section: RewardTable | ConstraintTable) -> Expression:
    """Expression of a reward or a constraint; a column is the expression of its name alone."""
    return parse_expression(section.expression or f"column({section.column!r})")
