"""Committed results as figures and tables in Markdown."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

TOP = Path(__file__).parents[1]


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "".join(map(line, [head, ["---"] * len(head), *rows]))


def line(cells: Sequence[str]) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(cells)} |\n".replace("  ", " ")


def number(value: float, digits: int = 0) -> str:
    """A figure with thousands separated."""
    return f"{value:,.{digits}f}"


def percent(share: float | None, *, unit: str = " %") -> str:
    """A share in percent; none and all without a decimal, nothing for None."""
    return "" if share is None else f"{100 * share:.{0 if share in (0, 1) else 1}f}{unit}"


def listed(values: Iterable[float], digits: int = 0) -> str:
    """Figures as "1, 2, 3"."""
    return ", ".join(number(value, digits) for value in values)


def summary(*path: str) -> dict[str, Any]:
    """A JSON file below results/."""
    return json.loads(TOP.joinpath("results", *path).read_text(encoding="utf-8"))


def measured(*path: str) -> dict[str, Any]:
    """A JSON file below benchmarks/results/."""
    return json.loads(TOP.joinpath("benchmarks", "results", *path).read_text(encoding="utf-8"))
