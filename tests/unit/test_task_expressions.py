"""Expressions over a log's columns: what they compute, what they refuse, and their units."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.errors import ConfigError
from surefoot.tasks.expressions import FUNCTIONS, parse_expression
from surefoot.tasks.units import parse_unit

COLUMNS = {
    "level": np.array([0.5, 0.9, 0.1, 1.0]),
    "valve": np.array([0.0, 1.0, 2.0, 3.0]),
    "observation.state[0]": np.array([1.0, 2.0, 3.0, 4.0]),
    "valve position": np.array([4.0, 3.0, 2.0, 1.0]),
}
STARTS = np.array([True, False, True, False])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abs(level - 0.5) - 0.3", [-0.3, 0.1, 0.1, 0.2]),
        ("-level", [-0.5, -0.9, -0.1, -1.0]),
        ("level > 0.5", [0, 1, 0, 1]),
        ("0.2 < level <= 0.9", [1, 1, 0, 0]),
        ("not (level > 0.5) and valve < 1", [1, 0, 0, 0]),
        ("level > 0.95 or valve == 0", [1, 0, 0, 1]),
        ("max(level, valve, 0.7)", [0.7, 1.0, 2.0, 3.0]),
        ("min(level, 0.5)", [0.5, 0.5, 0.1, 0.5]),
        ("clip(valve, 1, 2)", [1, 1, 2, 2]),
        ("sqrt(valve) ** 2", [0, 1, 2, 3]),
        ("hypot(valve, 0)", [0, 1, 2, 3]),
        ("where(level > 0.5, 1, valve)", [0, 1, 2, 1]),
        # The first row of an episode is its own previous one: rows 0 and 2.
        ("level - prev(level)", [0, 0.4, 0, 0.9]),
        ("prev(prev(valve))", [0, 0, 2, 2]),
        ("observation.state[0] % 2", [1, 0, 1, 0]),
        ('column("valve position") / 2', [2.0, 1.5, 1.0, 0.5]),
        ("sin(0 * level) + cos(0 * level)", [1, 1, 1, 1]),
        ("True + 2", [3, 3, 3, 3]),
    ],
)
def test_values(text: str, expected: list[float]) -> None:
    np.testing.assert_allclose(parse_expression(text).evaluate(COLUMNS, STARTS), expected, atol=1e-12)


def test_columns_in_their_order() -> None:
    text = 'valve + level * valve - observation.state[0] + column("valve position") + sqrt(abs(other))'
    found = parse_expression(text).columns
    assert found == ("valve", "level", "observation.state[0]", "valve position", "other")


def test_what_cannot_be_computed_is_not_finite_and_takes_no_time() -> None:
    assert np.isnan(parse_expression("sqrt(-1 - valve)").evaluate(COLUMNS, STARTS)).all()
    assert np.isinf(parse_expression("9 ** 9 ** 9 ** 9").evaluate(COLUMNS, STARTS)).all()
    assert np.isinf(parse_expression("1" + "0" * 400).evaluate(COLUMNS, STARTS)).all()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("__import__('os').system('true')", "found __import__('os').system()"),
        ("open('x')", f"expected no call but of {', '.join(FUNCTIONS)}, found open()"),
        ("level.__class__()", "found level.__class__()"),
        ("[x for x in level]", "expected numbers, columns"),
        ("level[valve]", "expected numbers, columns"),
        ("level if valve else 1", "expected numbers, columns"),
        ("lambda: 1", "expected numbers, columns"),
        ("'text'", "expected numbers, columns"),
        ("1j", "expected numbers, columns"),
        ("level @ valve", "expected numbers, columns"),
        ("level in valve", "expected numbers, columns"),
        ("(level := 2)", "expected numbers, columns"),
        ("abs(level, valve)", "expected 1 argument of abs(), found 2"),
        ("min(level)", "expected 2 to 20 arguments of min(), found 1"),
        ("clip(level, a=1, b=2)", "expected 3 arguments of clip(), found names for them"),
        ("min(*level, 2)", "of min()"),
        ("column(level)", "expected column() with a name in quotes"),
        ("level -", "expected an expression over columns, found 'level -' (invalid syntax)"),
        ("", "expected an expression over columns"),
        ("level = 2", "expected an expression over columns"),
        ("(" * 3000, "at most 2,000 characters, found 3,000"),
        ("(" * 900 + ")" * 900, "expected an expression"),
        ("-" * 200 + "level", "nested at most 60 deep"),
        ("level\0", "expected an expression over columns"),
    ],
)
def test_refusals(text: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_expression(text)
    assert part in str(caught.value)


@given(st.text(st.sampled_from("ablevx012.()[]+-*/<>=,'_ :@%\n\\{}&|~!"), max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        expression = parse_expression(text)
    except ConfigError:
        return
    values = {name: np.ones(4) for name in expression.columns}
    assert expression.evaluate(values, STARTS).shape == (4,)


# --- units -----------------------------------------------------------------------------------------------------------

UNITS = {"level": parse_unit("m"), "flow": parse_unit("m^3/s"), "dm": parse_unit("dm"), "p": parse_unit("bar")}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("m/s", "m s^-1"), ("N", "kg m/s^2"), ("kPa", "1 kPa"), ("W", "J/s"), ("l/min", "L min-1"), ("km/h", "km/h"),
        ("rpm", "rev/min"), ("V*A", "W"),
    ],
)  # fmt: skip
def test_equal_units(one: str, other: str) -> None:
    assert parse_unit(one).equals(parse_unit(other))


def test_kinds_and_sizes() -> None:
    assert parse_unit("bar").is_kind_of(parse_unit("kPa"))
    assert not parse_unit("bar").equals(parse_unit("kPa"))
    assert not parse_unit("rad").is_kind_of(parse_unit("m"))
    assert parse_unit("mm").size == pytest.approx(1e-3)
    assert parse_unit("min").size == 60.0  # no milli-inch


@pytest.mark.parametrize("text", ["", "metre", "m//s", "/s", "m^x", "m" * 100, "Banana"])
def test_what_is_no_unit(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a unit as m/s, kPa or degC, found"):
        parse_unit(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abs(level - 0.5) - 0.3", "m"),
        ("sqrt(level * level)", "m"),
        ("level ** 2", "m^2"),
        ("flow / level", "m^2/s"),
        ("-max(level, prev(level))", "m"),
        ("where(flow > 1, level, 0)", "m"),
        ("0.5 * flow", None),  # the number may carry a unit
        ("level - 0.5 * flow", "m"),
        ("level > 2", None),
        ("unknown - level", "m"),
    ],
)
def test_units_of_expressions(text: str, expected: str | None) -> None:
    found = parse_expression(text).unit(UNITS)
    assert found is None if expected is None else found is not None and found.equals(parse_unit(expected))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("level + flow", "expected units of one kind, found level in m and flow in m^3/s"),
        ("level < dm", "expected one unit, found level in m and dm in dm"),
        ("max(level, 2, p)", "expected units of one kind, found level in m and p in bar"),
        ("abs(level + p) - 1", "expected units of one kind"),
        ("(level < flow) and level > 0", "expected units of one kind"),
    ],
)
def test_units_that_do_not_go_together(text: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_expression(text).unit(UNITS)
    assert part in str(caught.value)
