"""A dataset in one figure: cost return and return of every episode, their histograms, and gaps."""

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from surefoot.data import Dataset
from surefoot.data.describe import Description, describe
from surefoot.data.frames import FrameData
from surefoot.errors import DataError
from surefoot.report.style import BLUE, GREEN, GREY, INK, VERMILION, light_grid, new_figure, styled
from surefoot.tasks import Task
from surefoot.text import plain_for_plot

BINS = 40
"""Bins of the histograms."""
MANY_TIMES = 30
"""Ratio of the fullest to the emptiest bin of lengths from which their axis is logarithmic."""
FEW = 2_000
"""Episodes up to which points are drawn strong; more of them get thinner."""


@styled
def dataset_figure(dataset: Dataset | FrameData, task: Task) -> Figure:
    """Figure of cost return against return of every complete episode, their histograms, and the lengths.

    Green is safe by the task's strict cost limit; dotted lines are DSRL's limits. Under the axis stand the ten equal
    bins of the reference cost range, open where there are no episodes.

    Args:
        dataset: Logged episodes.
        task: Task with its limits and reference ranges.

    Returns:
        The figure.

    Raises:
        DataError: No episode is complete.
    """
    found = describe(dataset, task)
    if not found.episodes:
        raise DataError(f"dataset of {dataset.task}: expected at least one complete episode to draw, found none.")
    figure = new_figure(4.4, width=8.0)
    layout = figure.get_layout_engine()
    if layout is not None:
        layout.set(hspace=0.015, wspace=0.02, h_pad=0.03)  # pyright: ignore[reportCallIssue]
    grid = figure.add_gridspec(3, 3, width_ratios=(4.2, 1.0, 1.9), height_ratios=(1.0, 4.0, 0.3))
    scatter = figure.add_subplot(grid[1, 0])
    above = figure.add_subplot(grid[0, 0], sharex=scatter)
    beside = figure.add_subplot(grid[1, 1], sharey=scatter)
    coverage = figure.add_subplot(grid[2, 0], sharex=scatter)
    lengths = figure.add_subplot(grid[1:, 2])
    costs, returns = dataset.cost_returns, dataset.returns
    safe = costs <= task.cost_limit
    _scatter(scatter, costs, returns, safe, task)
    _histogram(above, costs, safe, vertical=True)
    _histogram(beside, returns, safe, vertical=False)
    _coverage(coverage, found, "reference range" if task.dsrl_id else "range of the data")
    _lengths(lengths, dataset.lengths, task)
    scatter.tick_params(labelbottom=False)
    above.set_title(plain_for_plot(_title(found, task)), loc="left", pad=8, fontweight="bold")
    handles: list[Artist] = [
        Rectangle((0, 0), 1, 1, color=GREEN, label=f"cost at most {task.cost_limit:g} ({100 * safe.mean():.0f} %)"),
        Rectangle((0, 0), 1, 1, color=BLUE, label=f"above it ({100 * (~safe).mean():.0f} %)"),
    ]
    if task.dsrl_cost_limits:
        handles.append(Line2D([], [], color=GREY, linestyle="dotted", label="DSRL's limits"))
    corner = figure.add_subplot(grid[0, 1:])
    corner.set_axis_off()
    corner.legend(handles=handles, loc="center left", borderaxespad=1.5)
    return figure


def _title(found: Description, task: Task) -> str:
    return f"{task.name}: {found.episodes:,} episodes, {found.transitions:,} transitions"


def _scatter(
    axes: Axes, costs: Float[np.ndarray, " E"], returns: Float[np.ndarray, " E"], safe: np.ndarray, task: Task
) -> None:
    alpha = 0.55 if len(costs) <= FEW else max(0.08, 0.55 * FEW / len(costs))
    for mask, color in ((~safe, BLUE), (safe, GREEN)):
        axes.scatter(costs[mask], returns[mask], s=9, color=color, alpha=alpha, linewidths=0, rasterized=True)
    for limit in task.dsrl_cost_limits:
        axes.axvline(limit, color=GREY, linewidth=0.9, linestyle="dotted", zorder=1)
        axes.text(limit, 1.0, f"{limit:g}", transform=axes.get_xaxis_transform(), ha="center", va="bottom",
                  fontsize=7, color=GREY)  # fmt: skip
    if safe.any():
        best = int(np.where(safe, returns, -np.inf).argmax())
        axes.plot(costs[best], returns[best], marker="*", color=GREEN, markersize=11, markeredgecolor="white")
        axes.annotate(
            f"best safe {returns[best]:.4g}", (costs[best], returns[best]), xytext=(9, -2),
            textcoords="offset points", fontsize=8, color=INK, va="center",
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )  # fmt: skip
    if task.dsrl_id is not None:
        for bound in (task.return_min, task.return_max):
            axes.axhline(bound, color=GREY, linewidth=0.7, linestyle="dashed", zorder=1)
        axes.text(1.0, task.return_max, "reference ", transform=axes.get_yaxis_transform(), fontsize=7, color=GREY,
                  ha="right", va="bottom")  # fmt: skip
    axes.set_ylabel("episode return")
    light_grid(axes)


def _histogram(axes: Axes, values: Float[np.ndarray, " E"], safe: np.ndarray, *, vertical: bool) -> None:
    edges = np.histogram_bin_edges(values, BINS).tolist()
    axes.hist(
        [values[safe], values[~safe]],
        bins=edges,
        stacked=True,
        color=[GREEN, BLUE],
        orientation="vertical" if vertical else "horizontal",
    )
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(side == ("bottom" if vertical else "left"))
    axes.spines["top"].set_visible(False)
    (axes.yaxis if vertical else axes.xaxis).set_major_locator(MaxNLocator(2, integer=True))
    axes.tick_params(labelbottom=False, labelleft=vertical, labeltop=not vertical)
    if vertical:
        axes.set_ylabel("episodes")
        return
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("episodes")


def _coverage(axes: Axes, found: Description, what: str) -> None:
    """A strip of equal bins of the cost range with the number of episodes in each; empty ones are framed."""
    edges, most = found.cost_edges, max(found.cost_counts)
    for left, right, count in zip(edges[:-1], edges[1:], found.cost_counts, strict=True):
        shade = 0.15 + 0.45 * count / most if count else 0.0
        axes.add_patch(_box(left, right - left, facecolor=(0.2, 0.2, 0.2, shade), empty=count == 0))
        color = INK if count else VERMILION
        axes.text((left + right) / 2, 0.5, f"{count:,}", ha="center", va="center", fontsize=6.5, color=color)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    filled = len(found.cost_counts) - len(found.gaps)
    axes.set_xlabel(
        f"episode cost  ({plain_for_plot(what)}: episodes in {filled:d} of {len(found.cost_counts):d} bins)"
    )


def _box(left: float, width: float, *, facecolor: tuple[float, ...], empty: bool) -> Rectangle:
    edge = VERMILION if empty else "white"
    return Rectangle((left, 0.08), width, 0.84, linewidth=0.9, facecolor=facecolor, edgecolor=edge)


def _lengths(axes: Axes, lengths: np.ndarray, task: Task) -> None:
    low = 0 if lengths.min() < task.horizon else 0.9 * task.horizon
    counts, _, _ = axes.hist(lengths, bins=np.linspace(low, task.horizon, 26).tolist(), color=GREY)
    filled = np.asarray(counts)[np.asarray(counts) > 0]
    if filled.max() > MANY_TIMES * filled.min():  # or the few short ones could not be seen
        axes.set_yscale("log")
        axes.set_ylim(0.7, None)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.axvline(task.horizon, color=INK, linewidth=0.9, linestyle="dashed")
    axes.set_xlabel(f"length, steps (horizon {task.horizon:d})")
    axes.set_ylabel("episodes")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
