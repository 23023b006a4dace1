"""`surefoot data COMMAND`: published data fetched and checked, datasets looked at, filtered and converted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro

from surefoot import data
from surefoot.cli.data_tables import description_tables, library_table
from surefoot.cli.progress import Terminal
from surefoot.cli.subcommands import Subcommand, run_subcommand
from surefoot.cli.terminal import remark, say, show
from surefoot.data.describe import describe, gaps_sentence
from surefoot.data.selection import naming
from surefoot.errors import ConfigError
from surefoot.experiments.data_convert import ConvertRequest, convert
from surefoot.experiments.data_filter import FILTERS, Imitation, Subset, filter_data
from surefoot.experiments.data_library import download, refuse_bad, verify
from surefoot.experiments.data_logs import LogCheckRequest, LogRequest, check_data, import_data
from surefoot.experiments.data_source import Source, check_output, open_source


@dataclass(frozen=True, kw_only=True)
class DownloadOptions:
    """Fetch published DSRL data into ~/.dsrl/datasets (or DSRL_DATASET_DIR), from Hugging Face (or HF_ENDPOINT).

    A broken download goes on where it stopped. Sizes and SHA-256 are checked against the folder's manifest.json, and
    recorded there at the first download of a file."""

    tasks: tyro.conf.Positional[tuple[str, ...]]
    """Tasks, by surefoot's or DSRL's names; all: every one of the 38."""
    from_folder: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Copy the files from this folder instead; nothing goes over the network."""


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """Check published files: their bytes against the manifest, and their data against the task."""

    tasks: tyro.conf.Positional[tuple[str, ...]] = ()
    """Tasks whose files to check; none: all files in the folder."""


@dataclass(frozen=True, kw_only=True)
class InfoOptions(Source):
    """Show a dataset in numbers: episodes, lengths, returns, costs, and where its cost range has gaps."""


@dataclass(frozen=True, kw_only=True)
class PlotOptions(Source):
    """Draw a dataset: cost against return of every episode, how both are spread, lengths, and gaps."""

    out: Path
    """PNG, PDF or SVG file to write."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace the file if it exists."""


def _verify(options: VerifyOptions) -> None:
    rows = verify(options.tasks, Terminal())
    show(library_table(rows), soft_wrap=True)
    refuse_bad(rows)


def _info(options: InfoOptions) -> None:
    opened = open_source(options, Terminal(strict=options.strict))
    found = describe(opened.data, opened.task)
    for table in description_tables(found, opened):
        show(table, "")
    show(gaps_sentence(found))


def _plot(options: PlotOptions) -> None:
    from surefoot.report.data_figure import dataset_figure  # matplotlib only where it is drawn with
    from surefoot.report.style import save_figure

    if options.out.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise ConfigError(f"--out: expected a name that ends in .png, .pdf or .svg, found '{options.out}'.")
    check_output(options.out, overwrite=options.overwrite)
    opened = open_source(options, Terminal(strict=options.strict))
    with naming(opened.path):
        figure = dataset_figure(opened.data, opened.task)
    with data.replacing(options.out) as temporary:
        save_figure(figure, temporary, format=options.out.suffix[1:].lower(), dpi=200)
    say(f"{options.out}: written.")


def _check(options: LogCheckRequest) -> None:
    found = check_data(options, Terminal(strict=options.strict))
    width = max(len(name) for name, _ in found.lines)
    for name, value in found.lines:
        show(f"{name:<{width}}  {value}")
    remark(found.remarks, strict=options.strict)
    if found.sentence:
        say(found.sentence)


def _telling(work: Callable[..., None], *arguments: Any) -> Callable[..., None]:
    """The work, of which the terminal hears."""

    def tell(options: Any, **gathered: Any) -> None:
        work(options, *arguments, Terminal(strict=options.strict), **gathered)

    return tell


_FILTERS = {
    name: Subcommand(kind, _telling(filter_data, f"filter {name}"), gathers=True) for name, kind in FILTERS.items()
}
_filter = partial(run_subcommand, "data filter", _FILTERS, kind="filter", noun="kind", usage="SOURCE --out FILE ")
COMMANDS: dict[str, Subcommand] = {
    "download": Subcommand(
        DownloadOptions, lambda options: download(options.tasks, Terminal(), from_folder=options.from_folder)
    ),
    "verify": Subcommand(VerifyOptions, _verify),
    "info": Subcommand(InfoOptions, _info),
    "plot": Subcommand(PlotOptions, _plot),
    "import": Subcommand(LogRequest, _telling(import_data)),
    "check": Subcommand(LogCheckRequest, _check),
    "subset": Subcommand(Subset, _telling(filter_data, "subset"), gathers=True),
    "filter": Subcommand(None, _filter, description="Thin, spoil or choose episodes by DSRL's filters."),
    "convert": Subcommand(ConvertRequest, _telling(convert), gathers=True),
    "imitation": Subcommand(Imitation, _telling(filter_data, "imitation"), gathers=True),
}


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    run_subcommand("data", COMMANDS, arguments, about="Published data, and datasets in files.")
