"""Figures of a run: training curves and the data; `maps` draws those over the arena.

Each function takes plain records and returns a matplotlib `Figure` of its own.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import ArrayLike

from surefoot.errors import ConfigError, DataError
from surefoot.report.style import BLUE, GREY, INK, SERIES, STYLE, light_grid, new_figure, styled
from surefoot.text import MOST_DRAWN, plain_for_plot, printable, shortened

RETURN_LABEL = "return, m (and 1 at the goal)"
_MOST_GROUPS = 12
"""Most groups in a legend."""
_IDENTITY = ("step", "phase", "seed")
_LEAST_NAMED = 0.05
"""Share of all updates below which a phase has no label, which would overlap its neighbor's."""


@styled
def training_curves(rows: Sequence[Mapping[str, Any]], *, columns: int = 3) -> Figure:
    """A panel for each metric over the updates: a thin line for each seed, their mean thick, every other phase shaded.

    Positive metrics that span more than two decades get a logarithmic axis.

    Args:
        rows: Rows with "step" (updates since the start of training), "phase", "seed", and metrics by name.
        columns: Panels beside each other.

    Returns:
        The figure.

    Raises:
        DataError: There are no metrics, or a row lacks step or phase.
    """
    for index, row in enumerate(rows):
        if missing := [key for key in ("step", "phase") if key not in row]:
            raise DataError(f"metrics: key '{missing[0]}' of row {index}: expected a value, found none.")
    found = {key for row in rows for key, value in row.items() if key not in _IDENTITY and _is_number(value)}
    if not found:
        raise DataError("metrics: expected at least one row with a metric, found none.")
    spans = _phase_spans(rows)
    # Metrics of one phase stand together.
    last_step = {name: max(row["step"] for row in rows if _is_number(row.get(name))) for name in found}
    names = sorted(found, key=lambda name: (last_step[name], name))
    lines = math.ceil(len(names) / columns)
    figure = new_figure(0.7 + 1.75 * lines)
    panels = figure.subplots(lines, min(columns, len(names)), sharex=True, squeeze=False)
    for index, axes in enumerate(panels.flat):
        if index >= len(names):
            axes.set_visible(False)
            continue
        _curve_panel(axes, names[index], rows, spans)
        # The last panel of each column carries the numbers, also where the last row of panels is not full.
        if index + panels.shape[1] >= len(names):
            axes.tick_params(labelbottom=True)
    figure.supxlabel("updates", fontsize=STYLE["axes.labelsize"])
    _phase_names(panels[0], spans)
    seeds = len({row.get("seed", 0) for row in rows})
    handles = [
        Line2D([], [], color=BLUE, linewidth=1.8, label=f"mean of {seeds:d} seeds" if seeds > 1 else "the only seed")
    ]
    handles += [Line2D([], [], color=BLUE, linewidth=0.6, alpha=0.5, label="each seed")] if seeds > 1 else []
    figure.legend(handles=handles, loc="outside upper right", ncols=2)
    return figure


def _curve_panel(
    axes: Axes, name: str, rows: Sequence[Mapping[str, Any]], spans: Sequence[tuple[str, float, float]]
) -> None:
    for index, (_, first, last) in enumerate(spans):
        if index % 2:
            axes.axvspan(first, last, color=GREY, alpha=0.12, linewidth=0)
    every = []
    for phase, _, _ in spans:
        mine = [row for row in rows if row["phase"] == phase and _is_number(row.get(name))]
        seeds = list(dict.fromkeys(row.get("seed", 0) for row in mine))
        for seed in seeds if len(seeds) > 1 else []:
            steps, values = _curve([row for row in mine if row.get("seed", 0) == seed], name)
            axes.plot(steps, values, color=BLUE, linewidth=0.6, alpha=0.5, label="_seed")
        if mine:
            steps, values = _curve(mine, name)
            axes.plot(
                steps,
                values,
                color=BLUE,
                linewidth=1.8,
                label=plain_for_plot(name),
                marker="o" if len(steps) == 1 else "",
                ms=3,
            )
            every += [float(row[name]) for row in mine]
    finite = np.array([value for value in every if math.isfinite(value)])
    if len(finite) and finite.min() > 0 and finite.max() / finite.min() > 100:
        axes.set_yscale("log")
    axes.set_title(plain_for_plot(name), loc="left", fontweight="bold")
    axes.set_xlim(0, max(spans[-1][2], 1))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    light_grid(axes, axis="y")


def _curve(rows: Sequence[Mapping[str, Any]], name: str) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Steps in order, and the mean over the rows of each step."""
    steps, which = np.unique([row["step"] for row in rows], return_inverse=True)
    total = np.bincount(which, weights=[float(row[name]) for row in rows])
    return steps, total / np.bincount(which)


def _phase_spans(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, float, float]]:
    """(name, first, last step) of each phase in order: a phase begins where the one before ended."""
    last = {}
    for row in rows:
        last[row["phase"]] = max(row["step"], last.get(row["phase"], row["step"]))
    ordered = sorted(last, key=lambda phase: last[phase])
    firsts = [0.0, *(last[phase] for phase in ordered)]
    return [(phase, first, last[phase]) for phase, first in zip(ordered, firsts, strict=False)]


def _phase_names(panels: Sequence[Axes], spans: Sequence[tuple[str, float, float]]) -> None:
    """The phases' names inside the top of each panel of the first row, where there is more than one phase and the name
    has room."""
    room = _LEAST_NAMED * max(spans[-1][2], 1)
    for axes in panels if len(spans) > 1 else []:
        if not axes.get_visible():
            continue
        for name, first, last in spans:
            if last - first < room:
                continue
            axes.text(
                (first + last) / 2, 0.98, plain_for_plot(name), transform=axes.get_xaxis_transform(), ha="center",
                va="top", fontsize=7.5, color=GREY, style="italic",
            )  # fmt: skip


@styled
def data_overview(
    returns: ArrayLike,
    cost_returns: ArrayLike,
    lengths: ArrayLike,
    *,
    groups: Sequence[str] | None = None,
    return_label: str = RETURN_LABEL,
    cost_label: str = "cost return, violating steps",
) -> Figure:
    """Cost return against return of the data's episodes, and their lengths.

    Args:
        returns: Undiscounted returns.
        cost_returns: Undiscounted costs.
        lengths: Steps.
        groups: Name of the behavior of each episode, or None.
        return_label: Label of the return's axis.
        cost_label: Label of the cost's axis.

    Returns:
        The figure.

    Raises:
        ConfigError: The counts differ, or there are no episodes.
        DataError: A number is not finite.
    """
    returns, cost_returns, lengths = (np.asarray(part, float).ravel() for part in (returns, cost_returns, lengths))
    names = np.array(_few_names(groups) if groups is not None else ["episodes"] * len(returns))
    counts = [len(returns), len(cost_returns), len(lengths), len(names)]
    if not len(returns) or len(set(counts)) > 1:
        raise ConfigError(f"data_overview: expected as many of each, at least one, found counts {counts}.")
    if not all(np.isfinite(part).all() for part in (returns, cost_returns, lengths)):
        raise DataError("data_overview: expected finite returns, cost returns and lengths, found NaN or infinity.")
    figure = new_figure(3.6)
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    known = list(dict.fromkeys(names.tolist()))
    colors = [SERIES[index % len(SERIES)] for index in range(len(known))]
    for name, color in zip(known, colors, strict=True):
        mine = names == name
        left.scatter(
            returns[mine],
            cost_returns[mine],
            s=9,
            color=color,
            alpha=0.4,
            linewidths=0,
            label=f"{plain_for_plot(name)} ({mine.sum():,})",
        )
    # Lengths that are all alike get a range around them that one step does not fill.
    alike = lengths.min() == lengths.max()
    edges = np.histogram_bin_edges(lengths, bins=30, range=(lengths[0] - 15, lengths[0] + 15) if alike else None)
    right.hist([lengths[names == name] for name in known], bins=edges.tolist(), stacked=True, color=colors)
    for axes, middle in ((left, float(np.median(returns))), (right, float(np.median(lengths)))):
        axes.axvline(middle, color=INK, linewidth=0.9, linestyle="dashed")
        axes.text(middle, 1.01, f"median {middle:.3g}", transform=axes.get_xaxis_transform(), ha="center", fontsize=7.5)
        light_grid(axes)
    left.set_xlabel(plain_for_plot(return_label))
    left.set_ylabel(plain_for_plot(cost_label))
    left.margins(y=0.06)
    left.yaxis.set_major_locator(MaxNLocator(integer=True))
    right.set_xlabel("episode length, steps")
    right.set_ylabel("episodes")
    if groups is not None:
        legend = figure.legend(loc="outside lower center", ncols=min(len(known), 4), markerscale=1.8)
        for handle in legend.legend_handles:
            if handle is not None:
                handle.set_alpha(1.0)
    return figure


def _few_names(groups: Sequence[str]) -> list[str]:
    """Short names of the groups; those beyond the first `_MOST_GROUPS` become one."""
    first = list(dict.fromkeys(groups))[:_MOST_GROUPS]
    return [printable(shortened(name, MOST_DRAWN)) if name in first else "others" for name in groups]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
