"""Write down every flag of the command line, and the hyper-parameters of fixed presets: options.json.

python -m tests.compatibility.write_options, after a flag was changed on purpose; the change of the file is then read
like any other.
"""

import contextlib
import dataclasses
import json
import typing
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

import tyro
from tests.compatibility.recipes import OPTIONS

from surefoot.algorithms import ALGORITHMS
from surefoot.cli.main import main
from surefoot.hyperparameters import first_names, hyperparameters
from surefoot.presets import build, presets_of
from surefoot.ranges import declared_fields
from surefoot.tasks import get_task
from surefoot.types import FORMERLY, GROUP

COMMANDS = (
    "bench act", "benchmark", "calibrate", "collect", "data convert", "data download", "data filter boundary",
    "data filter density", "data filter epsilon", "data filter frontier",
    "data filter inpaint", "data filter noise", "data filter outliers", "data filter risky", "data filter safe",
    "data imitation", "data info", "data plot", "data subset", "data verify", "evaluate", "finetune",
    "import diffuser --preset paper", "quickstart",
    "report", "simulators check", "simulators install", "sweep --preset paper", "train --preset paper",
    "train --algorithm bc --preset paper",
    "train --algorithm trebi --task SafePendulum --preset paper",
    "train --algorithm fosp --task HazardRun --preset intended",
    "train --algorithm safedreamer --task HazardRun --preset intended",
)  # fmt: skip
PER_CORE = ("evaluate", "sweep")
"""Commands that use as many worker processes as the machine has cores."""
TUNED = ("small",)
"""Presets of our own measurements, which later ones change."""
PRESET_TASKS = ("BallRun", "HazardRun", "Hopper", "PointRobot", "PointRobotPixels", "SafePendulum")


class _Asked(Exception):
    """Stops a command at the parser."""


def options_of(command: str) -> dict[str, dict[str, Any]]:
    """The flags of a command: name -> type, default, range of its numbers."""
    asked: list[tuple[Any, Any]] = []

    def stop(kind: Any, *, default: Any = None, **_: Any) -> Any:
        asked.append((kind, default))
        raise _Asked

    words = command.split()
    with mock.patch.object(tyro, "cli", stop), contextlib.suppress(_Asked):
        main([*words, "--help"])
    ((kind, default),) = asked
    found = dict(_flags(kind, default, ""))
    if words[0] in PER_CORE:
        found["workers"]["default"] = "cores"
    if command == "quickstart":  # which takes a tuned preset
        tuned = {name.replace("_", "-") for name in hyperparameters(default.hyper)}
        found |= {name: {**one, "default": "of small"} for name, one in found.items() if name.split(".")[0] in tuned}
    return found


def _flags(kind: Any, default: Any, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The fields of a dataclass, and those of dataclasses in it."""
    while typing.get_origin(kind) is typing.Annotated:
        kind = kind.__origin__
    origin = typing.get_origin(kind) or kind
    filled = dict(zip(getattr(origin, "__parameters__", ()), typing.get_args(kind), strict=False))
    hints = typing.get_type_hints(origin, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(origin)}
    for name, declared in declared_fields(origin).items():
        value = _default(fields[name], default)
        nested = [filled.get(one, one) for one in declared.kinds]
        nested = [one for one in nested if dataclasses.is_dataclass(typing.get_origin(one) or one)]
        unprefixed = GROUP in fields[name].metadata or tyro.conf.arg(name="") in getattr(
            hints[name], "__metadata__", ()
        )
        if nested:
            for one in nested:
                inner = value if dataclasses.is_dataclass(value) else None
                yield from _flags(one, inner, prefix if unprefixed else f"{prefix}{name}.")
            continue
        found = {
            "type": _worded(declared),
            "default": _json(value),
            "range": None if declared.range is None else declared.range.interval,
        }
        for called in {name, fields[name].metadata.get(FORMERLY, name)}:
            yield f"{prefix}{called}".replace("_", "-"), found


def _default(field: "dataclasses.Field[Any]", default: Any) -> Any:
    if default is not None and dataclasses.is_dataclass(default):
        return getattr(default, field.name)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _worded(declared: Any) -> str:
    kinds = [
        " | ".join(map(str, typing.get_args(one))) if typing.get_origin(one) is typing.Literal else one.__name__
        for one in declared.kinds
    ]
    text = " | ".join(kinds)
    if declared.variadic is not None:
        text = f"{declared.variadic.__name__}[{text}{'' if declared.length is None else f', {declared.length}'}]"
    return f"{text} | None" if declared.optional else text


def _json(value: Any) -> Any:
    if value is dataclasses.MISSING or isinstance(value, type(tyro.MISSING)):
        return "required"
    if isinstance(value, tuple | list):
        return [_json(one) for one in value]
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return str(value)
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def fixed_presets() -> dict[str, dict[str, Any]]:
    """The hyper-parameters of every preset that is not tuned further: "fisor, BallRun, paper" -> name -> value."""
    found = {}
    for algorithm, kind in sorted(ALGORITHMS.items()):
        found[f"{algorithm}, defaults"] = first_names(kind, hyperparameters(kind()))
        for task in PRESET_TASKS:
            names = presets_of(algorithm, get_task(task))
            for name in sorted(set(names) - set(TUNED)):
                there = first_names(kind, hyperparameters(build(algorithm, get_task(task), preset=name)))
                plain = found[f"{algorithm}, defaults"]
                found[f"{algorithm}, {task}, {name}"] = {
                    key: value for key, value in there.items() if value != plain[key]
                }
    return found


def snapshot(commands: Sequence[str] = COMMANDS) -> dict[str, Any]:
    """What options.json holds."""
    return {"flags": {command: options_of(command) for command in commands}, "presets": fixed_presets()}


def _lines(groups: dict[str, dict[str, Any]]) -> str:
    """A line for each entry of each group."""
    parts = []
    for group, entries in groups.items():
        inner = ",\n".join(
            f"   {json.dumps(name)}: {json.dumps(entry, allow_nan=False)}" for name, entry in entries.items()
        )
        parts.append(f"  {json.dumps(group)}: {{\n{inner}\n  }}")
    return ",\n".join(parts)


if __name__ == "__main__":
    found = snapshot()
    OPTIONS.write_text(
        "{\n" + ",\n".join(f" {json.dumps(key)}: {{\n{_lines(part)}\n }}" for key, part in found.items()) + "\n}\n"
    )
