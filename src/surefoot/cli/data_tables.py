"""A dataset's description, and the state of a folder of files, as tables on a terminal."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from surefoot.data.describe import Description, image_range
from surefoot.data.frames import FrameData
from surefoot.experiments.data_source import Opened

BAR = 24
"""Widest bar, in characters."""
SPREADS = ("smallest", "lower quarter", "median", "upper quarter", "largest")


def description_tables(found: Description, opened: Opened) -> Iterator[Table]:
    """What it is; how returns, costs and lengths are spread; the limits; the bins of the cost return."""
    yield _facts(found, opened)
    yield _spreads(found)
    yield _limits(found)
    yield _bins(found)


def gaps_sentence(found: Description) -> str:
    """Where there are no episodes."""
    empty = int((found.cells == 0).sum())
    notes = [f"{len(found.gaps)} of {len(found.cost_counts)} bins of the cost are empty"]
    notes.append(f"{empty} of {found.cells.size} cells of cost and return")
    if found.outside:
        notes.append(f"{found.outside:,} episodes lie outside of the reference ranges")
    return "; ".join(notes) + "."


def library_table(rows: Sequence[tuple[str, str, str]]) -> Table:
    """Task, file and what was found of it."""
    table = Table("task", "file", "found", box=None, pad_edge=False)
    for name, file, news in rows:
        table.add_row(name, file, news, style=None if news.startswith("good") else "red")
    return table


def _facts(found: Description, opened: Opened) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")  # a long path is broken, not cut
    table.add_row(opened.task.name, str(opened.path), style="bold")
    facts: dict[str, Any] = {
        "transitions": f"{found.transitions:,}",
        "episodes": _episodes(found, opened.task.horizon),
        "after the last end": f"{found.unfinished_rows:,} transitions of an unfinished episode",
        "steps with a cost": f"{found.costly_steps:.1%}",
        **_images(opened),
        "origin": opened.card.get("origin") or opened.card.get("recipe") or "no card",
    }
    for name, value in facts.items():
        table.add_row(name, str(value))
    return table


def _episodes(found: Description, horizon: int) -> str:
    ends = f"{found.terminated:,} terminated, the others cut"
    if found.limit_length is not None:
        limit = "the horizon" if found.limit_length == horizon else "one length for all"
        ends += f"; those after {found.limit_length} steps, {limit}, look cut by a time limit"
    return f"{found.episodes:,} ({ends})"


def _images(opened: Opened) -> dict[str, str]:
    """What the observations are, where they are images."""
    if not isinstance(opened.data, FrameData):
        return {}
    count, *shape = opened.data.observations.shape
    low, high = image_range(opened.data)
    return {"images": f"{count:,} of {' x '.join(map(str, shape))}, values {low} to {high}"}


def _spreads(found: Description) -> Table:
    table = Table("of each episode", "mean", *SPREADS, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    spreads = {"return": found.returns, "cost": found.cost_returns, "length": found.lengths}
    for name, spread in spreads.items():
        if spread is None:
            table.add_row(name, *["none"] * (1 + len(SPREADS)))
            continue
        table.add_row(name, f"{spread.mean:,.4g}", *(f"{value:,.4g}" for value in spread.quantiles))
    return table


def _limits(found: Description) -> Table:
    table = Table("cost limit", "episodes within", "their best return", box=None, pad_edge=False)
    for column in table.columns:
        column.justify = "right"
    for limit in found.limits:
        best = "none" if limit.best_return is None else f"{limit.best_return:,.4g}"
        table.add_row(f"{limit.cost_limit:g}", f"{limit.safe_share:.1%}", best)
    return table


def _bins(found: Description) -> Table:
    table = Table("cost from", "to", "episodes", "", box=None, pad_edge=False)
    for column in table.columns[:3]:
        column.justify = "right"
    edges, most = found.cost_edges, max(*found.cost_counts, 1)
    for low, high, count in zip(edges[:-1], edges[1:], found.cost_counts, strict=True):
        bar = "█" * -(-count * BAR // most) if count else "gap"
        table.add_row(f"{low:g}", f"{high:g}", f"{count:,}", bar, style=None if count else "red")
    return table
