"""`surefoot report`: the page of a run, or the comparison of several."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from surefoot.cli.options import parse
from surefoot.cli.progress import Terminal
from surefoot.cli.terminal import say
from surefoot.errors import ConfigError
from surefoot.report.compare import compare
from surefoot.report.run_page import report


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Write the HTML page of a run: one file that needs nothing else. Several runs on one simulator task are compared:
    table, raw rows, figure and page go into a folder."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folder of the run, or of each run to compare."""
    out: Path | None = None
    """The page (default: report.html in the run's folder); of a comparison the folder, which has no default."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    options = parse(ReportOptions, arguments, command="report")
    if not options.runs:
        raise ConfigError("report: expected the folder of a run, found none.")
    if len(options.runs) == 1:
        page = report(options.runs[0], out=options.out, observer=Terminal())
    elif options.out is None:
        raise ConfigError("--out: expected a folder for the comparison of several runs, found none.")
    else:
        page = compare(options.runs, options.out, observer=Terminal())
    say(f"The report lies at {page}")
