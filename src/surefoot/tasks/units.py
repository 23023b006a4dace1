"""Units of measurement: parsing of "m/s" or "kg m^2 s^-1", and comparison of what two units measure.

Angles are a kind of their own, so that rad and m are not mixed up. A number without a unit fits everything. Nothing is
converted: two units of one kind and different size, such as bar and kPa, are told apart, and the caller refuses them.
"""

import math
import re
from dataclasses import dataclass
from typing import NoReturn

from surefoot.errors import ConfigError, check_name

_KINDS: tuple[str, ...] = ("m", "kg", "s", "A", "K", "mol", "cd", "rad")
_SIZE_TOLERANCE = 1e-9

# name -> size in base units, exponents of the kinds above
_BASE: dict[str, tuple[float, dict[str, int]]] = {
    **{kind: (1.0, {kind: 1}) for kind in _KINDS},
    "1": (1.0, {}),
    "%": (0.01, {}),
    "g": (1e-3, {"kg": 1}),
    "t": (1e3, {"kg": 1}),
    "lb": (0.45359237, {"kg": 1}),
    "in": (0.0254, {"m": 1}),
    "ft": (0.3048, {"m": 1}),
    "mi": (1609.344, {"m": 1}),
    "min": (60.0, {"s": 1}),
    "h": (3600.0, {"s": 1}),
    "d": (86400.0, {"s": 1}),
    "deg": (math.pi / 180, {"rad": 1}),
    "rev": (2 * math.pi, {"rad": 1}),
    "rpm": (2 * math.pi / 60, {"rad": 1, "s": -1}),
    "Hz": (1.0, {"s": -1}),
    "N": (1.0, {"kg": 1, "m": 1, "s": -2}),
    "Nm": (1.0, {"kg": 1, "m": 2, "s": -2}),
    "Pa": (1.0, {"kg": 1, "m": -1, "s": -2}),
    "bar": (1e5, {"kg": 1, "m": -1, "s": -2}),
    "psi": (6894.757293168, {"kg": 1, "m": -1, "s": -2}),
    "J": (1.0, {"kg": 1, "m": 2, "s": -2}),
    "Wh": (3600.0, {"kg": 1, "m": 2, "s": -2}),
    "W": (1.0, {"kg": 1, "m": 2, "s": -3}),
    "V": (1.0, {"kg": 1, "m": 2, "s": -3, "A": -1}),
    "ohm": (1.0, {"kg": 1, "m": 2, "s": -3, "A": -2}),
    "C": (1.0, {"A": 1, "s": 1}),
    "F": (1.0, {"kg": -1, "m": -2, "s": 4, "A": 2}),
    "l": (1e-3, {"m": 3}),
    "L": (1e-3, {"m": 3}),
    # Differences of temperature; where a scale begins is the column's own affair.
    "degC": (1.0, {"K": 1}),
    "degF": (5 / 9, {"K": 1}),
}
_PREFIXES = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "c": 1e-2, "d": 1e-1, "h": 1e2, "k": 1e3, "M": 1e6, "G": 1e9}
_PREFIXED = ("m", "g", "s", "A", "K", "mol", "rad", "Hz", "N", "Nm", "Pa", "bar", "J", "Wh", "W", "V", "ohm", "C", "F",
             "l", "L")  # fmt: skip
_FACTOR = re.compile(r"\s*(?P<operator>[*/·]?)\s*(?P<name>[^\s*/·^0-9+\-]+|1|%)(?:\^?(?P<power>[+-]?[0-9]))?")


@dataclass(frozen=True)
class Unit:
    """A unit: the kind of quantity that it measures, and its size in base units."""

    text: str
    """Text that the user wrote."""
    size: float
    """Size in SI base units."""
    kind: tuple[int, ...]
    """Exponents of meter, kilogram, second, ampere, kelvin, mole, candela and radian."""

    def is_kind_of(self, other: "Unit") -> bool:
        """Whether two units measure one kind of quantity."""
        return self.kind == other.kind

    def equals(self, other: "Unit") -> bool:
        """Whether two units are equal, however they are written."""
        return self.is_kind_of(other) and math.isclose(self.size, other.size, rel_tol=_SIZE_TOLERANCE)

    def __mul__(self, other: "Unit") -> "Unit":
        kind = tuple(one + another for one, another in zip(self.kind, other.kind, strict=True))
        return Unit(f"{self.text} {other.text}", self.size * other.size, kind)

    def __truediv__(self, other: "Unit") -> "Unit":
        return (self * other.power(-1)).named(f"{self.text}/{other.text}")

    def power(self, exponent: int) -> "Unit":
        """Unit raised to a whole power."""
        kind = tuple(exponent * one for one in self.kind)
        return Unit(f"({self.text})^{exponent}", self.size**exponent, kind)

    def root(self) -> "Unit | None":
        """Square root of the unit; None where an exponent is odd."""
        if any(one % 2 for one in self.kind):
            return None
        return Unit(f"sqrt({self.text})", math.sqrt(self.size), tuple(one // 2 for one in self.kind))

    def named(self, text: str) -> "Unit":
        """Equal unit with another text."""
        return Unit(text, self.size, self.kind)


def parse_unit(text: str) -> Unit:
    """Unit that a text names, such as "m/s^2", "kg m^2", "degC" or "%".

    Raises `ConfigError`, "expected ..., found ...", without the place.
    """
    words = text.strip()
    size, position = 1.0, 0
    kind: dict[str, int] = dict.fromkeys(_KINDS, 0)
    if not words or len(words) > 80:
        _refuse(text)
    while position < len(words):
        match = _FACTOR.match(words, position)
        if match is None or (match["operator"] and not position):
            _refuse(text)
        divides = match["operator"] == "/"
        factor_size, factor_kind = _factor(match["name"], text)
        exponent = int(match["power"] or 1) * (-1 if divides else 1)
        size *= factor_size**exponent
        for name, power in factor_kind.items():
            kind[name] += power * exponent
        position = match.end()
    return Unit(words, size, tuple(kind[name] for name in _KINDS))


def _factor(name: str, text: str) -> tuple[float, dict[str, int]]:
    if name in _BASE:
        return _BASE[name]
    for prefix, factor in _PREFIXES.items():
        if name.startswith(prefix) and name.removeprefix(prefix) in _PREFIXED:
            size, kind = _BASE[name.removeprefix(prefix)]
            return factor * size, kind
    try:
        check_name("unit", name, _BASE)
    except ValueError as error:
        raise ConfigError(f"expected a unit as m/s, kPa or degC, found {text!r} ({str(error).rstrip('.')})") from error
    raise AssertionError(name)


def _refuse(text: str) -> NoReturn:
    raise ConfigError(f"expected a unit as m/s, kPa or degC, found {text!r:.90}")
