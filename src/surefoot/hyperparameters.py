"""Hyper-parameters: configurations that nest by concern, with one flat name for each number.

A field marked with `GROUP` holds a nested configuration whose fields keep their own names in files and options, as if
they were fields of the larger one: `FISOR.beyond.safer_step` is `safer_step`. Any other nested configuration is a table
of its own, `diffusion.learning_rate`.
"""

import dataclasses
import types
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar

from surefoot.checkpoint import as_json
from surefoot.errors import ConfigError, FieldError, SurefootWarning, option
from surefoot.types import BEFORE, FORMERLY, GROUP

T = TypeVar("T")


class Declaration(NamedTuple):
    """A field of a configuration or of one of its groups."""

    owner: type[Any]
    """The dataclass that declares it."""
    field: "dataclasses.Field[Any]"


def declarations(kind: Any) -> Iterator[Declaration]:
    """Fields of a dataclass's constructor, with the fields of groups in place of the groups."""
    for field in dataclasses.fields(kind):
        if GROUP in field.metadata:
            yield from declarations(field.metadata[GROUP])
        elif field.init:
            yield Declaration(kind, field)


def flat(config: Any) -> dict[str, Any]:
    """Values of a configuration by name, with the fields of groups in place of the groups."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        found |= flat(value) if GROUP in field.metadata else {field.name: value}
    return found


def change(config: T, /, **changes: Any) -> T:
    """Copy of a configuration with other values.

    Args:
        config: Configuration.
        changes: New values by field name; fields of groups by their own names.

    Returns:
        The copy.

    Raises:
        FieldError: Values cannot be used; the message names all of a group.
        TypeError: A name is no field.
    """
    own: dict[str, Any] = {}
    faults = []
    changes = renamed(type(config), changes, warn=True)
    for field in dataclasses.fields(typing.cast(Any, config)):
        if GROUP not in field.metadata:
            continue
        names = {one.field.name for one in declarations(field.metadata[GROUP])}
        if taken := {name: changes.pop(name) for name in names & changes.keys()}:
            try:
                own[field.name] = change(getattr(config, field.name), **taken)
            except FieldError as error:
                faults += error.faults
    if faults:
        raise FieldError(faults)
    return dataclasses.replace(typing.cast(Any, config), **own, **changes)


def former_names(kind: Any) -> dict[str, str]:
    """Former name -> present name of the renamed fields of a dataclass and of its groups."""
    fields = (one.field for one in declarations(kind) if FORMERLY in one.field.metadata)
    return {field.metadata[FORMERLY]: field.name for field in fields}


def is_renamed(former: str, name: str) -> str:
    """Sentence on the use of a former name.

    Args:
        former: Former name.
        name: Present name.

    Returns:
        The sentence.
    """
    return f"{former} is called {name} now; the former name still works."


def renamed(kind: Any, values: Mapping[str, Any], *, warn: bool = False) -> dict[str, Any]:
    """Values of a dataclass by present field names, those of nested configurations, too.

    Args:
        kind: Dataclass.
        values: Values by present or former names.
        warn: Whether each former name is warned of.

    Returns:
        Values by present names.

    Raises:
        ConfigError: A value is given under both names.
    """
    former, found = former_names(kind), {}
    for name, value in values.items():
        now = former.get(name, name)
        if now != name and now in values:
            raise ConfigError(f"{option(now)}: expected it once, found it under its former name {option(name)}, too.")
        if now != name and warn:
            warnings.warn(is_renamed(option(name), option(now)), SurefootWarning, stacklevel=3)
        found[now] = _inside(kind, now, value, partial(renamed, warn=warn))
    return found


def first_names(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a dataclass by the first names of its fields, so that what is kept under a hash of them is found again.

    Args:
        kind: Dataclass.
        values: Values by present names.

    Returns:
        Values by first names.
    """
    first = {now: former for former, now in former_names(kind).items()}
    return {first.get(name, name): _inside(kind, name, value, first_names) for name, value in values.items()}


def _inside(kind: Any, name: str, value: Any, rename: Callable[[Any, Any], dict[str, Any]]) -> Any:
    """Value of a field; values of a nested configuration are renamed."""
    for one in declarations(kind) if isinstance(value, Mapping) else ():
        if one.field.name == name and (inner := _dataclass_in(typing.get_type_hints(one.owner)[name])) is not None:
            return rename(inner, value)
    return value


def hyperparameters(algorithm: object) -> dict[str, Any]:
    """Fields of an algorithm as JSON values."""
    plain = {
        name: dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value
        for name, value in flat(algorithm).items()
    }
    return as_json(plain)


def from_hyperparameters(kind: type[T], values: Mapping[str, Any], *, source: str) -> T:
    """Algorithm from its fields as `hyperparameters` gives them.

    Every field must be there and no other, as a default that changed since must not change an old run. A field that was
    added later has its older value (`BEFORE`), and a renamed field may have its former name.

    Args:
        kind: Class of the algorithm.
        values: JSON values by field name.
        source: File of the values, for messages.

    Returns:
        The algorithm.

    Raises:
        ConfigError: A field is missing or unknown, or its value cannot be used.
    """
    declared = {one.field.name: one for one in declarations(kind)}
    values = renamed(kind, values)
    values = {
        name: one.field.metadata[BEFORE] for name, one in declared.items() if BEFORE in one.field.metadata
    } | values
    if missing := [name for name in declared if name not in values]:
        raise ConfigError(f"{source}: hyperparameter '{missing[0]}': expected a value, found none.")
    if extra := [name for name in values if name not in declared]:
        raise ConfigError(f"{source}: hyperparameter '{extra[0]}': {kind.__name__} has no such field.")
    found = {}
    for name, one in declared.items():
        hint = typing.get_type_hints(one.owner)[name]  # without ranges
        found[name] = _from_json(hint, values[name], source=source)
    try:
        return _made(kind, found)
    except FieldError as error:
        raise ConfigError(f"{source}: {error}") from error


def _made(kind: type[T], values: Mapping[str, Any]) -> T:
    """Dataclass from all its values, groups included."""
    found = {
        field.name: _made(field.metadata[GROUP], values) if GROUP in field.metadata else values[field.name]
        for field in dataclasses.fields(typing.cast(Any, kind))
        if field.init
    }
    return kind(**found)


def _from_json(hint: Any, value: Any, *, source: str) -> Any:
    """JSON's lists as tuples, as an algorithm is hashable, and dictionaries as the declared dataclass."""
    if isinstance(value, list):
        inner = [argument for argument in typing.get_args(hint) if argument is not Ellipsis]
        return tuple(_from_json(inner[0] if len(inner) == 1 else None, item, source=source) for item in value)
    if isinstance(value, dict) and (inner := _dataclass_in(hint)) is not None:
        return from_hyperparameters(inner, value, source=source)
    return value


def _dataclass_in(hint: Any) -> type[Any] | None:
    """The dataclass that a field declares, alone or beside None."""
    return next(filter(dataclasses.is_dataclass, typing.get_args(hint) if _is_union(hint) else (hint,)), None)


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def prefixed(config: Any, prefix: str = "") -> dict[str, Any]:
    """Hyper-parameters of a configuration by name, those of nested configurations as "guide.steps".

    Args:
        config: Configuration.
        prefix: Text before each name.

    Returns:
        Values by name.
    """
    found: dict[str, Any] = {}
    for name, value in flat(config).items():
        nested = dataclasses.is_dataclass(value) and not isinstance(value, type)
        found |= prefixed(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return found
