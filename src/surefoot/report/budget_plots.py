"""Figures of planners under budgets: return and cost by budget, plans beside trajectories, realized calibration
levels."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from surefoot.errors import ConfigError
from surefoot.report.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LIGHT,
    MARKERS,
    SERIES,
    SKY,
    VERMILION,
    light_grid,
    new_figure,
    styled,
)
from surefoot.report.summary_rows import level_name
from surefoot.text import plain_for_plot

MOST_PANELS = 5
PLANS_SHOWN = 16
"""Imagined plans of each trajectory, evenly over its steps."""


@dataclass(frozen=True, eq=False)
class Imagined:
    """A trajectory and the plans along it, in the drawn plane."""

    title: str
    path: Float[np.ndarray, "t 2"]
    plans: Float[np.ndarray, "t h 2"] | None
    """The plan at each step, its first point the present one; NaN breaks a line."""


@dataclass(frozen=True)
class Plane:
    """The two drawn numbers of an observation, and their names."""

    x: str
    y: str
    periodic: float | None = None
    """Period of x, where it has one: lines break where it wraps."""
    marked: tuple[tuple[float, float], ...] = ()
    """Ranges of x that cost, shaded."""


@styled
def budget_curves(figures: Sequence[tuple[str, Mapping[str, Any]]], rows: Sequence[Mapping[str, Any]] = ()) -> Figure:
    """Return and realized cost against the budget, one line for each evaluation.

    Bars are 95 % intervals of the mean over episodes, small dots the means of the seeds. On the diagonal the cost is
    the budget; dashed is the planner without a limit.

    Args:
        figures: (name, figures as of `budget_figures`) of each evaluation.
        rows: Rows of episodes, drawn as grey dots.

    Returns:
        The figure.

    Raises:
        ConfigError: No budget is limited.
    """
    if not any(record["budget"] is not None for _, one in figures for record in one["budgets"]):
        raise ConfigError("budget_curves: expected at least one limited budget, found none.")
    figure = new_figure(3.7)
    left, right = figure.subplots(1, 2)
    points = [(row["budget"], row["return"], row["cost"]) for row in rows if row["budget"] is not None]
    if points:
        budgets, returns, costs = np.array(points, float).T
        spread = 0.006 * budgets.max() * np.random.default_rng(0).uniform(-1, 1, len(budgets))
        for axes, values in ((left, returns), (right, costs)):
            axes.scatter(budgets + spread, values, s=4, color=GREY, alpha=0.25, linewidths=0, zorder=1)
    for index, (name, one) in enumerate(figures):
        _curve(left, one, "return", index, name)
        _curve(right, one, "cost", index, name)
    largest = max(r["budget"] for _, one in figures for r in one["budgets"] if r["budget"] is not None)
    right.plot([0, 1.08 * largest], [0, 1.08 * largest], color=GREEN, linewidth=1.1, zorder=2)
    right.fill_between([0, 1.08 * largest], [0, 1.08 * largest], color=GREEN, alpha=0.07, linewidth=0, zorder=0)
    right.annotate("cost = budget", (0.97 * largest, 0.99 * largest), rotation=0, fontsize=7.5, color=GREEN,
                   ha="right", va="bottom", xytext=(-4, 3), textcoords="offset points")  # fmt: skip
    for axes, label in ((left, "return of an episode"), (right, "cost of an episode")):
        axes.set_xlim(0, 1.08 * largest)
        axes.set_xlabel("budget (cost that an episode may cause)")
        axes.set_ylabel(label)
        light_grid(axes)
    right.set_ylim(0, None)
    handles, labels = left.get_legend_handles_labels()
    if len(figures) > 1 or len(labels) > 1:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4))
    return figure


def _curve(axes: Axes, figures: Mapping[str, Any], column: str, index: int, name: str) -> None:
    color, marker = SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)]
    limited = [record for record in figures["budgets"] if record["budget"] is not None]
    budgets = np.array([record["budget"] for record in limited])
    means = np.array([record[f"{column}_mean"] for record in limited])
    # A seed's single episode has no interval: no bar.
    intervals = [record[f"{column}_interval"] or (np.nan, np.nan) for record in limited]
    bounds = np.array(intervals, float).reshape(-1, 2).T
    axes.errorbar(
        budgets, means, yerr=np.abs(bounds - means), color=color, marker=marker, markersize=4.5, capsize=2.5,
        linewidth=1.4, elinewidth=1.0, label=plain_for_plot(name), zorder=4,
    )  # fmt: skip
    for record in limited:
        seeds = record[f"{column}_per_seed"]
        axes.scatter([record["budget"]] * len(seeds), seeds, s=9, color=color, alpha=0.6, edgecolors="white",
                     linewidths=0.4, zorder=3)  # fmt: skip
    for record in figures["budgets"]:
        if record["budget"] is None:
            axes.axhline(record[f"{column}_mean"], color=color, linewidth=1.0, linestyle="dashed", zorder=2,
                         label=f"{plain_for_plot(name)}, no limit")  # fmt: skip


@styled
def plans_over_trajectory(imagined: Sequence[Imagined], plane: Plane) -> Figure:
    """A panel for each budget: the realized trajectory, and plans along it, thin.

    Args:
        imagined: Trajectories with their plans.
        plane: The drawn plane.

    Returns:
        The figure.

    Raises:
        ConfigError: There is no trajectory.
    """
    if not imagined:
        raise ConfigError("plans_over_trajectory: expected at least one trajectory, found none.")
    shown = imagined[:MOST_PANELS]
    figure = new_figure(2.9 if len(shown) > 2 else 3.6)
    panels = figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0]
    for axes, one in zip(panels, shown, strict=True):
        if one.plans is not None:
            steps = np.unique(np.linspace(0, len(one.plans) - 1, PLANS_SHOWN).round().astype(int))
            lines = [_broken(one.plans[step], plane.periodic) for step in steps]
            axes.add_collection(LineCollection(lines, colors=SKY, linewidths=0.8, alpha=0.75, zorder=2))
        path = _broken(one.path, plane.periodic)
        axes.plot(path[:, 0], path[:, 1], color=INK, linewidth=1.3, zorder=3)
        axes.plot(*one.path[0], marker="o", color=BLUE, markersize=4.5, zorder=4)
        axes.set_title(plain_for_plot(one.title))
        light_grid(axes)
    left, right = panels[0].get_xlim()
    panels[0].set_xlim(left, right)
    for axes, (low, high) in itertools.product(panels, plane.marked):
        if low < right and high > left:
            axes.axvspan(max(low, left), min(high, right), color=VERMILION, alpha=0.08, linewidth=0)
    panels[0].set_ylabel(plain_for_plot(plane.y))
    figure.supxlabel(plain_for_plot(plane.x), fontsize=9.0)
    return figure


@styled
def calibration_plot(levels: Sequence[Mapping[str, Any]]) -> Figure:
    """Calibrated level against the realized share of episodes over budget, with 95 % Wilson intervals.

    A dot stands for each budget, a diamond for all budgets together; beside them the planner without a margin.

    Args:
        levels: Figures of evaluations under budgets, one for each level.

    Returns:
        The figure.

    Raises:
        ConfigError: No budget is limited.
    """
    records = [
        (figures["level"], [r for r in figures["budgets"] if r["budget"] is not None])
        for figures in sorted(levels, key=lambda one: (one["level"] is not None, one["level"] or 0.0))
    ]
    records = [(level, limited) for level, limited in records if limited]
    if not records:
        raise ConfigError("calibration_plot: expected at least one limited budget, found none.")
    figure = new_figure(3.6, width=6.5)
    axes = figure.subplots()
    smallest = {record["asked"]: record["budget"] for _, limited in records for record in limited}
    known = sorted(smallest, key=lambda asked: smallest[asked])
    labeled = set()
    for place, (level, limited) in enumerate(records):
        for record in limited:
            index = known.index(record["asked"])
            x = place + 0.5 * ((index + 0.5) / len(known) - 0.5)
            low, high = record["exceeded_interval"]
            color = SERIES[index % len(SERIES)]
            label = plain_for_plot(record["asked"]) if record["asked"] not in labeled else None
            labeled.add(record["asked"])
            axes.errorbar(x, record["exceeded_rate"], yerr=[[record["exceeded_rate"] - low],
                          [high - record["exceeded_rate"]]], color=color, marker="o", markersize=4.5, capsize=2,
                          elinewidth=0.9, linestyle="none", label=label, zorder=3)  # fmt: skip
        pooled = float(np.average([r["exceeded_rate"] for r in limited], weights=[r["episodes"] for r in limited]))
        axes.plot(place + 0.36, pooled, marker="D", color=INK, markersize=5, linestyle="none", zorder=4,
                  label="all budgets" if place == 0 else None)  # fmt: skip
        if level is not None:
            axes.hlines(level, place - 0.42, place + 0.42, color=GREEN, linewidth=1.4, zorder=2)
            axes.text(place - 0.42, level, f"{100 * level:g} %", color=GREEN, fontsize=7.5, va="bottom")
            axes.fill_between([place - 0.42, place + 0.42], 0, level, color=GREEN, alpha=0.10, linewidth=0)
    axes.set_xticks(range(len(records)), [plain_for_plot(level_name(level)) for level, _ in records])
    axes.set_xlim(-0.6, len(records) - 0.4)
    axes.set_ylim(0, None)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.set_ylabel("episodes over budget")
    axes.grid(True, axis="y", color=LIGHT, linewidth=0.5, alpha=0.7)
    figure.legend(loc="outside right center")
    return figure


def _broken(path: Float[np.ndarray, "t 2"], period: float | None) -> Float[np.ndarray, "t 2"]:
    """With NaN between two points where x wraps around."""
    if period is None or len(path) < 2:
        return path
    places = np.flatnonzero(np.abs(np.diff(path[:, 0])) > period / 2) + 1
    return np.insert(path, places, np.nan, axis=0)
