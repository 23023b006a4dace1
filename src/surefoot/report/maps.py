"""Figures over PointRobot's arena: the learned feasible region against the exact one, and trajectories."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyArrowPatch, Patch, Rectangle

from surefoot.envs.point_robot import ARENA, GOAL, GOAL_RADIUS, HAZARD_RADIUS, HAZARDS
from surefoot.errors import ConfigError
from surefoot.report.style import BLUE, GREEN, GREY, INK, ORANGE, VIOLATION, new_figure, styled
from surefoot.report.tables import percent

LEARNED = "#00735C"
"""A green that stands out against both halves of the red and blue color map, and its white middle."""


@dataclass(frozen=True, eq=False)
class RegionSlice:
    """Feasible values over positions at one speed and heading."""

    speed: float
    """Metres per second."""
    heading: float
    """Radians."""
    x: Float[np.ndarray, " x"]
    """Metres."""
    y: Float[np.ndarray, " y"]
    """Metres."""
    learned: Float[np.ndarray, "seed y x"]
    """Metres; > 0 is infeasible."""
    exact: Float[np.ndarray, "y x"]
    """Metres; > 0 is infeasible."""
    iou: float | None = None
    """Mean over the seeds, for the panel's title; None leaves it out."""
    false_safe_rate: float | None = None
    false_alarm_rate: float | None = None


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One episode over the map."""

    positions: Float[np.ndarray, "T+1 2"]
    """Metres, the start included."""
    constraint: Float[np.ndarray, " T+1"]
    """h at each position, metres; > 0 is a violation."""
    start: str
    """"feasible", "infeasible" or "fixed"; fixed ones are drawn among the feasible."""


@styled
def feasible_region(slices: Sequence[RegionSlice]) -> Figure:
    """A panel for each slice: filled contours of the first seed's values, zero levels of all seeds, the exact border
    dashed.

    Args:
        slices: The slices.

    Returns:
        The figure.

    Raises:
        ConfigError: There are no slices, or shapes do not fit.
    """
    if not slices:
        raise ConfigError("feasible_region: expected at least one slice, found none.")
    for item in slices:
        expected = (len(item.y), len(item.x))
        if item.learned.ndim != 3 or item.learned.shape[1:] != expected or item.exact.shape != expected:
            raise ConfigError(
                f"feasible_region: expected learned (seeds, {expected[0]}, {expected[1]}) and exact {expected}, "
                f"found {item.learned.shape} and {item.exact.shape}."
            )
    figure = new_figure(3.75 if len(slices) > 1 else 5.0, square=True)
    panels = figure.subplots(1, len(slices), sharex=True, sharey=True, squeeze=False)[0]
    # The values end at the hazards' radius upwards, but not downwards: the colours are even on both sides of zero.
    levels = np.linspace(-HAZARD_RADIUS, HAZARD_RADIUS, 17)
    filled: Any = None
    for axes, item in zip(panels, slices, strict=True):
        filled = _region_panel(axes, item, levels)
    panels[0].set_ylabel("y, m")
    bar = figure.colorbar(filled, ax=list(panels), shrink=0.72, aspect=22, pad=0.015, ticks=levels[::4])
    bar.set_label("feasible value, m")
    bar.ax.axhline(0.0, color=LEARNED, linewidth=1.6)
    seeds = max(len(item.learned) for item in slices)
    figure.legend(handles=_region_legend(seeds), loc="outside lower center", ncols=4, handlelength=2.6)
    return figure


def _region_panel(axes: Axes, item: RegionSlice, levels: Float[np.ndarray, " n"]) -> Any:
    x, y = item.x, item.y
    norm = Normalize(levels[0], levels[-1])
    filled = axes.contourf(x, y, item.learned[0], levels=levels, cmap=_colors(), norm=norm, extend="both")
    for other in item.learned[1:]:
        _border(axes, item, other, colors=LEARNED, linewidths=0.7, alpha=0.75)
    _border(axes, item, item.learned[0], colors=LEARNED, linewidths=1.8)
    _border(axes, item, item.exact, colors="black", linewidths=1.3, linestyles="dashed")
    for center in HAZARDS:
        axes.add_patch(
            Circle(center, HAZARD_RADIUS, facecolor="none", edgecolor=INK, linewidth=0.5, hatch="....", alpha=0.45)
        )
    _heading_arrow(axes, item)
    axes.set_aspect("equal")
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(y[0], y[-1])
    axes.set_xticks([-2, 0, 2])
    axes.set_yticks([-2, 0, 2])
    axes.set_xlabel("x, m")
    axes.spines[:].set_visible(True)
    pose = f"v = {item.speed:g} m/s, θ = {math.degrees(item.heading):.0f}°"
    axes.set_title(f"{pose}{_scores(item)}", fontsize=8.5)
    return filled


def _border(axes: Axes, item: RegionSlice, values: Float[np.ndarray, "y x"], **look: Any) -> None:
    """The zero level, where there is one: a set that covers all or nothing has no border."""
    if values.min() < 0 < values.max():
        axes.contour(item.x, item.y, values, levels=[0.0], **look)


def _colors() -> ListedColormap:
    """Blue over white to red, without the darkest ends, on which neither lines nor the arrow would be seen."""
    return ListedColormap(matplotlib.colormaps["RdBu_r"](np.linspace(0.13, 0.87, 256)))


def _scores(item: RegionSlice) -> str:
    """The panel's scores: IoU beside the pose, the two rates on a line of their own."""
    iou = "" if item.iou is None else f", IoU {item.iou:.3f}"
    rates = [] if item.false_safe_rate is None else [f"false safe {percent(item.false_safe_rate)}"]
    rates += [] if item.false_alarm_rate is None else [f"false alarm {percent(item.false_alarm_rate)}"]
    return f"{iou}\n{', '.join(rates)}".rstrip()


def _heading_arrow(axes: Axes, item: RegionSlice) -> None:
    """An arrow in the lower left corner: where the robot points, as long as it drives in half a second."""
    span = item.x[-1] - item.x[0]
    tail = np.array([item.x[0], item.y[0]]) + 0.06 * span
    tip = tail + max(0.5 * item.speed, 0.08 * span) * np.array([math.cos(item.heading), math.sin(item.heading)])
    axes.add_patch(
        FancyArrowPatch(tail, tip, arrowstyle="-|>", mutation_scale=12, linewidth=1.8, color=INK, shrinkA=0, shrinkB=0)
    )
    axes.plot(*tail, "o", color=INK, markersize=4)


def _region_legend(seeds: int) -> list[Any]:
    return [
        Line2D([], [], color=LEARNED, linewidth=1.8, label="learned border, first seed"),
        *([Line2D([], [], color=LEARNED, linewidth=0.7, alpha=0.75, label="other seeds")] if seeds > 1 else []),
        Line2D([], [], color="black", linewidth=1.3, linestyle="dashed", label="exact border"),
        Patch(facecolor="none", edgecolor=INK, linewidth=0.5, hatch="....", alpha=0.45, label="hazard"),
    ]


@styled
def trajectories(paths: Sequence[Trajectory], *, most: int = 60) -> Figure:
    """Episodes over the map: a panel for feasible starts, with the fixed ones thick, and one for infeasible starts.

    Args:
        paths: Episodes.
        most: Most episodes of a panel, evenly picked; the fixed ones are always drawn, and the titles count all.

    Returns:
        The figure.

    Raises:
        ConfigError: There are no episodes, or a start set is unknown.
    """
    if not paths:
        raise ConfigError("trajectories: expected at least one path, found none.")
    if unknown := sorted({path.start for path in paths} - {"feasible", "infeasible", "fixed"}):
        raise ConfigError(f"trajectories: start: expected feasible, infeasible or fixed, found '{unknown[0]}'.")
    for index, path in enumerate(paths):
        if path.positions.shape != (len(path.constraint), 2) or not len(path.positions):
            raise ConfigError(
                f"trajectories: expected positions (n, 2) and constraint (n,) in path {index}, "
                f"found {path.positions.shape} and {path.constraint.shape}."
            )
    groups = {name: [path for path in paths if path.start == name] for name in ("feasible", "infeasible", "fixed")}
    shown = [name for name in ("feasible", "infeasible") if groups[name]] or ["feasible"]
    figure = new_figure(5.1, square=True)
    panels = figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, shown, strict=True):
        fixed = groups["fixed"] if name == shown[0] else []
        _map_panel(axes)
        _draw_paths(axes, _pick(groups[name], most), fixed)
        axes.set_title(_count(name, groups[name], most) if groups[name] else "Fixed starts")
        axes.set_xlabel("x, m")
    panels[0].set_ylabel("y, m")
    figure.legend(handles=_paths_legend(bool(groups["fixed"])), loc="outside lower center", ncols=6, handlelength=1.8)
    return figure


def _count(name: str, paths: Sequence[Trajectory], most: int) -> str:
    free = sum(not (path.constraint > 0).any() for path in paths)
    drawn = f", {most} drawn" if len(paths) > most else ""
    return f"{name.capitalize()} starts: {free} of {len(paths)} without violation{drawn}"


def _pick(paths: Sequence[Trajectory], most: int) -> list[Trajectory]:
    if len(paths) <= most:
        return list(paths)
    return [paths[index] for index in np.linspace(0, len(paths) - 1, most).round().astype(int)]


def _map_panel(axes: Axes) -> None:
    """The arena's edge, hazards and goal."""
    for center in HAZARDS:
        axes.add_patch(Circle(center, HAZARD_RADIUS, facecolor="#E4E4E4", edgecolor=GREY, linewidth=0.8))
    axes.add_patch(
        Circle((float(GOAL[0]), float(GOAL[1])), GOAL_RADIUS, facecolor="#BFE5D8", edgecolor=GREEN, linewidth=1.0)
    )
    axes.add_patch(Rectangle((-ARENA, -ARENA), 2 * ARENA, 2 * ARENA, fill=False, edgecolor=GREY, linewidth=0.8))
    axes.set_aspect("equal")
    axes.set_xlim(-ARENA - 0.1, ARENA + 0.1)
    axes.set_ylim(-ARENA - 0.1, ARENA + 0.1)
    axes.set_xticks(range(-3, 4))
    axes.set_yticks(range(-3, 4))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _draw_paths(axes: Axes, paths: Sequence[Trajectory], fixed: Sequence[Trajectory]) -> None:
    """Every kind of mark as one artist, so that a picture of many episodes stays small."""
    axes.add_collection(LineCollection([path.positions for path in paths], colors=BLUE, linewidths=0.8, alpha=0.55))
    axes.add_collection(LineCollection([path.positions for path in fixed], colors=ORANGE, linewidths=2.0, zorder=4))
    every = [*paths, *fixed]
    violating = [path.positions[path.constraint > 0] for path in every]
    points = np.concatenate([np.zeros((0, 2)), *violating])
    axes.scatter(points[:, 0], points[:, 1], s=4, color=VIOLATION, linewidths=0, zorder=5, label="violating")
    starts = np.array([path.positions[0] for path in paths]).reshape(-1, 2)
    axes.scatter(starts[:, 0], starts[:, 1], s=10, facecolors="white", edgecolors=BLUE, linewidths=0.8, zorder=6)
    starts = np.array([path.positions[0] for path in fixed]).reshape(-1, 2)
    axes.scatter(starts[:, 0], starts[:, 1], s=90, marker="*", color=ORANGE, edgecolors=INK, linewidths=0.7, zorder=7)


def _paths_legend(fixed: bool) -> list[Any]:
    handles = [
        Line2D([], [], color=BLUE, linewidth=1.2, label="trajectory"),
        _dot("start", face="white", edge=BLUE),
        Line2D([], [], color=ORANGE, linewidth=2.0, marker="*", markersize=9, markeredgecolor=INK, label="fixed start"),
        _dot("violating step", face=VIOLATION, edge=VIOLATION),
        Patch(facecolor="#E4E4E4", edgecolor=GREY, label="hazard"),
        Patch(facecolor="#BFE5D8", edgecolor=GREEN, label="goal"),
    ]
    return handles if fixed else [handle for handle in handles if handle.get_label() != "fixed start"]


def _dot(label: str, *, face: str, edge: str) -> Line2D:
    return Line2D(
        [], [], linestyle="none", marker="o", markersize=4, markerfacecolor=face, markeredgecolor=edge, label=label
    )
