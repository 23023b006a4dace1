"""Fields that cannot be: one sentence with the field, what was expected, and what was found."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.errors import ConfigError, check_least, check_within, flag


@pytest.mark.parametrize(
    ("interval", "inside", "outside"),
    [
        ("[0, 1)", (0.0, 0.5), (-1e-9, 1.0, math.nan)),
        ("(0, 1]", (1e-9, 1.0), (0.0, 1.0000001, math.nan)),
        ("[0, 0.5]", (0.0, 0.5), (-0.1, 0.6)),
        ("(0, inf)", (1e-9, 1e30), (0.0, math.inf)),
        ("(-inf, inf)", (-1e30, 0.0), (-math.inf, math.inf, math.nan)),
    ],
)
def test_an_interval_has_the_ends_whose_brackets_are_square(
    interval: str, inside: tuple[float, ...], outside: tuple[float, ...]
) -> None:
    for value in inside:
        check_within(SimpleNamespace(share=value), interval, "share")
    for value in outside:
        with pytest.raises(ConfigError) as error:
            check_within(SimpleNamespace(share=value), interval, "share")
        assert str(error.value) == f"share: expected a number in {interval}, found {value:g}."


@given(value=st.integers(-5, 5), least=st.integers(-3, 3))
def test_least_refuses_what_is_smaller(value: int, least: int) -> None:
    config = SimpleNamespace(first=least, second=value)
    if value >= least:
        check_least(config, least, "first", "second")
    else:
        with pytest.raises(ConfigError, match=rf"^second: expected at least {least}, found {value}\.$"):
            check_least(config, least, "first", "second")


def test_what_is_no_number_is_refused_and_what_is_not_given_is_not() -> None:
    with pytest.raises(ConfigError, match="lanes: expected at least 1, found nan"):
        check_least(SimpleNamespace(lanes=math.nan), 1, "lanes")
    check_least(SimpleNamespace(lanes=None), 1, "lanes")


def test_a_part_is_called_with_what_holds_it() -> None:
    guide = SimpleNamespace(steps=-1, scale=math.inf)
    with pytest.raises(ConfigError, match=r"^guide\.steps: expected at least 0, found -1\.$"):
        check_least(guide, 0, "steps", part="guide")
    with pytest.raises(ConfigError, match=r"^guide\.scale: expected a number in \[0, inf\), found inf\.$"):
        check_within(guide, "[0, inf)", "scale", part="guide")


def test_options_are_called_as_they_are_typed() -> None:
    assert flag("log_interval") == "--log-interval"
    options: Any = SimpleNamespace(log_interval=0, online_share=2.0)
    with pytest.raises(ConfigError, match=r"^--log-interval: expected at least 1, found 0\.$"):
        check_least(options, 1, "log_interval", flags=True)
    with pytest.raises(ConfigError, match=r"^--online-share: expected a number in \[0, 1\], found 2\.$"):
        check_within(options, "[0, 1]", "online_share", flags=True)
