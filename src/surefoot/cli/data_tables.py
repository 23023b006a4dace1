"""A dataset's description, and the state of a folder of files, as tables on a terminal."""

from collections.abc import Iterator, Mapping, Sequence

from rich.table import Table

from surefoot.data.describe import Description
from surefoot.experiments.data_source import Opened, facts_of
from surefoot.report.found_rows import GAP, bin_rows, limit_rows, spread_rows


def description_tables(found: Description, opened: Opened) -> Iterator[Table]:
    """What it is; how returns, costs and lengths are spread; the limits; the bins of the cost return."""
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column()
    facts.add_column(overflow="fold")  # a long path is broken, not cut
    facts.add_row(opened.task.name, str(opened.path), style="bold")
    for name, value in facts_of(found, opened).items():
        facts.add_row(name, value)
    yield facts
    yield from (_table(rows) for rows in (spread_rows(found), limit_rows(found), bin_rows(found)) if rows)


def library_table(rows: Sequence[tuple[str, str, str]]) -> Table:
    """Task, file and what was found of it."""
    table = Table("task", "file", "found", box=None, pad_edge=False)
    for name, file, news in rows:
        table.add_row(name, file, news, style=None if news.startswith("good") else "red")
    return table


def _table(rows: Sequence[Mapping[str, str]]) -> Table:
    """Numbers to the right, gaps in red."""
    table = Table(*rows[0], box=None, pad_edge=False)
    for column in table.columns:
        column.justify = "left" if column.header in ("of each episode", "") else "right"
    for row in rows:
        table.add_row(*row.values(), style="red" if GAP in row.values() else None)
    return table
