"""pytest's option `--algorithm`, by which `surefoot.testing` knows what to test."""

from typing import Any


def pytest_addoption(parser: Any) -> None:
    """Add the option."""
    group = parser.getgroup("surefoot", "surefoot.testing")
    group.addoption(
        "--algorithm",
        metavar="MODULE:NAME",
        help="algorithm that `pytest --pyargs surefoot.testing` tests: a class, or an instance of one",
    )
