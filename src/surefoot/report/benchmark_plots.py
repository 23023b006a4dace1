"""The figure of a benchmark: normalised cost against normalised return, a panel for each task."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from surefoot.errors import ConfigError
from surefoot.report.benchmark_tables import HELD_OUT
from surefoot.report.style import GREEN, GREY, MARKERS, SERIES, light_grid, new_figure, styled
from surefoot.report.tables import has_limit_of_zero
from surefoot.text import plain_for_plot

COLUMNS, PANEL_HEIGHT = 3, 2.3
_TICKS = (0, 0.5, 1, 2, 5, 10, 20, 50, 100)


@styled
def benchmark_figure(summary: Mapping[str, Any], protocol: str) -> Figure:
    """Draw every method's mean with its 95 % intervals in the panels of the tasks and shares of their data.

    Raises:
        ConfigError: Where no cell is done.
    """
    panels: dict[tuple[str, float], list[Mapping[str, Any]]] = {}
    for entry in summary["results"]:
        if entry["protocol"] == protocol and entry["figures"] is not None:
            panels.setdefault((entry["task"], entry["fraction"]), []).append(entry)
    if not panels:
        raise ConfigError("benchmark_figure: expected at least one cell that is done, found none.")
    keys = list(summary["plan"]["methods"])
    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    figure = new_figure(PANEL_HEIGHT * lines + 0.6)
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel, (place, entries) in zip(axes, panels.items(), strict=False):
        _draw(panel, place, entries, keys, summary["data"].get(place[0], {}))
    for panel in axes[len(panels) :]:
        panel.set_axis_off()
    figure.supxlabel("normalised return", fontsize=9)
    figure.supylabel("normalised cost (1: the limit)", fontsize=9)
    titles = [plain_for_plot(summary["plan"]["methods"][key]["title"]) for key in keys]
    handles = [
        Line2D([], [], linestyle="", marker=_marker(i), color=_colour(i), markersize=6, label=title)
        for i, title in enumerate(titles)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(keys), 5))
    return figure


def _draw(
    axes: Axes,
    place: tuple[str, float],
    entries: Sequence[Mapping[str, Any]],
    keys: Sequence[str],
    data: Mapping[str, Any],
) -> None:
    # A cost normalised by a limit of 0 is C + 1: the cost itself is drawn, against its limit of 0.
    zero = has_limit_of_zero(entries[0]["figures"])
    limit, largest = (0.0 if zero else 1.0), 1.0
    for entry in entries:
        figures, index = entry["figures"], keys.index(entry["method"])
        x, y = figures["normalised_return_mean"], figures["normalised_cost_mean"] - zero
        single = figures["limits"][0] if len(figures["limits"]) == 1 else {}
        across, up = figures["normalised_return_interval"], single.get("normalised_cost_interval")
        if across is not None:
            axes.hlines(y, *across, color=_colour(index), linewidth=1.0, zorder=3)
        if up is not None:
            axes.vlines(x, up[0] - zero, up[1] - zero, color=_colour(index), linewidth=1.0, zorder=3)
        axes.plot(x, y, _marker(index), color=_colour(index), markersize=6, markeredgecolor="white",
                  markeredgewidth=0.6, zorder=4, clip_on=False)  # fmt: skip
        largest = max(largest, y if up is None else up[1] - zero)
    axes.set_yscale("symlog", linthresh=1.0, linscale=1.0)
    axes.set_ylim(-0.12, 1.3 * largest)
    axes.axhspan(-0.12, limit, color=GREEN, alpha=0.08, linewidth=0)
    axes.axhline(limit, color=GREEN, linewidth=0.9)
    if data.get("best_safe_return") is not None:
        axes.axvline(data["best_safe_return"], color=GREY, linewidth=0.8, linestyle=":")
    axes.margins(x=0.12)
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in _TICKS if tick <= 1.3 * largest]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    task, fraction = place
    held_out = " (held out)" if entries[0]["role"] == HELD_OUT else ""
    share = f", {100 * fraction:g} %" if fraction < 1 else ""
    axes.set_title(plain_for_plot(f"{task}{share}{held_out}"))
    light_grid(axes)


def _colour(index: int) -> str:
    return SERIES[index % len(SERIES)]


def _marker(index: int) -> str:
    return MARKERS[index % len(MARKERS)]
