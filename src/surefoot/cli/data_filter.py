"""`surefoot data filter KIND`: DSRL's filters, each with its own options."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from surefoot.cli.data_source import Opened, Source, check_output, open_source, write_result
from surefoot.cli.options import parse
from surefoot.cli.routes import given_options
from surefoot.cli.terminal import say_lines
from surefoot.data import Dataset, filters
from surefoot.data.density import DensityGrid, density_grid
from surefoot.data.selection import naming
from surefoot.errors import check_name
from surefoot.faults import Faults
from surefoot.ranges import COUNT, NUMBER, SEED, Range
from surefoot.routes import refuse_others


@dataclass(frozen=True, kw_only=True)
class FilterOptions(Source):
    """What every filter is told."""

    out: Path
    """HDF5 file to write."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace the file if it exists."""


@dataclass(frozen=True, kw_only=True)
class DrawingOptions(FilterOptions):
    """What the filters are told that draw by chance."""

    seed: Annotated[int, Range(SEED)] = 0
    """Of what is drawn by chance."""


@dataclass(frozen=True, kw_only=True)
class DensityOptions(DrawingOptions):
    """Thin crowded cells of a grid over cost return and return, and empty sparse ones."""

    share: Annotated[float | None, Range("(0, 1]")] = None
    """Take DSRL's published grid that leaves about this share of the task's episodes, instead of the four below."""
    cost_bins: Annotated[int, Range("[1, 10000]")] = 10
    """Equal bins of the reference cost range."""
    return_bins: Annotated[int, Range("[1, 10000]")] = 50
    """Equal bins of the reference return range."""
    most: Annotated[int, Range(COUNT)] = 30
    """Episodes kept in a cell."""
    at_least: Annotated[int, Range(NUMBER)] = 2
    """A cell with so many episodes or fewer loses all of them."""


@dataclass(frozen=True, kw_only=True)
class OutliersOptions(DrawingOptions):
    """Make some of the best but costly episodes look safe, with 1.5 times their reward."""

    share: Annotated[float, Range("[0, 1]")]
    """Of the episodes with at least half of the largest cost return and of the largest return."""
    cost_limit: Annotated[float | None, Range("[0, inf)")] = None
    """The faked cost return is below; by default the task's strict limit."""


@dataclass(frozen=True, kw_only=True)
class NoiseOptions(DrawingOptions):
    """Add Gaussian noise to the observations."""

    scale: Annotated[float, Range("[0, inf)")]
    """Standard deviation, relative to each column's own."""


@dataclass(frozen=True, kw_only=True)
class InpaintOptions(FilterOptions):
    """Remove the episodes in a box of cost return and return."""

    box: Annotated[tuple[float, float, float, float], Range("[0, 1]")]
    """Lowest and highest cost return, lowest and highest return, relative to the data's range, from 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class EpsilonOptions(FilterOptions):
    """Remove the best safe episodes, or the best unsafe ones."""

    epsilon: Annotated[float, Range("(-inf, inf)")]
    """How near to the best return, in the task's reward units; negative: the unsafe ones."""
    cost_limit: Annotated[float | None, Range("[0, inf)")] = None
    """Safe up to this cost return; by default the task's strict limit."""


@dataclass(frozen=True, kw_only=True)
class SafeOptions(FilterOptions):
    """Keep the episodes within the cost limit (BC-Safe)."""

    cost_limit: Annotated[float | None, Range("[0, inf)")] = None
    """Largest cost return; by default the task's strict limit."""


@dataclass(frozen=True, kw_only=True)
class RiskyOptions(FilterOptions):
    """Keep the episodes of at least twice the cost limit."""

    cost_limit: Annotated[float | None, Range("[0, inf)")] = None
    """Half of the smallest cost return; by default the task's strict limit."""


@dataclass(frozen=True, kw_only=True)
class BoundaryOptions(FilterOptions):
    """Keep the episodes of half to 1.5 times the cost limit."""

    cost_limit: Annotated[float | None, Range("[0, inf)")] = None
    """The middle; by default the task's strict limit."""


@dataclass(frozen=True, kw_only=True)
class FrontierOptions(FilterOptions):
    """Keep the highest returns in each bin of the cost return."""

    cost_bins: Annotated[int, Range("[1, 10000]")] = 20
    """Equal bins of the data's own cost range."""
    most: Annotated[int, Range(COUNT)] = 1
    """Episodes kept in a bin."""


def _limit(options: Any, opened: Opened) -> float:
    return opened.task.cost_limit if options.cost_limit is None else options.cost_limit


def _density(options: DensityOptions, opened: Opened) -> Dataset:
    if options.share is not None:
        grid = density_grid(opened.task, options.share)
    else:
        grid = DensityGrid(options.cost_bins, options.return_bins, options.most, options.at_least)
    bounds = filters.reference_bounds(opened.dataset, opened.task)
    return filters.density(opened.dataset, grid, bounds=bounds, seed=options.seed)


def _outliers(options: OutliersOptions, opened: Opened) -> Dataset:
    limit = _limit(options, opened)
    return filters.outliers(opened.dataset, share=options.share, cost_limit=limit, seed=options.seed)


def _by_cost(mode: filters.CostMode) -> Callable[[Any, Opened], Dataset]:
    return lambda options, opened: filters.by_cost(opened.dataset, mode, cost_limit=_limit(options, opened))


GRID = {"cost_bins", "return_bins", "most", "at_least"}
"""Options that say what a published grid says, too."""
FILTERS: dict[str, tuple[Any, Callable[[Any, Opened], Dataset]]] = {
    "density": (DensityOptions, _density),
    "outliers": (OutliersOptions, _outliers),
    "noise": (NoiseOptions, lambda o, opened: filters.noise(opened.dataset, scale=o.scale, seed=o.seed)),
    "inpaint": (InpaintOptions, lambda o, opened: filters.inpaint(opened.dataset, [o.box])),
    "epsilon": (
        EpsilonOptions,
        lambda o, opened: filters.without_best(opened.dataset, epsilon=o.epsilon, cost_limit=_limit(o, opened)),
    ),
    "safe": (SafeOptions, _by_cost("safe")),
    "risky": (RiskyOptions, _by_cost("risky")),
    "boundary": (BoundaryOptions, _by_cost("boundary")),
    "frontier": (
        FrontierOptions,
        lambda o, opened: filters.by_cost(opened.dataset, "frontier", cost_bins=o.cost_bins, most=o.most),
    ),
}
"""Kind -> its options, and what it does."""


def filter_command(arguments: Sequence[str]) -> None:
    """Run `surefoot data filter`."""
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help"):
        say_lines(_usage())
        return
    kind, work = FILTERS[check_name("filter", name, FILTERS)]
    with Faults() as faults:
        options = parse(kind, arguments[1:], command=f"data filter {name}", faults=faults)
        if isinstance(options, DensityOptions) and options.share is not None:
            taken = {field.name for field in dataclasses.fields(options)} - GRID
            with faults.also():
                refuse_others(
                    options,
                    taken,
                    "a published grid (--share)",
                    given=given_options(kind, arguments, refused=faults.flags),
                )
        check_output(options.out, overwrite=options.overwrite)
    opened = open_source(options)
    used = {
        key: value
        for key, value in vars(options).items()
        if key not in ("source", "task", "out", "overwrite", "strict")
    }
    with naming(opened.path):
        result = work(options, opened)
    write_result(options.out, result, opened, f"filter {name}", used, strict=options.strict)


def _usage() -> str:
    width = max(len(name) for name in FILTERS)
    lines = [f"  {name:<{width}}  {' '.join(kind.__doc__.split())}" for name, (kind, _) in FILTERS.items()]
    head = ["usage: surefoot data filter KIND SOURCE --out FILE [options]", "", "kinds:"]
    return "\n".join([*head, *lines, "", "  surefoot data filter KIND --help  shows a kind's options"])
