"""Figures of runs on images: predictions beside the truth, feasibility along an episode, fine-tuning, cost and return.

Each function takes plain records and returns a matplotlib `Figure` of its own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch
from matplotlib.ticker import MaxNLocator, NullLocator

from surefoot.errors import ConfigError, DataError
from surefoot.report.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LIGHT,
    MARKERS,
    PAGE_WIDTH,
    SERIES,
    VIOLATION,
    light_grid,
    new_figure,
    styled,
)
from surefoot.text import plain_for_plot

MOST_FRAMES = 15
"""Most frames of a row; longer episodes show every second, third, ... frame."""


@styled
def open_loop(
    truth: UInt8[np.ndarray, "n t h w c"], predicted: UInt8[np.ndarray, "n t h w c"], *, context: int
) -> Figure:
    """For each episode a row of true images over a row of predicted ones.

    Args:
        truth: Images, [n, t, h, w, c]; of several cameras the first is shown.
        predicted: The model's images, in the same shape.
        context: Frames that the model observed.

    Returns:
        The figure.

    Raises:
        ConfigError: The shapes do not fit.
    """
    if truth.ndim != 5 or truth.shape != predicted.shape or not 0 < context < truth.shape[1]:
        raise ConfigError(
            f"open_loop: expected images of one shape [n, t, h, w, c] and a context within t, found "
            f"{list(truth.shape)}, {list(predicted.shape)} and {context}."
        )
    count, length = truth.shape[:2]
    width = PAGE_WIDTH / (length + 1.2)
    figure = new_figure(0.55 + count * (2 * width + 0.06))
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(w_pad=0.015, h_pad=0.015, wspace=0.0, hspace=0.0)  # pyright: ignore[reportCallIssue]
    panels = figure.subplots(2 * count, length, squeeze=False, gridspec_kw={"wspace": 0.03, "hspace": 0.03})
    for row in range(count):
        for kind, images in enumerate((truth, predicted)):
            for place in range(length):
                axes = panels[2 * row + kind, place]
                _image(axes, images[row, place], color=GREY if place < context else BLUE)
                if row == 0 and kind == 0:
                    axes.set_title(
                        f"{place - context + 1:d}", fontsize=7.5, color=GREY if place < context else INK, pad=3
                    )
            label = "true" if kind == 0 else "model"
            panels[2 * row + kind, 0].set_ylabel(label, fontsize=8, rotation=0, ha="right", va="center", labelpad=4)
    figure.supxlabel(
        "step; up to 0 the model sees the images (grey edges), from 1 on it is told the actions only (blue edges)",
        fontsize=8.5,
    )
    return figure


@styled
def feasibility_strip(
    frames: UInt8[np.ndarray, "t h w c"], infeasibility: Float[np.ndarray, " t"], costs: Float[np.ndarray, " t"]
) -> Figure:
    """Feasibility u = 1 - p over the steps of an episode, under its images; steps with a cost are marked.

    Args:
        frames: Images, [t, h, w, c].
        infeasibility: p, [t].
        costs: Costs, [t].

    Returns:
        The figure.

    Raises:
        ConfigError: The shapes do not fit.
    """
    length = len(frames)
    if frames.ndim != 4 or infeasibility.shape != (length,) or costs.shape != (length,):
        raise ConfigError(
            f"feasibility_strip: expected images [t, h, w, c] and t numbers twice, found shapes {list(frames.shape)}, "
            f"{list(infeasibility.shape)} and {list(costs.shape)}."
        )
    every = max(1, math.ceil(length / MOST_FRAMES))
    shown = np.arange(0, length, every)
    size = PAGE_WIDTH / (len(shown) + 1.5)
    figure = new_figure(size + 2.2)
    grid = figure.add_gridspec(2, len(shown), height_ratios=(size, 1.9), wspace=0.03)
    for column, place in enumerate(shown):
        axes = figure.add_subplot(grid[0, column])
        violates = bool((costs[place : place + every] > 0).any())
        _image(axes, frames[place], color=VIOLATION if violates else GREY, width=1.6 if violates else 0.7)
        axes.set_title(f"{place:d}", fontsize=7.5, pad=3)
    axes = figure.add_subplot(grid[1, :])
    steps = np.arange(length)
    # Each image stands over its own step.
    axes.set_xlim(-0.5 * every, shown[-1] + 0.5 * every)
    axes.set_ylim(-0.03, 1.03)
    axes.axhline(0.5, color=GREY, linewidth=0.7, linestyle="dashed")
    axes.plot(steps, 1.0 - infeasibility, color=BLUE, marker="o", markersize=3.2)
    bad = costs > 0
    if bad.any():
        axes.scatter(
            steps[bad], 1.0 - infeasibility[bad], s=34, color=VIOLATION, zorder=4, label="step with cost (red edges)"
        )
        axes.legend(loc="best")
    axes.set_xlabel("step")
    axes.set_ylabel("feasibility, 1 - p")
    light_grid(axes)
    return figure


@styled
def online_curves(methods: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Fine-tuning round by round: mean return, share of violating episodes, and their number so far.

    Args:
        methods: Name -> rows of online.jsonl; thin lines are seeds, the thick one their mean.

    Returns:
        The figure.

    Raises:
        DataError: There are no rows, or a row lacks a value.
    """
    if not methods or not all(methods.values()):
        raise DataError("online curves: expected at least one round of each method, found none.")
    figure = new_figure(3.0)
    panels = figure.subplots(1, 3)
    wanted = (
        ("return_mean", "mean return of a round's episodes"),
        ("violating_share", "episodes with a violation, %"),
        ("violating_episodes", "violating episodes so far"),
    )
    for axes, (name, label) in zip(panels, wanted, strict=True):
        for index, (method, rows) in enumerate(methods.items()):
            x, curves = _by_seed(rows, name)
            scale = 100.0 if name == "violating_share" else 1.0
            color = SERIES[index % len(SERIES)]
            for curve in curves if len(curves) > 1 else []:
                axes.plot(x, scale * curve, color=color, linewidth=0.6, alpha=0.45)
            axes.plot(x, scale * np.mean(curves, 0), color=color, linewidth=1.8, label=plain_for_plot(method))
        axes.set_xlabel("environment steps")
        axes.set_title(label, fontsize=8.5)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        light_grid(axes)
    panels[1].set_ylim(bottom=0)
    panels[2].set_ylim(bottom=0)
    if len(methods) > 1:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(methods), 4))
    return figure


def _by_seed(rows: Sequence[Mapping[str, Any]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """(environment steps, values [seed, round]) of the rounds that every seed has."""
    for index, row in enumerate(rows):
        if missing := [key for key in ("seed", "environment_steps", name) if key not in row]:
            raise DataError(f"online curves: key '{missing[0]}' of row {index}: expected a value, found none.")
    seeds = sorted({row["seed"] for row in rows})
    each = [[row for row in rows if row["seed"] == seed] for seed in seeds]
    count = min(map(len, each))
    return (
        np.array([row["environment_steps"] for row in each[0][:count]], float),
        np.array([[row[name] for row in one[:count]] for one in each], float),
    )


@dataclass(frozen=True, eq=False)
class MethodEpisodes:
    """Episodes of a method."""

    name: str
    returns: Float[np.ndarray, " n"]
    costs: Float[np.ndarray, " n"]
    seeds: np.ndarray
    """Seed of each episode."""


@styled
def return_against_cost(
    methods: Sequence[MethodEpisodes], *, data: tuple[np.ndarray, np.ndarray] | None = None
) -> Figure:
    """Return against cost: a small dot for every episode, a large mark for the mean of each seed.

    The cost axis is linear up to 1 and logarithmic beyond.

    Args:
        methods: Episodes of each method.
        data: (returns, costs) of the logged episodes, drawn behind.

    Returns:
        The figure.

    Raises:
        ConfigError: There is no method.
    """
    if not methods:
        raise ConfigError("return_against_cost: expected at least one method, found none.")
    figure = new_figure(4.4)
    axes = figure.subplots()
    costs = [one.costs for one in methods] + ([] if data is None else [data[1]])
    largest = max(1.0, float(np.concatenate(costs).max()))
    axes.set_yscale("symlog", linthresh=1.0, linscale=1.0)
    axes.set_ylim(-0.15, 1.4 * largest)
    axes.axhline(0.0, color=GREEN, linewidth=0.9, zorder=0)
    ticks = [0, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
    axes.set_yticks([tick for tick in ticks if tick <= 1.4 * largest])
    axes.set_yticklabels([f"{tick:g}" for tick in ticks if tick <= 1.4 * largest])
    axes.yaxis.set_minor_locator(NullLocator())
    random = np.random.default_rng(0)
    if data is not None:
        axes.scatter(
            data[0], _apart(data[1], random), s=6, color=LIGHT, linewidths=0, label="the data's episodes", zorder=1
        )
    for index, one in enumerate(methods):
        color, marker = SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)]
        axes.scatter(one.returns, _apart(one.costs, random), s=7, color=color, alpha=0.3, linewidths=0, zorder=2)
        groups = [one.seeds == seed for seed in np.unique(one.seeds)]
        axes.scatter(
            [one.returns[mine].mean() for mine in groups], [one.costs[mine].mean() for mine in groups], s=75,
            color=color, marker=marker, edgecolors="white", linewidths=0.9,
            label=f"{plain_for_plot(one.name)}, mean of a seed", zorder=3,
        )  # fmt: skip
    axes.set_xlabel("return of an episode")
    axes.set_ylabel("cost of an episode")
    light_grid(axes)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@dataclass(frozen=True, eq=False)
class ProbabilitySlice:
    """p over positions at one speed (m/s) and heading (radians), and the exact value there."""

    speed: float
    heading: float
    learned: Float[np.ndarray, "seed y x"]
    """p - 1/2; > 0 is infeasible."""
    exact: Float[np.ndarray, "y x"]
    """Metres; > 0 is infeasible."""
    iou: float


@styled
def probability_maps(
    slices: Sequence[ProbabilitySlice], axis: Float[np.ndarray, " x"], hazards: Float[np.ndarray, "k 2"], radius: float
) -> Figure:
    """A panel for each slice: p of the first seed, its border p = 1/2, the exact border dashed, hazards dotted.

    Args:
        slices: The slices.
        axis: Cell centers along x and y, in meters.
        hazards: Centers of the hazards, in meters, [k, 2].
        radius: Their radius, in meters.

    Returns:
        The figure.

    Raises:
        ConfigError: There is no slice.
    """
    if not slices:
        raise ConfigError("probability_maps: expected at least one slice, found none.")
    figure = new_figure(3.6, square=True)
    panels = figure.subplots(1, len(slices), sharex=True, sharey=True, squeeze=False)[0]
    filled: Any = None
    for axes, item in zip(panels, slices, strict=True):
        p = np.clip(item.learned[0] + 0.5, 0.0, 1.0)
        filled = axes.pcolormesh(axis, axis, p, cmap="Reds", vmin=0.0, vmax=1.0, shading="nearest", rasterized=True)
        for values, look in (
            (item.learned[0], {"colors": BLUE, "linewidths": 1.8}),
            (item.exact, {"colors": "black", "linewidths": 1.3, "linestyles": "dashed"}),
        ):
            if values.min() < 0 < values.max():
                axes.contour(axis, axis, values, levels=[0.0], **look)
        for x, y in hazards:
            axes.add_patch(
                Circle((x, y), radius, facecolor="none", edgecolor="white", linewidth=1.0, linestyle="dotted")
            )
        tail = np.array([axis[0], axis[0]]) * 0.82
        axes.annotate(
            "", tail + 0.5 * item.speed * np.array([math.cos(item.heading), math.sin(item.heading)]), tail,
            arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
        axes.set_aspect("equal")
        axes.set_xlabel("x, m")
        axes.set_xticks([-2, 0, 2])
        axes.set_yticks([-2, 0, 2])
        pose = f"v = {item.speed:g} m/s, θ = {math.degrees(item.heading):.0f}°"
        axes.set_title(f"{pose}, IoU {item.iou:.3f}", fontsize=8.5)
    panels[0].set_ylabel("y, m")
    bar = figure.colorbar(filled, ax=list(panels), shrink=0.72, aspect=22, pad=0.015)
    bar.set_label("p, a violation is unavoidable")
    handles = [
        Line2D([], [], color=BLUE, linewidth=1.8, label="p = 1/2, first seed"),
        Line2D([], [], color="black", linewidth=1.3, linestyle="dashed", label="exact border"),
        Patch(facecolor="#7F0A12", edgecolor="white", linestyle="dotted", label="hazard"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, handlelength=2.6)
    return figure


def _image(axes: Axes, image: UInt8[np.ndarray, "h w c"], *, color: str, width: float = 0.7) -> None:
    shown = image[..., :3] if image.shape[-1] >= 3 else np.repeat(image[..., :1], 3, -1)
    axes.imshow(shown, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(color)
    axes.spines[:].set_linewidth(width)


def _apart(costs: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Costs moved a little, so that equal ones do not hide each other."""
    return costs + random.uniform(-0.08, 0.08, len(costs)) * np.maximum(1.0, costs)
