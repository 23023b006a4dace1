"""The figure of `front.py`: the share of episodes without violation against mean return, a line for each method."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter
from numpy.typing import ArrayLike

from surefoot.errors import ConfigError
from surefoot.evaluation.metrics import wilson_interval
from surefoot.evaluation.targets import RETURN_MEAN, VIOLATION_FREE_RATE
from surefoot.report.plots import RETURN_LABEL
from surefoot.report.style import GREEN, GREY, MARKERS, SERIES, light_grid, new_figure, styled
from surefoot.text import plain_for_plot

_KNEE = 0.01
"""Share of violating episodes below which the front's axis is about linear, and above which logarithmic."""


@dataclass(frozen=True)
class FrontPoint:
    """One evaluated setting of a method."""

    return_mean: float
    """Task units."""
    violation_free: int
    """Episodes without a violating step."""
    episodes: int
    label: str = ""
    """Written beside the point, for example the margin."""
    return_interval: tuple[float, float] | None = None
    """Drawn as a horizontal bar where given."""


@dataclass(frozen=True)
class FrontSeries:
    """A method and its points, joined in the given order."""

    name: str
    points: tuple[FrontPoint, ...]


@styled
def front(series: Sequence[FrontSeries], *, lowest: float | None = None) -> Figure:
    """Violation-free share against mean return, each method a joined series, with Wilson's 95 % intervals.

    The share's axis is stretched towards 100 %: linear within 1 % of it, logarithmic below. It begins at `lowest`
    (default: below the lowest point). The wanted corner is shaded. `ConfigError` on no points.
    """
    points = [point for one in series for point in one.points]
    if not points:
        raise ConfigError("front: expected at least one point, found none.")
    figure = new_figure(5.0)
    axes = figure.subplots()
    axes.set_yscale("function", functions=(_stretch, _unstretch))
    lows = [wilson_interval(point.violation_free, point.episodes)[0] for point in points]
    bottom = min(lows) if lowest is None else lowest
    bottom = _unstretch(_stretch(min(bottom, 0.97)) - 0.12)
    top = _unstretch(0.18)
    axes.set_ylim(max(float(bottom), 0.0), float(top))
    axes.axhline(VIOLATION_FREE_RATE, color=GREY, linewidth=0.8, zorder=1)
    axes.axvline(RETURN_MEAN, color=GREY, linewidth=0.8, zorder=1)
    for index, one in enumerate(series):
        _front_series(axes, one, SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)])
    left, right = axes.get_xlim()
    axes.set_xlim(min(left, RETURN_MEAN - 0.3), max(right, RETURN_MEAN + 0.4))
    axes.fill_between([RETURN_MEAN, axes.get_xlim()[1]], VIOLATION_FREE_RATE, float(top), color=GREEN, alpha=0.09, lw=0)
    note = {"fontsize": 7.5, "color": GREY, "style": "italic"}
    axes.text(0.995, VIOLATION_FREE_RATE, f"{100 * VIOLATION_FREE_RATE:g} % ", va="bottom", ha="right",
              transform=axes.get_yaxis_transform(), **note)  # fmt: skip
    axes.text(RETURN_MEAN, 0.01, f" {RETURN_MEAN:g}", va="bottom", transform=axes.get_xaxis_transform(), **note)
    shares = [0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 1.0]
    axes.yaxis.set_major_locator(FixedLocator([share for share in shares if share >= axes.get_ylim()[0]]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.set_xlabel(f"mean {RETURN_LABEL}")
    axes.set_ylabel("share of episodes without violation")
    light_grid(axes)
    figure.legend(loc="outside lower center", ncols=min(len(series), 2))
    return figure


def _front_series(axes: Axes, one: FrontSeries, color: str, marker: str) -> None:
    x = np.array([point.return_mean for point in one.points])
    y = np.array([point.violation_free / point.episodes for point in one.points])
    bounds = np.array([wilson_interval(point.violation_free, point.episodes) for point in one.points])
    sides = [point.return_interval or (point.return_mean, point.return_mean) for point in one.points]
    axes.errorbar(
        x, y, yerr=np.abs(bounds.T - y), xerr=np.abs(np.array(sides).T - x), color=color, ecolor=color,
        elinewidth=0.8, linewidth=1.2, marker=marker, markersize=5, markeredgecolor="white", markeredgewidth=0.6,
        label=plain_for_plot(one.name), zorder=3,
    )  # fmt: skip
    for point, share in zip(one.points, y, strict=True):
        if point.label:
            axes.annotate(
                plain_for_plot(point.label), (point.return_mean, share), xytext=(4, 4), textcoords="offset points",
                fontsize=7.5, va="bottom", color=color, zorder=4,
                path_effects=[withStroke(linewidth=2.0, foreground="white")],
            )  # fmt: skip


def _stretch(share: ArrayLike) -> Any:
    """Linear in 1 - share up to about `_KNEE`, logarithmic beyond; increasing, 0 at a share of 1."""
    return -np.arcsinh((1.0 - np.asarray(share)) / _KNEE) / 3.0


def _unstretch(value: ArrayLike) -> Any:
    return 1.0 - _KNEE * np.sinh(-3.0 * np.asarray(value))
