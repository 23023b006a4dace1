"""`surefoot data COMMAND`: published data fetched and checked, datasets looked at, filtered and converted."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from surefoot import data
from surefoot.checkpoint import versions
from surefoot.cli.data_filter import filter_command
from surefoot.cli.data_images import convert_images
from surefoot.cli.data_logs import DataCheckOptions, ImportOptions, check_data, import_data
from surefoot.cli.data_source import Source, check_output, check_outside, open_source, write_result
from surefoot.cli.data_tables import description_tables, gaps_sentence, library_table
from surefoot.cli.options import parse
from surefoot.cli.progress import ProgressLine
from surefoot.cli.remarks import remark
from surefoot.cli.routes import given_options
from surefoot.cli.terminal import say, say_lines, show
from surefoot.data import Dataset, filters, library
from surefoot.data.d4rl import load_d4rl
from surefoot.data.describe import describe
from surefoot.data.minari import save_minari
from surefoot.data.remarks import remarks
from surefoot.data.selection import naming
from surefoot.data.travel import lagged_travel_cost
from surefoot.errors import ConfigError, DataError, SurefootError, check_name
from surefoot.faults import Faults
from surefoot.ranges import COUNT, SEED, Range
from surefoot.routes import Routes, refuse_others
from surefoot.tasks import TASKS, Task, get_task

EVERY_TASK = "all"


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


@dataclass(frozen=True, kw_only=True)
class SubsetOptions(Source):
    """Keep a random share of the episodes."""

    share: Annotated[float, Range("(0, 1]")]
    """Of the episodes, above 0 and at most 1. With one seed a smaller share is part of a larger one."""
    seed: Annotated[int, Range(SEED)] = 0
    """Of the choice."""
    out: Path
    """HDF5 file to write."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace the file if it exists."""


@dataclass(frozen=True, kw_only=True)
class ImitationOptions(Source):
    """Keep good episodes, at most so many in each cell of a grid over cost return and return."""

    return_at_least: Annotated[float, Range("(-inf, inf)")]
    """Smallest return of an episode, in the task's reward units."""
    cost_bins: Annotated[int, Range("[1, 10000]")] = 10
    """Of the grid."""
    return_bins: Annotated[int, Range("[1, 10000]")] = 50
    """Of the grid."""
    most: Annotated[int, Range(COUNT)] = 30
    """Episodes kept in a cell."""
    seed: Annotated[int, Range(SEED)] = 0
    """Of the choice."""
    out: Path
    """HDF5 file to write."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace the file if it exists."""


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(Source):
    """Read DSRL's or D4RL's HDF5, a Minari dataset, or episodes of images, check them, and write another format.

    DSRL's files are rewritten block by block, uncompressed, so that data larger than the memory can stay in the file.
    D4RL's lack costs, which are computed where the task limits the speed of the same robot, or charges for it."""

    to: Literal["dsrl", "minari", "episodes", "frames", "chunks"] = "dsrl"
    """dsrl: an HDF5 file. minari: a folder. Images, from each of them to the others: episodes, a folder of compressed
    episodes; frames, one HDF5 file; chunks, a folder of NPZ chunks as FOSP's public code keeps them."""
    lagged_costs: tyro.conf.FlagCreatePairsOff[bool] = False
    """D4RL's runners only: label each step with the speed of the step before, as TREBI's published code does."""
    out: Path
    """What to write; a folder must be new."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace the file if it exists."""


_CONVERT = frozenset(("source", "task", "to", "out", "strict"))
CONVERT_ROUTES: Routes = {
    "images": _CONVERT,
    "minari": _CONVERT | {"lagged_costs"},
    "dsrl": _CONVERT | {"lagged_costs", "overwrite"},
}
"""What is converted, or to what -> the options that are read."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    name, rest = (arguments[0], arguments[1:]) if arguments else ("--help", ())
    if name in ("-h", "--help"):
        say_lines(_usage())
        return
    COMMANDS[check_name("data command", name, COMMANDS)].run(list(rest))


def download(options: DownloadOptions) -> None:
    """Fetch the tasks' files."""
    for task in _published(options.tasks):
        with ProgressLine(f"fetching {task.name}", unit="bytes") as line:
            fetched = library.get(task, source=options.from_folder, on_bytes=line.report)
        note = "; its hash was not known and is recorded from now on" if fetched.recorded else "; as recorded"
        known = fetched.known
        say(f"{fetched.path}: {fetched.news}, {known.size / 1e6:,.1f} MB, SHA-256 {known.sha256}{note}.")


def verify(options: VerifyOptions) -> None:
    """Check files, all of them even if one is bad; raises `DataError` at the end where one is."""
    directory = library.folder()
    if options.tasks:
        chosen = [(task, library.find(task)) for task in _published(options.tasks)]
    else:
        chosen = list(library.in_library(TASKS, directory))
    if not chosen:
        raise DataError(f"{directory}: expected published files to check, found none.")
    manifest, rows = library.read_manifest(directory), []
    for task, path in chosen:
        known = manifest.get(path.name)
        try:
            with ProgressLine(f"checking {task.name}", unit="bytes") as line:
                found = library.check_bytes(path, known, on_bytes=line.report)
            data.load(path, task)
        except SurefootError as error:
            rows.append((task.name, path.name, str(error)))
        else:
            news = "good" if known else f"good, but not in the manifest (SHA-256 {found.sha256})"
            rows.append((task.name, path.name, news))
    show(library_table(rows), soft_wrap=True)
    if bad := [name for name, _, news in rows if not news.startswith("good")]:
        raise DataError(f"{directory}: expected good files only, found {len(bad)} bad: {', '.join(bad)}.")


def info(options: InfoOptions) -> None:
    """Show tables."""
    opened = open_source(options)
    found = describe(opened.data, opened.task)
    for table in description_tables(found, opened):
        show(table, "")
    show(gaps_sentence(found))


def plot(options: PlotOptions) -> None:
    """Write the figure."""
    from surefoot.report.data_figure import dataset_figure  # matplotlib only where it is drawn with
    from surefoot.report.style import save_figure

    if options.out.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise ConfigError(f"--out: expected a name that ends in .png, .pdf or .svg, found '{options.out}'.")
    check_output(options.out, overwrite=options.overwrite)
    opened = open_source(options)
    with naming(opened.path):
        figure = dataset_figure(opened.data, opened.task)
    with data.replacing(options.out) as temporary:
        save_figure(figure, temporary, format=options.out.suffix[1:].lower(), dpi=200)
    say(f"{options.out}: written.")


def subset(options: SubsetOptions) -> None:
    """Write a share of the episodes."""
    check_output(options.out, overwrite=options.overwrite)
    opened = open_source(options)
    result = filters.subset(opened.dataset, share=options.share, seed=options.seed)
    settings = {"share": options.share, "seed": options.seed}
    write_result(options.out, result, opened, "subset", settings, strict=options.strict)


def imitation(options: ImitationOptions) -> None:
    """Write the good episodes, thinned."""
    check_output(options.out, overwrite=options.overwrite)
    opened = open_source(options)
    grid = data.DensityGrid(options.cost_bins, options.return_bins, options.most)
    with naming(opened.path):
        bounds = filters.reference_bounds(opened.dataset, opened.task)
    with naming(opened.path):
        result = filters.imitation(
            opened.dataset, return_at_least=options.return_at_least, grid=grid, bounds=bounds, seed=options.seed
        )
    settings = {"return_at_least": options.return_at_least, "grid": vars(grid), "seed": options.seed}
    write_result(options.out, result, opened, "imitation", settings, strict=options.strict)


def convert(options: ConvertOptions, *, given: Collection[str] = (), faults: Faults | None = None) -> None:
    """Write another format. `given`: the options that a command line names; `faults`: what is wrong with it so far."""
    source = Path(options.source)
    with faults or Faults() as gathered:
        named = None if options.task is None else get_task(options.task)
        images = library.format_of(source, named) if source.exists() else ""
        with gathered.also():
            check_outside(options.out, source)
        if images in library.IMAGE_FORMATS:
            refuse_others(options, CONVERT_ROUTES["images"], "images", given=given)
        else:
            _check_conversion(options, source, given, gathered)
    if images in library.IMAGE_FORMATS:
        convert_images(source, images, task=options.task, to=options.to, out=options.out, strict=options.strict)
        say(f"{options.out}: written, {options.to}.")
        return
    path, task = options.resolve()
    card = {"recipe": f"surefoot data convert, from {path.name}", "versions": versions()}
    if options.lagged_costs:
        labeller = lagged_travel_cost(task)
        if (found := library.format_of(path, task)) != "d4rl":
            raise ConfigError(f"--lagged-costs: expected a file of D4RL's, which has no costs, found {found}'s format.")
        card["costs"] = "lagged: the speed of the step before"
        _write_converted(options, load_d4rl(path, task, labeller=labeller), path, task, card)
    elif options.to == "dsrl" and library.format_of(path, task) == "dsrl":
        # What the file itself says of its origin is kept; it may be larger than the memory.
        with data.replacing(options.out) as temporary:
            data.rewrite(path, temporary, task, card={**data.read_card(path), "converted": card})
            written = data.load(temporary, task, mapped=True, checked=False)
            remark(remarks(written, task, place=str(path)), strict=options.strict)
    else:
        _write_converted(options, library.read(path, task), path, task, card)
    say(f"{options.out}: written, {options.to}.")


def _check_conversion(options: ConvertOptions, source: Path, given: Collection[str], faults: Faults) -> None:
    """Gather why transitions cannot be converted as the options say."""
    if options.to in library.IMAGE_FORMATS:
        raise ConfigError(f"--to {options.to}: expected images in {source}, found none.")
    with faults.also():
        refuse_others(options, CONVERT_ROUTES[options.to], "a folder, which must be new", given=given)
    with faults.also():
        check_output(options.out, overwrite=options.overwrite)


def _write_converted(options: ConvertOptions, dataset: Dataset, path: Path, task: Task, card: dict[str, Any]) -> None:
    """Write transitions that were read from `path`, with what is suspicious in them on their card."""
    found = remarks(dataset, task, place=str(path))
    remark(found, strict=options.strict)
    if found:
        card["remarks"] = found
    if options.to == "minari":
        save_minari(options.out, dataset, task, card=card)
    else:
        data.save(options.out, dataset, card=card)


@dataclass(frozen=True)
class _DataCommand:
    description: str
    run: Callable[[Sequence[str]], None]


def _summary(kind: Any) -> str:
    return " ".join(kind.__doc__.split("\n\n")[0].split())


def _convert(arguments: Sequence[str]) -> None:
    with Faults() as faults:
        options = parse(ConvertOptions, arguments, command="data convert", faults=faults)
        convert(options, given=given_options(ConvertOptions, arguments, refused=faults.flags), faults=faults)


def _command(name: str, kind: Any, work: Callable[[Any], None]) -> _DataCommand:
    def run_it(arguments: Sequence[str]) -> None:
        work(parse(kind, arguments, command=f"data {name}"))

    return _DataCommand(_summary(kind), run_it)


COMMANDS: dict[str, _DataCommand] = {
    "download": _command("download", DownloadOptions, download),
    "verify": _command("verify", VerifyOptions, verify),
    "info": _command("info", InfoOptions, info),
    "plot": _command("plot", PlotOptions, plot),
    "import": _command("import", ImportOptions, import_data),
    "check": _command("check", DataCheckOptions, check_data),
    "subset": _command("subset", SubsetOptions, subset),
    "filter": _DataCommand("Thin, spoil or choose episodes by DSRL's filters.", filter_command),
    "convert": _DataCommand(_summary(ConvertOptions), _convert),
    "imitation": _command("imitation", ImitationOptions, imitation),
}


def _usage() -> str:
    width = max(len(name) for name in COMMANDS)
    lines = [f"  {name:<{width}}  {command.description}" for name, command in COMMANDS.items()]
    head = ["usage: surefoot data COMMAND [options]", "", "Published data, and datasets in files.", "", "commands:"]
    return "\n".join([*head, *lines, "", "  surefoot data COMMAND --help  shows a command's options"])


def _published(names: Sequence[str]) -> list[Task]:
    """Tasks with a published file. Raises `ConfigError` for one that has none."""
    if list(names) == [EVERY_TASK]:
        return [task for task in TASKS.values() if task.dsrl_file is not None]
    if not names:
        raise ConfigError("tasks: expected at least one name, or all, found none.")
    tasks = [get_task(name) for name in names]
    for task in tasks:
        library.file_name(task)
    return tasks
