"""Figures of evaluations on simulators: normalized cost against return, and their change with less data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from surefoot.errors import ConfigError
from surefoot.report.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LIGHT,
    MARKERS,
    SERIES,
    VERMILION,
    light_grid,
    new_figure,
    styled,
)
from surefoot.text import plain_for_plot

_COST_TICKS = (0, 0.5, 1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True, eq=False)
class Scores:
    """Normalized scores of a method's episodes."""

    name: str
    returns: Float[np.ndarray, "seed episode"]
    costs: Float[np.ndarray, "seed episode"]
    """Normalized costs; at most 1 is safe."""
    limit_is_zero: bool = False
    """Whether they are normalised by a cost limit of 0, and so C + 1."""


@dataclass(frozen=True)
class QuantityBar:
    """One share of the data, and its results."""

    fraction: float
    summary: Mapping[str, Any]
    """As `summarise_protocol` gives it."""


def scores_of(name: str, rows: Sequence[Mapping[str, Any]]) -> Scores:
    """Scores of an evaluation's rows; costs are averaged over cost limits.

    Args:
        name: Name of the method.
        rows: Rows of its episodes.

    Returns:
        Scores, [seed, episode].

    Raises:
        ConfigError: A seed lacks episodes.
    """
    seeds = sorted({row["seed"] for row in rows})
    episodes = sorted({row["episode"] for row in rows})
    limits = {row["limit"] for row in rows}
    shape = (len(seeds), len(episodes))
    returns, costs = np.full(shape, np.nan), np.zeros(shape)
    for row in rows:
        place = seeds.index(row["seed"]), episodes.index(row["episode"])
        returns[place] = row["normalised_return"]
        costs[place] += row["normalised_cost"] / len(limits)
    if not rows or np.isnan(returns).any():
        raise ConfigError(f"{name}: expected the same episodes of every seed, found some missing.")
    return Scores(name, returns, costs, limits == {0})


@styled
def cost_against_return(
    methods: Sequence[Scores], *, data: tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]] | None = None
) -> Figure:
    """Normalized cost against normalized return: small dots for episodes, large marks for the means of the seeds.

    Costs up to 1, the limit, are shown linearly, larger ones logarithmically; the area within the limit is shaded.

    Args:
        methods: Scores of each method.
        data: (returns, costs) of the logged episodes, drawn grey behind.

    Returns:
        The figure.

    Raises:
        ConfigError: There is no method.
    """
    if not methods:
        raise ConfigError("cost_against_return: expected at least one method, found none.")
    figure = new_figure(4.6)
    axes = figure.subplots()
    # Under a limit of 0 a normalised cost is C + 1: the cost itself is shown.
    zero = all(one.limit_is_zero for one in methods)
    limit = 0.0 if zero else 1.0
    every = [one.costs.ravel() for one in methods] + ([] if data is None else [data[1]])
    largest = max(1.0, float(np.concatenate(every).max()) - zero)
    axes.set_yscale("symlog", linthresh=1.0, linscale=1.2)
    axes.set_ylim(-0.12, 1.3 * largest)
    axes.axhspan(-0.12, limit, color=GREEN, alpha=0.08, linewidth=0)
    axes.axhline(limit, color=GREEN, linewidth=0.9)
    if data is not None:
        axes.scatter(data[0], data[1] - zero, s=7, color=LIGHT, linewidths=0, label="the data's episodes", zorder=1)
    for index, one in enumerate(methods):
        color, marker = SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)]
        axes.scatter(one.returns, one.costs - zero, s=9, color=color, alpha=0.35, linewidths=0, zorder=2)
        axes.scatter(
            one.returns.mean(1), one.costs.mean(1) - zero, s=75, color=color, marker=marker, edgecolors="white",
            linewidths=0.9, label=plain_for_plot(one.name), zorder=3,
        )  # fmt: skip
    axes.text(0.995, limit, "cost limit ", va="bottom", ha="right", transform=axes.get_yaxis_transform(),
              fontsize=7.5, color=GREY, style="italic")  # fmt: skip
    axes.yaxis.set_major_locator(_ticks(largest))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("normalised return")
    axes.set_ylabel("cost" if zero else "normalised cost")
    light_grid(axes)
    figure.legend(loc="outside lower center", ncols=min(len(methods) + (data is not None), 5))
    return figure


@styled
def quantity_bars(bars: Sequence[QuantityBar]) -> Figure:
    """Normalized return and cost for each share of the data: bars for means, lines for 95 % intervals, dots for seeds.

    Args:
        bars: The shares.

    Returns:
        The figure.

    Raises:
        ConfigError: There is no share.
    """
    if not bars:
        raise ConfigError("quantity_bars: expected at least one share of the data, found none.")
    figure = new_figure(3.4)
    left, right = figure.subplots(1, 2)
    ordered = sorted(bars, key=lambda bar: bar.fraction)
    _bar_panel(left, ordered, "normalised_return", BLUE)
    _bar_panel(right, ordered, "normalised_cost", VERMILION)
    left.set_ylabel("normalised return")
    zero = _is_zero(ordered[0])
    limit = 0.0 if zero else 1.0
    right.set_ylabel("cost" if zero else "normalised cost")
    right.axhline(limit, color=GREEN, linewidth=1.1)
    right.text(0.005, limit, " limit", va="bottom", transform=right.get_yaxis_transform(), fontsize=7.5, color=GREEN)
    right.set_ylim(0, max(1.25, right.get_ylim()[1]))
    return figure


def _is_zero(bar: QuantityBar) -> bool:
    return [record["limit"] for record in bar.summary["limits"]] == [0]


def _bar_panel(axes: Axes, bars: Sequence[QuantityBar], column: str, color: str) -> None:
    for place, bar in enumerate(bars):
        source = bar.summary if column == "normalised_return" else bar.summary["limits"][0]
        # Under a limit of 0 a normalised cost is C + 1: the cost itself is shown.
        shift = float(column == "normalised_cost" and _is_zero(bar))
        mean = bar.summary[f"{column}_mean"] - shift
        axes.bar(place, mean, width=0.62, color=color, alpha=0.55, zorder=2)
        seeds = np.array(source[f"{column}_per_seed"]) - shift
        axes.scatter(place + np.linspace(-0.12, 0.12, len(seeds)), seeds, s=14, color=color, edgecolors="white",
                     linewidths=0.5, zorder=4, clip_on=False)  # fmt: skip
        interval = source[f"{column}_interval"]
        if interval is not None and (column == "normalised_return" or len(bar.summary["limits"]) == 1):
            # Left of the seeds' dots, which would hide it.
            axes.vlines(place - 0.22, *(np.array(interval) - shift), color=INK, linewidth=1.2, zorder=3)
        axes.annotate(
            f"{mean:.2f}", (place + 0.33, mean), xytext=(0, 2), textcoords="offset points", fontsize=8, va="bottom",
            ha="left", color=INK,
        )  # fmt: skip
    axes.set_xticks(range(len(bars)), [f"{100 * bar.fraction:g} %" for bar in bars])
    axes.set_xlim(-0.6, len(bars) - 0.3)
    axes.set_xlabel("share of the data's episodes")
    light_grid(axes, axis="y")


def _ticks(largest: float) -> FixedLocator:
    return FixedLocator([tick for tick in _COST_TICKS if tick <= 1.3 * largest])
