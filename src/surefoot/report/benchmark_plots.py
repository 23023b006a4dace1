"""Figures of a benchmark: normalized cost against normalized return, a panel for each task."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from surefoot.report.benchmark_tables import HELD_OUT
from surefoot.report.key_figures import has_limit_of_zero
from surefoot.report.style import GREEN, GREY, MARKERS, SERIES, light_grid, new_figure, styled
from surefoot.text import plain_for_plot

PANEL_HEIGHT, MOST_PANELS = 2.3, 12
"""Inches; panels of one figure, as many as a page shows at a readable size."""
_TICKS = (0, 0.5, 1, 2, 5, 10, 20, 50, 100)
_GROUPS = {"development": "development tasks", HELD_OUT: "held-out tasks", "shares": "shares of the data"}
Entries = list[Mapping[str, Any]]


class Picture(NamedTuple):
    """A figure of some of the tasks."""

    name: str
    """Name for its file."""
    words: str
    """Its content in words."""
    figure: Figure


def benchmark_figures(summary: Mapping[str, Any], protocol: str) -> list[Picture]:
    """Figures of every method's mean with 95 % intervals, a panel for each task.

    Args:
        summary: Summary of the benchmark.
        protocol: Name of the protocol.

    Returns:
        Figures of few panels each, for development tasks, held-out tasks and shares of the data; none where no cell is
        done.
    """
    groups: dict[str, dict[tuple[str, float], Entries]] = {name: {} for name in _GROUPS}
    for entry in summary["results"]:
        if entry["protocol"] == protocol and entry["figures"] is not None:
            group = groups["shares" if entry["fraction"] < 1 else entry["role"]]
            group.setdefault((entry["task"], entry["fraction"]), []).append(entry)
    pictures = []
    for name, panels in groups.items():
        for number, part in enumerate(_parts(list(panels.values())), 1):
            place = name.replace("-", "_") + (f"_{number}" if number > 1 else "")
            pictures.append(Picture(place, _GROUPS[name], _figure(part, summary)))
    return pictures


def _parts(panels: list[Entries]) -> list[list[Entries]]:
    return [panels[first : first + MOST_PANELS] for first in range(0, len(panels), MOST_PANELS)]


@styled
def _figure(panels: Sequence[Entries], summary: Mapping[str, Any]) -> Figure:
    keys = list(summary["plan"]["methods"])
    columns = min(4 if len(panels) > 6 else 3, len(panels))
    lines = -(-len(panels) // columns)
    figure = new_figure(PANEL_HEIGHT * lines + 0.7)
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel, entries in zip(axes, panels, strict=False):
        _draw(panel, entries, keys, summary["data"].get(entries[0]["task"], {}))
    for panel in axes[len(panels) :]:
        panel.set_axis_off()
    figure.supxlabel("normalised return", fontsize=9)
    figure.supylabel("normalised cost (1: the limit)", fontsize=9)
    drawn = {entry["method"] for entries in panels for entry in entries}
    titles = {i: summary["plan"]["methods"][key]["title"] for i, key in enumerate(keys) if key in drawn}
    handles = [
        Line2D([], [], linestyle="", marker=_marker(i), color=_color(i), markersize=6, label=plain_for_plot(title))
        for i, title in titles.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 5))
    return figure


def _draw(axes: Axes, entries: Entries, keys: Sequence[str], data: Mapping[str, Any]) -> None:
    # A cost normalised by a limit of 0 is C + 1: the cost itself is drawn, against its limit of 0.
    zero = has_limit_of_zero(entries[0]["figures"])
    limit, largest = (0.0 if zero else 1.0), 1.0
    for entry in entries:
        figures, index = entry["figures"], keys.index(entry["method"])
        x, y = figures["normalised_return_mean"], figures["normalised_cost_mean"] - zero
        single = figures["limits"][0] if len(figures["limits"]) == 1 else {}
        across, up = figures["normalised_return_interval"], single.get("normalised_cost_interval")
        if across is not None:
            axes.hlines(y, *across, color=_color(index), linewidth=1.0, zorder=3)
        if up is not None:
            axes.vlines(x, up[0] - zero, up[1] - zero, color=_color(index), linewidth=1.0, zorder=3)
        axes.plot(x, y, _marker(index), color=_color(index), markersize=6, markeredgecolor="white",
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
    task, fraction = entries[0]["task"], entries[0]["fraction"]
    held_out = " (held out)" if entries[0]["role"] == HELD_OUT else ""
    share = f", {100 * fraction:g} %" if fraction < 1 else ""
    axes.set_title(plain_for_plot(f"{task}{share}{held_out}"))
    light_grid(axes)


def _color(index: int) -> str:
    return SERIES[index % len(SERIES)]


def _marker(index: int) -> str:
    return MARKERS[index % len(MARKERS)]
