"""Times of a log in seconds: numbers, whole ones as well, and dates; what is missing is no time."""

import numpy as np
import pytest

from surefoot.data.logs.table import seconds_of, seconds_of_moments

NEW_YEAR = 1767225600.0
"""1 January 2026 in seconds: 56 years of which 14 were leap years, (56 * 365 + 14) * 86,400."""


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        (["0", "1", "2"], [0, 1, 2]),  # NumPy would read the years 0, 1 and 2
        (["0.0", "0.5"], [0, 0.5]),
        (["2026", "2027"], [2026, 2027]),
        (["1", ""], [1, np.nan]),
        (["2026-01-01", "2026-01-01T00:00:01.5"], [NEW_YEAR, NEW_YEAR + 1.5]),
        (["2026-01-01", ""], [NEW_YEAR, np.nan]),  # was -9.2e9, a finite time
    ],
)
def test_words_as_seconds(words: list[str], seconds: list[float]) -> None:
    found = seconds_of(np.array(words))
    assert found is not None
    np.testing.assert_allclose(found, seconds)


def test_words_that_are_no_times() -> None:
    assert seconds_of(np.array(["soon", "1"])) is None


@pytest.mark.parametrize("kind", ["datetime64[s]", "timedelta64[ms]"])
def test_moments_that_are_missing_are_no_time(kind: str) -> None:
    found = seconds_of_moments(np.array([2000, "NaT"], kind))
    np.testing.assert_allclose(found, [2000 if "[s]" in kind else 2.0, np.nan])
