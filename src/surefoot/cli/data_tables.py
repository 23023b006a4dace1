"""A dataset's description, and the state of a folder of files, as tables on a terminal."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from surefoot.data.describe import Description
from surefoot.experiments.data_source import Opened, facts_of

BAR = 24
"""Widest bar, in characters."""
SPREADS = ("smallest", "lower quarter", "median", "upper quarter", "largest")


def description_tables(found: Description, opened: Opened) -> Iterator[Table]:
    """What it is; how returns, costs and lengths are spread; the limits; the bins of the cost return."""
    yield _facts(found, opened)
    yield _spreads(found)
    yield _limits(found)
    yield _bins(found)


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
    for name, value in facts_of(found, opened).items():
        table.add_row(name, value)
    return table


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
