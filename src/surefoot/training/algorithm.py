"""What an algorithm's phases begin with, and its hyper-parameters as JSON and back."""

import dataclasses
import types
import typing
from typing import Any, TypeVar

from surefoot.checkpoint import as_json
from surefoot.errors import ConfigError, FieldError
from surefoot.protocols import Calibrates, Relabels
from surefoot.types import BEFORE


def relabel_interval(algorithm: object, phase: str) -> int:
    """Updates after which labels are renewed; 0 where the phase has none."""
    return algorithm.relabel_interval(phase) if isinstance(algorithm, Relabels) else 0


def is_calibrated(algorithm: object, phase: str) -> bool:
    """Whether a phase begins with a calibration."""
    return isinstance(algorithm, Calibrates) and phase in algorithm.calibrated_phases


def hyperparameters(algorithm: object) -> dict[str, Any]:
    """The fields of an algorithm as JSON values."""
    return as_json(dataclasses.asdict(typing.cast(Any, algorithm)))


T = TypeVar("T")


def from_hyperparameters(kind: type[T], values: dict[str, Any], *, source: str) -> T:
    """The algorithm whose fields are `values`, as `hyperparameters` wrote them; `source` names their file in errors.

    Every field must be there and no other: a default that changed since must not change an old run. A field that was
    added later says what it is then (`BEFORE`). `ConfigError`.
    """
    declared = [field for field in dataclasses.fields(typing.cast(Any, kind)) if field.init]
    fields = [field.name for field in declared]
    values = {field.name: field.metadata[BEFORE] for field in declared if BEFORE in field.metadata} | values
    if missing := [name for name in fields if name not in values]:
        raise ConfigError(f"{source}: hyperparameter '{missing[0]}': expected a value, found none.")
    if extra := [name for name in values if name not in fields]:
        raise ConfigError(f"{source}: hyperparameter '{extra[0]}': {kind.__name__} has no such field.")
    hints = typing.get_type_hints(kind)  # without ranges
    found = {name: _from_json(hints[name], values[name], source=source) for name in fields}
    try:
        return kind(**found)
    except FieldError as error:
        raise ConfigError(f"{source}: {error}") from error


def _from_json(hint: Any, value: Any, *, source: str) -> Any:
    """JSON's lists as tuples (an algorithm is hashable), and dictionaries as the dataclass that the field declares."""
    if isinstance(value, list):
        inner = [argument for argument in typing.get_args(hint) if argument is not Ellipsis]
        return tuple(_from_json(inner[0] if len(inner) == 1 else None, item, source=source) for item in value)
    if isinstance(value, dict):
        for option in typing.get_args(hint) if _is_union(hint) else (hint,):
            if dataclasses.is_dataclass(option):
                return from_hyperparameters(typing.cast(type[Any], option), value, source=source)
    return value


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)
