"""The values that a field of a configuration may have, declared beside the field and checked in one place.

    @dataclass(frozen=True)
    class Guide(Ranged, part="guide"):
        scale: Annotated[float, Range("[0, inf)")] = 0.1
        steps: Annotated[int | None, Range("[1, 2^31)")] = None

An interval is written as in mathematics: 0 is in "[0, 1)", and 1 is not. Without inf in it no value may be infinite,
and never NaN. A tuple's numbers all lie in it; None is left to its owner.
"""

import dataclasses
import functools
import math
import numbers
import re
import struct
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from surefoot.errors import ConfigError, Fault, FieldError

COUNT, NUMBER, SEED = "[1, 2^31)", "[0, 2^31)", "[0, 2^31)"
"""Intervals of whole numbers of 32 bits: counts from 1, counts from 0, and seeds."""
_INTERVAL = re.compile(r"([\[(])\s*(\S+)\s*,\s*(\S+)\s*([\])])")


@dataclasses.dataclass(frozen=True)
class Range:
    """Interval of a number, or of every number of a tuple."""

    interval: str
    """Interval in mathematical notation: "[0, 1)", "(0, inf)", "[1, 2^31)"."""
    fewest: int = 0
    """Smallest number of entries of a tuple."""

    def __post_init__(self) -> None:
        if _INTERVAL.fullmatch(self.interval) is None or not self.low <= self.high:
            raise ConfigError(f"interval: expected one as [0, 1) or (0, inf), found {self.interval!r}.")

    @property
    def low(self) -> float:
        """Lower end."""
        return _end(self._parts[1])

    @property
    def high(self) -> float:
        """Upper end."""
        return _end(self._parts[2])

    @property
    def whole_numbers(self) -> tuple[int, int]:
        """Smallest and largest whole number of a bounded interval."""
        opening, _, _, closing = self._parts
        return int(self.low) + (opening == "("), int(self.high) - (closing == ")")

    def words(self, *, whole: bool) -> str:
        """The interval as help texts have it: "At least 1." or "In [0, 1).". `whole`: of whole numbers."""
        if whole:
            least, most = self.whole_numbers
            return f"At least {least}." if most >= 2**20 else f"From {least} to {most}."
        if self.interval == "(-inf, inf)":
            return ""
        return {"[0, inf)": "At least 0.", "[0, inf]": "At least 0; inf: no limit.", "(0, inf)": "Above 0."}.get(
            self.interval, f"In {self.interval}."
        )

    @property
    def _parts(self) -> tuple[str, ...]:
        match = _INTERVAL.fullmatch(self.interval)
        assert match is not None
        return match.groups()

    def __contains__(self, value: float) -> bool:
        opening, _, _, closing = self._parts
        above = self.low <= value if opening == "[" else self.low < value
        return above and (value <= self.high if closing == "]" else value < self.high)


def _end(text: str) -> float:
    base, power, exponent = text.partition("^")
    return int(base) ** int(exponent) if power else float(text)


def fault_of(value: Any, range_: Range, *, whole: bool) -> str | None:
    """Fault of a number against a range.

    Args:
        value: Value to check.
        range_: Allowed range.
        whole: Whether the value must be a whole number.

    Returns:
        Text "expected ..., found ...", or None where the value lies in the range.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return f"expected a {'whole ' if whole else ''}number, found {shown(value)}"
    if whole:
        if not isinstance(value, numbers.Integral):
            return f"expected a whole number, found {shown(value)}"
        least, most = range_.whole_numbers
        if not least <= int(value) <= most:
            bound = f"at least {least}" if int(value) < least else f"at most {most}"
            return f"expected {bound}, found {shown(value)}"
        return None
    number, rounded = _as_float(value), _as_float32(value)
    if number in range_ and rounded in range_:
        return None
    expected = "at least 0 (inf for no limit)" if range_.interval == "[0, inf]" else f"a number in {range_.interval}"
    if number in range_:
        expected += " as 32 bits hold it"
    return f"expected {expected}, found {shown(value)}"


def shown(value: Any) -> str:
    """Text of a value in messages: numbers briefly, others as Python writes them, cut where they are long."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**20:
        return f"a number of {len(str(abs(value))) if abs(value) < 10**400 else 'more than 400'} digits"
    value = list(value) if isinstance(value, tuple) else value
    text = str(value) if isinstance(value, numbers.Number) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _as_float(value: Any) -> float:
    """The number; infinity where it is too large for a float."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _as_float32(value: Any) -> float:
    """The number as networks compute with it; infinity where it is too large for them."""
    number = _as_float(value)
    try:
        return struct.unpack("f", struct.pack("f", number))[0]
    except OverflowError:
        return math.copysign(math.inf, number)


def check_number(value: Any, interval: str, name: str, *, whole: bool = False) -> None:
    """Check that a number lies in an interval.

    Args:
        value: Value to check.
        interval: Allowed interval, such as "[0, 1)".
        name: Name of the value, for the message.
        whole: Whether the value must be a whole number.

    Raises:
        ConfigError: It does not.
    """
    if (fault := fault_of(value, Range(interval), whole=whole)) is not None:
        raise ConfigError(f"{name}: {fault}.")


def check_count(value: Any, name: str, interval: str = COUNT) -> None:
    """Check that a value is a whole number of an interval. Raises `ConfigError`, which calls the value `name`."""
    check_number(value, interval, name, whole=True)


class Declared(NamedTuple):
    """Values that the annotation of a field allows."""

    kinds: tuple[Any, ...]
    """Allowed types: int, float, bool, str, dataclasses, Literal's options and others; None is left out."""
    optional: bool
    """Whether None is allowed."""
    variadic: Any
    """Type of the sequence, such as tuple; None for a single value."""
    length: int | None
    """Length of a tuple of fixed length."""
    range: Range | None
    """Range of its numbers."""

    @property
    def numeric(self) -> bool:
        """Whether it holds numbers, and so needs a range."""
        return int in self.kinds or float in self.kinds


@functools.cache
def declared_fields(kind: Any) -> dict[str, Declared]:
    """Fields of a dataclass's constructor -> values that their annotations allow."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {field.name: _declared(hints[field.name]) for field in dataclasses.fields(kind) if field.init}


def _declared(hint: Any) -> Declared:
    found, kinds, optional, variadic, length = None, [], False, None, None
    for part in _parts(hint):
        if isinstance(part, Range):
            found = part
        elif part is type(None):
            optional = True
        elif isinstance(part, _Several):
            variadic, length = (part.kind, part.length) if variadic is None else (variadic, length)
        else:
            kinds.append(part)
    return Declared(tuple(kinds), optional, variadic, length, found)


class _Several(NamedTuple):
    """Marker of a hint of several values."""

    kind: Any
    length: int | None


def _parts(hint: Any) -> Iterator[Any]:
    """Types inside a hint; ranges among them, and `_Several` where it is one of several values."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        yield from (note for note in hint.__metadata__ if isinstance(note, Range))
        yield from _parts(hint.__origin__)
    elif origin in (typing.Union, types.UnionType):
        for argument in arguments:
            yield from _parts(argument)
    elif origin in (tuple, list) or (origin is not None and _is_sequence(origin)):
        yield _Several(origin, None if origin is not tuple or Ellipsis in arguments else len(arguments))
        for argument in arguments:
            if argument is not Ellipsis:
                yield from _parts(argument)
    else:
        yield hint


def _is_sequence(origin: Any) -> bool:
    return isinstance(origin, type) and issubclass(origin, Sequence) and not issubclass(origin, str)


def faults(config: Any, *, part: str = "") -> list[Fault]:
    """Faults of a dataclass's fields: numbers out of range, types other than declared.

    Nested configurations have checked themselves. `part`: field of the larger configuration that holds this one.
    """
    found = []
    for name, declared in declared_fields(type(config)).items():
        if (sentence := _field_fault(getattr(config, name), declared)) is not None:
            found.append(Fault(type(config), part, name, sentence))
    return found


class Relation(NamedTuple):
    """What holds between a field and others of a configuration."""

    good: bool
    field: str
    sentence: str
    """What is said where it does not hold: "expected ..., found ..."."""
    others: Sequence[str] = ()
    """The other fields as the largest configuration calls them, "guide.steps"; a fault of one of them goes before."""
    config: Any = None
    """The nested configuration that has the field; None: the one that says so."""
    part: str = ""
    """The field of a larger configuration that holds the nested one."""


class Ranged:
    """Base of dataclasses whose fields, then their relations, are checked at construction. `part`: field of the larger
    configuration that holds it."""

    _part = ""

    def __init_subclass__(cls, part: str = "") -> None:
        super().__init_subclass__()
        cls._part = part or cls._part

    def _relations(self) -> Iterator[Relation]:
        """What must hold between the fields."""
        yield from ()

    def __post_init__(self) -> None:
        found = faults(self, part=self._part) or [self._fault(one) for one in self._relations() if not one.good]
        if found:
            raise FieldError(found)

    def _fault(self, broken: Relation) -> Fault:
        part = broken.part or (self._part if broken.config is None else "")
        return Fault(type(broken.config or self), part, broken.field, broken.sentence, tuple(broken.others))


def _field_fault(value: Any, declared: Declared) -> str | None:
    if value is None and declared.optional:
        return None
    if declared.range is not None:
        return _numbers_fault(value, declared, declared.range)
    if declared.variadic is not None or len(declared.kinds) != 1:
        return None
    (kind,) = declared.kinds
    if typing.get_origin(kind) is Literal:
        options = typing.get_args(kind)
        known = any(value is option or (type(value) is type(option) and value == option) for option in options)
        return None if known else f"expected one of {', '.join(map(str, options))}, found {shown(value)}"
    if kind is bool and not isinstance(value, bool):
        return f"expected True or False, found {shown(value)}"
    if dataclasses.is_dataclass(kind) and isinstance(kind, type) and not isinstance(value, kind):
        return f"expected a {kind.__name__}, found {shown(value)}"
    return None


def _numbers_fault(value: Any, declared: Declared, range_: Range) -> str | None:
    whole = float not in declared.kinds
    if declared.variadic is None:
        return fault_of(value, range_, whole=whole)
    if isinstance(value, str | bytes) or not isinstance(value, declared.variadic):
        kind = "a tuple of" if declared.variadic is tuple else "several"
        return f"expected {kind} {'whole ' if whole else ''}numbers, found {shown(value)}"
    if declared.length is not None and len(value) != declared.length:
        return f"expected {declared.length} numbers, found {len(value)}"
    if len(value) < range_.fewest:
        return f"expected at least {'one number' if range_.fewest == 1 else f'{range_.fewest} numbers'}, found none"
    for one in value:
        inner = declared._replace(length=None)
        found = _numbers_fault(one, inner, range_) if isinstance(one, tuple) else fault_of(one, range_, whole=whole)
        if found is not None:
            return found
    return None
