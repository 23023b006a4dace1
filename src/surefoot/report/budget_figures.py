"""Figures of a run's evaluations under budgets."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from surefoot.errors import ConfigError, DataError
from surefoot.evaluation.imagined import imagination_errors
from surefoot.evaluation.kinds.budgets import PLANS, ROWS
from surefoot.evaluation.plan_file import read_plans
from surefoot.evaluation.rows import read_budget_rows
from surefoot.evaluation.summarize import budget_figures as figures_of_budgets
from surefoot.report.budget_plots import (
    MOST_PANELS,
    Imagined,
    Plane,
    budget_curves,
    calibration_plot,
    plans_over_trajectory,
)
from surefoot.report.summary_rows import level_name
from surefoot.runs.evaluation_files import kept, kept_size
from surefoot.runs.loaded import FOLDER
from surefoot.tasks import get_task

Figures = dict[str, tuple[Figure, str]]
Observations = Float[np.ndarray, "... o"]


class View(NamedTuple):
    """Plane in which a task's trajectories are drawn."""

    plane: Plane
    project: Callable[[Observations], Float[np.ndarray, "... 2"]]


def _pendulum(observations: Observations) -> Float[np.ndarray, "... 2"]:
    """cos, sin, speed -> angle in degrees and speed."""
    angle = np.degrees(np.arctan2(observations[..., 1], observations[..., 0]))
    return np.stack([angle, observations[..., 2]], -1)


def _reacher_tip(observations: Observations) -> Float[np.ndarray, "... 2"]:
    """The tip: links of 0.1 and 0.11 metres at the two joints, whose cosines and sines an observation begins with."""
    cos, inner_cos, sin, inner_sin = (observations[..., place] for place in range(4))
    both_cos, both_sin = cos * inner_cos - sin * inner_sin, sin * inner_cos + cos * inner_sin
    return np.stack([0.1 * cos + 0.11 * both_cos, 0.1 * sin + 0.11 * both_sin], -1)


def _first_two(observations: Observations) -> Float[np.ndarray, "... 2"]:
    return observations[..., :2]


def _ground(observations: Observations) -> Float[np.ndarray, "... 2"]:
    """Bullet-Safety-Gym's robots see a tenth of their place in metres first."""
    return 10.0 * observations[..., :2]


VIEWS: dict[str, View] = {
    "SafePendulum": View(
        Plane("angle from upright, degrees", "speed, rad/s", periodic=360.0, marked=((-25.0, 75.0),)), _pendulum
    ),
    "SafeReacher": View(Plane("tip x, m", "tip y, m"), _reacher_tip),
    **dict.fromkeys(
        ("Hopper", "Walker2d", "HalfCheetah"),
        View(Plane("height of the torso, m", "angle of the torso, rad"), _first_two),
    ),
    **dict.fromkeys(
        ("BallCircle", "CarCircle"),
        View(Plane("x, m", "y, m", marked=((-np.inf, -6.0), (6.0, np.inf))), _ground),
    ),
}
"""Planes of tasks; others are drawn by the first two numbers of their observations."""
_PLAIN = View(Plane("observation[0]", "observation[1]"), _first_two)


def levels_of(rows: Sequence[Mapping[str, Any]]) -> list[tuple[dict[str, Any], list[Mapping[str, Any]]]]:
    """Figures and rows of the last setting of each calibrated level, the uncalibrated one first.

    Only episodes that all levels share count, and only rows with the overrides of the last row.

    Args:
        rows: Rows of evaluations under budgets.

    Returns:
        (figures, rows) of each level.
    """
    rows = [row for row in rows if row.get("overrides", {}) == rows[-1].get("overrides", {})]
    last = {row.get("level"): row["setting"] for row in rows}
    by_level = {level: [row for row in rows if row["setting"] == setting] for level, setting in last.items()}
    shared = set.intersection(*({row["episode"] for row in chosen} for chosen in by_level.values())) if rows else set()
    found = []
    for level in sorted(by_level, key=lambda one: (one is not None, one or 0.0)):
        chosen = [row for row in by_level[level] if not shared or row["episode"] in shared]
        found.append((figures_of_budgets(chosen), chosen))
    return found


def budget_figures(path: Path, task: str) -> Figures:
    """All figures of a run's evaluations under budgets.

    Args:
        path: Folder of the run.
        task: Name of its task.

    Returns:
        Name -> (figure, caption); empty without such evaluations.

    Raises:
        ConfigError: The rows or plans have another form.
    """
    try:
        file = kept(path, "budgets", ROWS)
        levels = [] if file is None else levels_of(read_budget_rows(file, size=kept_size(path, "budgets", ROWS)))
    except (KeyError, TypeError, DataError) as error:
        raise ConfigError(f"{path / FOLDER / ROWS}: expected rows of evaluations, found others ({error}).") from error
    if not levels:
        return {}
    figures: Figures = {}
    named = [(level_name(one["level"]), one) for one, _ in levels]
    if any(record["budget"] is not None for _, one in named for record in one["budgets"]):
        caption = (
            "Return and cost of an episode against its budget. Bars: 95 % intervals of the mean over episodes; "
            "coloured dots: seeds; grey: episodes (of the first line). Below the diagonal the budget is kept; dashed "
            "is the planner without a limit."
        )
        figures["budgets"] = (budget_curves(named, levels[0][1]), caption)
    plans = kept(path, "budgets", PLANS)
    figures |= {} if plans is None else _plans(plans, task)
    if any(one["level"] is not None for _, one in named):
        caption = (
            "Share of episodes over budget, not calibrated and with margins calibrated for a level (green "
            "line). Bars: 95 % intervals; diamonds: all budgets together."
        )
        figures["calibration"] = (calibration_plot([one for _, one in named]), caption)
    return figures


def _plans(file: Path, task: str) -> Figures:
    shown_of = read_plans(file)
    observations, plans = shown_of.watched
    width = get_task(task).observation_dim
    if observations.shape[-1] != width:
        found = f"{observations.shape[-1]}; evaluate again"
        raise ConfigError(f"{file}: observations: expected {width} numbers each, as in {task}, found {found}.")
    view = VIEWS.get(task, _PLAIN)
    imagined = []
    for lane, name in enumerate(shown_of.asked):
        lived = np.isfinite(observations[:, lane]).all(-1)
        shown = None if plans is None else view.project(plans[lived, lane])
        imagined.append(Imagined(name, view.project(observations[lived, lane]), shown))
    caption = (
        f"Episode {shown_of.episode} of the first seed under several budgets: what came (black, from the blue dot on) "
        "and some of the plans imagined on the way (light). "
    )
    caption += "Shaded: what costs. " if view.plane.marked else ""
    errors = imagination_errors(shown_of.watched)
    if errors is not None:
        shares = ", ".join("none" if np.isnan(error) else f"{100 * error:.0f}" for error in errors[:MOST_PANELS])
        caption += (
            f"One step ahead, the plans are wrong by {shares} % of what a step changes (root mean square; 100 %: as "
            "wrong as if nothing moved)."
        )
    return {"plans": (plans_over_trajectory(imagined, view.plane), caption.strip())}
