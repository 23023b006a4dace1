"""Figures of a summary against the targets of `evaluation.targets`; parts that a run lacks are left out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from surefoot.envs.point_robot import POINT_ROBOT, ROBOTS
from surefoot.errors import DataError
from surefoot.evaluation.targets import (
    EPISODE_SAFE_RATE,
    EPISODES_NEARLY_WITHIN,
    FALSE_SAFE_RATE,
    IOU_EACH,
    IOU_MEAN,
    NORMALISED_COST,
    PEAK_MEMORY_MB,
    PIXELS_AUROC,
    PIXELS_VIOLATION_FREE_RATE,
    RETURN_MEAN,
    SAFE_STARTS,
    SHARE_OF_UNCONSTRAINED,
    TIGHT_STARTS,
    TIGHT_VIOLATION,
    VIOLATION_FREE_RATE,
    WALL_SECONDS,
)
from surefoot.report.reading import mapping_of, number_of, numbers_of, reading
from surefoot.report.tables import MINUS, over_seeds, percent
from surefoot.report.verdicts import KeyFigure, judged_by, verdict

VIOLATION_FREE = "Violation-free episodes from feasible starts"


def key_figures(summary: Mapping[str, Any]) -> list[KeyFigure]:
    """Key figures of a summary with their targets: safety first, time and memory last.

    Args:
        summary: Content of summary.json.

    Returns:
        The figures.

    Raises:
        DataError: A key has a value of another form.
    """
    return [
        *_policy_figures(summary),
        *_fixed_figures(summary),
        *_protocol_figures(summary),
        *_region_figures(summary),
        *_cost_figures(summary),
    ]


def key_figure_rows(figures: Sequence[KeyFigure]) -> list[dict[str, str]]:
    """Key figures as rows of `plain_table`."""
    marks = {True: "✓", False: "✗", None: ""}
    spread = any(figure.seeds for figure in figures)
    return [
        {"figure": f.name, "reached": f.reached, **({"seeds": f.seeds} if spread else {}), "target": f.target,
         "met": marks[f.met]}
        for f in figures
    ]  # fmt: skip


def pose_text(pose: Sequence[float]) -> str:
    """A pose (x, y, v, theta), perhaps with an acceleration, in words: '(-2.7, -2.7) at 1 m/s, 45°'."""
    x, y, speed, heading, *_ = pose
    return f"({x:g}, {y:g}) at {speed:g} m/s, {math.degrees(heading):.0f}°".replace("-", MINUS)


def _cost_figures(summary: Mapping[str, Any]) -> list[KeyFigure]:
    found = []
    if (seconds := number_of(summary, "wall_seconds")) is not None:
        found.append(_at_most("Wall time", [seconds], WALL_SECONDS, unit=" s", digits=0))
    if (memory := number_of(summary, "peak_memory_mb")) is not None:
        found.append(_at_most("Peak memory", [memory], PEAK_MEMORY_MB, unit=" MB", digits=0))
    return found


def _region_figures(summary: Mapping[str, Any]) -> list[KeyFigure]:
    region = mapping_of(summary, "feasible_region")
    found = []
    if iou := numbers_of(region, "iou", "feasible_region"):
        figure = _at_least("Feasible region, mean IoU", [sum(iou) / len(iou)], IOU_MEAN, digits=3)
        seeds = mapping_of(region, "per_seed", "feasible_region").get("iou") or []
        means = [sum(one) / len(one) for one in seeds if isinstance(one, Sequence) and one]
        found.append(replace(figure, seeds=over_seeds(means, "{:.3f}".format)))
        found.append(_at_least("Feasible region, IoU of each slice", iou, IOU_EACH, digits=3))
    if missed := numbers_of(region, "false_safe_rate", "feasible_region"):
        found.append(_at_most("False-safe rate of each slice", missed, FALSE_SAFE_RATE, unit=" %", scale=100))
    if alarms := numbers_of(region, "false_alarm_rate", "feasible_region"):
        each = " · ".join(percent(value) for value in alarms)
        found.append(KeyFigure("False-alarm rate of each slice", each, "", None))
    return found


def _policy_figures(summary: Mapping[str, Any]) -> list[KeyFigure]:
    evaluation = mapping_of(summary, "evaluation")
    feasible, infeasible, data = (
        mapping_of(evaluation, key, "evaluation") for key in ("feasible", "infeasible", "data")
    )
    each = mapping_of(feasible, "per_seed", "evaluation.feasible")
    if str(summary.get("task", "")).startswith("PointRobotPixels"):
        return _pixel_figures(feasible, data, mapping_of(summary, "evaluation_infeasibility"))
    found = []
    if (free := number_of(feasible, "violation_free_rate", "evaluation.feasible")) is not None:
        figure = _at_least(VIOLATION_FREE, [free], VIOLATION_FREE_RATE, unit=" %", scale=100)
        found.append(_of(feasible, figure, seeds=over_seeds(each.get("violation_free_rate"), percent)))
    if (mean := number_of(feasible, "return_mean", "evaluation.feasible")) is not None:
        robot = ROBOTS.get(str(summary.get("task", "")), POINT_ROBOT)
        # What can be earned with slow actuators only the data say.
        least = number_of(data, "violation_free_return_mean", "evaluation.data") if robot.lag else RETURN_MEAN
        name = "Mean return from feasible starts"
        figure = KeyFigure(name, f"{mean:.2f}", "", None)
        figure = figure if least is None else _at_least(name, [mean], least, digits=2)
        seeds = over_seeds(each.get("return_mean"), "{:.2f}".format)
        found.append(_of(feasible, figure, is_return=True, seeds=seeds))
    steps = number_of(infeasible, "violating_steps_mean", "evaluation.infeasible")
    logged = number_of(data, "violating_steps_mean_infeasible_starts", "evaluation.data")
    if steps is not None:
        target = "" if logged is None else f"< {logged:.2f} (data)"
        met = None if logged is None else steps < logged
        name = "Violating steps per episode from infeasible starts"
        lost = mapping_of(infeasible, "per_seed", "evaluation.infeasible").get("violating_steps_mean")
        figure = KeyFigure(name, f"{steps:.2f}", target, met)
        found.append(_of(infeasible, figure, seeds=over_seeds(lost, "{:.2f}".format)))
    return found


def _pixel_figures(
    feasible: Mapping[str, Any], data: Mapping[str, Any], infeasibility: Mapping[str, Any]
) -> list[KeyFigure]:
    """Of PointRobotPixels, whose robot sees: less is asked of it than of PointRobot's."""
    found = []
    each = mapping_of(feasible, "per_seed", "evaluation.feasible")
    if (free := number_of(feasible, "violation_free_rate", "evaluation.feasible")) is not None:
        figure = _at_least(VIOLATION_FREE, [free], PIXELS_VIOLATION_FREE_RATE, unit=" %", scale=100)
        found.append(_of(feasible, figure, seeds=over_seeds(each.get("violation_free_rate"), percent)))
    if (mean := number_of(feasible, "return_mean", "evaluation.feasible")) is not None:
        logged = number_of(data, "violation_free_return_mean", "evaluation.data")
        name = "Mean return from feasible starts"
        figure = KeyFigure(name, f"{mean:.2f}", "", None)
        figure = figure if logged is None else _at_least(name, [mean], logged, digits=2)
        seeds = over_seeds(each.get("return_mean"), "{:.2f}".format)
        found.append(_of(feasible, figure, is_return=True, seeds=seeds))
    exact = infeasibility.get("exact") or []
    if scores := [score for one in exact if (score := number_of(one, "auroc", "evaluation_infeasibility.exact"))]:
        found.append(_at_least("p against the exact set, AUROC", [sum(scores) / len(scores)], PIXELS_AUROC, digits=3))
    return found


def _protocol_figures(summary: Mapping[str, Any]) -> list[KeyFigure]:
    """Of an evaluation on a simulator."""
    protocol = mapping_of(summary, "protocol")
    found, shares = [], None
    if (cost := number_of(protocol, "normalised_cost_mean", "protocol")) is not None:
        figure = _at_most("Mean normalised cost", [cost], NORMALISED_COST, digits=2)
        if has_limit_of_zero(protocol):
            figure = _at_most("Mean cost", [number_of(protocol, "cost_mean", "protocol") or 0.0], 0.0, digits=2)
        limits = protocol.get("limits")
        one = limits[0] if isinstance(limits, Sequence) and len(limits) == 1 else {}
        costs = None if has_limit_of_zero(protocol) else one.get("normalised_cost_per_seed")
        shares = one.get("episode_safe_rate_per_seed")
        found.append(_of(protocol, figure, seeds=over_seeds(costs, "{:.2f}".format)))
    if (safe := number_of(protocol, "episode_safe_rate", "protocol")) is not None:
        figure = _at_least("Episodes within the cost limit", [safe], EPISODE_SAFE_RATE, unit=" %", scale=100)
        found.append(_of(protocol, figure, seeds=over_seeds(shares, percent)))
    if (mean := number_of(protocol, "normalised_return_mean", "protocol")) is not None:
        seeds = over_seeds(protocol.get("normalised_return_per_seed"), "{:.3f}".format)
        found.append(KeyFigure("Mean normalised return", f"{mean:.3f}", "", None, is_return=True, seeds=seeds))
    return found


def has_limit_of_zero(protocol: Mapping[str, Any]) -> bool:
    """Whether a protocol's only cost limit is 0; then the cost itself is shown, not the normalized cost C + 1."""
    limits = protocol.get("limits")
    return isinstance(limits, Sequence) and [one.get("limit") for one in limits if isinstance(one, Mapping)] == [0]


def _of(part: Mapping[str, Any], figure: KeyFigure, *, is_return: bool = False, seeds: str = "") -> KeyFigure:
    """A figure of the episodes that `part` counts: not met by fewer than `FEWEST_EPISODES`."""
    return judged_by(replace(figure, seeds=seeds), part.get("episodes"), is_return=is_return)


def _at_least(name: str, values: Sequence[float], bound: float, **form: Any) -> KeyFigure:
    each = "each " if len(values) > 1 else ""
    reached = " · ".join(_against(value, bound, met=value >= bound, **form) for value in values)
    return KeyFigure(name, reached, f"{each}≥ {_against(bound, bound, met=True, **form)}", min(values) >= bound)


def _at_most(name: str, values: Sequence[float], bound: float, **form: Any) -> KeyFigure:
    each = "each " if len(values) > 1 else ""
    reached = " · ".join(_against(value, bound, met=value <= bound, **form) for value in values)
    return KeyFigure(name, reached, f"{each}≤ {_against(bound, bound, met=True, **form)}", max(values) <= bound)


def _against(value: float, bound: float, *, met: bool, unit: str = "", digits: int = 1, scale: float = 1.0) -> str:
    """A value with as many decimals as it takes for a missed bound to look missed: 0.9296 is not shown as 0.93."""
    value, bound = scale * value, scale * bound
    while not met and digits < 6 and f"{value:.{digits}f}" == f"{bound:.{digits}f}":
        digits += 1
    return f"{value:,.{digits}f}{unit}"


def _fixed_figures(summary: Mapping[str, Any]) -> list[KeyFigure]:
    fixed = mapping_of(summary, "evaluation").get("fixed") or []
    if not isinstance(fixed, Sequence):
        raise DataError(f"summary: key 'evaluation.fixed': expected a list, found {type(fixed).__name__}.")
    found = []
    for index, record in enumerate(fixed):
        where = f"evaluation.fixed[{index}]"
        if not isinstance(record, Mapping):
            raise DataError(f"summary: key '{where}': expected a table of keys, found {type(record).__name__}.")
        pose = numbers_of(record, "pose", where)
        goals = record.get("reached_goal")
        depths = numbers_of(record, "max_violation_m", where)
        if not isinstance(goals, Sequence) or len(pose) not in (4, 5) or not depths or len(goals) != len(depths):
            raise DataError(
                f"summary: key '{where}': expected a pose of 4 or 5 numbers and, for each seed, reached_goal and "
                f"max_violation_m, found {dict(record)!r}."
            )
        found.append(_fixed_figure(pose, [bool(goal) for goal in goals], depths))
    return found


def _fixed_figure(pose: Sequence[float], goals: Sequence[bool], depths: Sequence[float]) -> KeyFigure:
    """The worst seed counts: a start that one seed fails is failed."""
    worst = max(depths)
    depth = "no violation" if worst <= 0 else f"at most {worst:.3g} m inside a hazard"
    reached = f"{depth}, goal with {sum(goals)} of {len(goals)} seeds"
    name = f"From {pose_text(pose)}"
    if any(_same_pose(pose, start) for start in SAFE_STARTS):
        return KeyFigure(name, reached, "goal, no violation", all(goals) and worst <= 0)
    if any(_same_pose(pose, start) for start in TIGHT_STARTS):
        return KeyFigure(f"{name}, which full control only just saves", reached, f"≤ {TIGHT_VIOLATION:.2f} m inside",
                         worst <= TIGHT_VIOLATION)  # fmt: skip
    return KeyFigure(name, reached, "", None)


def _same_pose(pose: Sequence[float], other: Sequence[float]) -> bool:
    return len(pose) == len(other) and all(math.isclose(a, b, abs_tol=1e-3) for a, b in zip(pose, other, strict=True))


# --- under budgets ----------------------------------------------------------------------------------------------------


def budget_key_figures(figures: Mapping[str, Any]) -> list[KeyFigure]:
    """Key figures of an evaluation under budgets: costs within budgets, episodes within 1.1 of them, rising returns.

    Raises:
        DataError: A figure is missing.
    """
    with reading("budgets", "of an evaluation under budgets"):
        return _budget_key_figures(figures)


def _budget_key_figures(figures: Mapping[str, Any]) -> list[KeyFigure]:
    limited = [record for record in figures.get("budgets", []) if record["budget"] is not None]
    if not limited:
        return []
    found = [*_budget_cost_figures(limited), _nearly_within(limited)]
    if (level := figures.get("level")) is not None:
        over = max(record["exceeded_rate"] for record in limited)
        found.append(KeyFigure("Episodes over budget, most", percent(over), f"≤ {percent(level)}", over <= level))
    fewest = min(record.get("episodes", 0) for record in limited)
    found = [judged_by(figure, fewest) for figure in found]
    if len(limited) > 1:
        rises = figures["return_rises"]
        figure = KeyFigure("Return rises with the budget", "yes" if rises else "no", "yes", bool(rises))
        if rises is None:  # as of an agent that stands still
            figure = KeyFigure("Return rises with the budget", "the same under all", "", None)
        found.append(judged_by(figure, fewest, is_return=True))
    if (share := figures.get("share_of_unconstrained_return")) is not None:
        figure = _share_of_unconstrained(share, figures["budgets"], limited[-1])
        found.append(judged_by(figure, fewest, is_return=True))
    return found


def _budget_cost_figures(limited: Sequence[Mapping[str, Any]]) -> list[KeyFigure]:
    """Costs against budgets; under a budget of 0 the cost itself, for none is a share of it."""
    found = []
    if some := [record for record in limited if record["budget"] > 0]:
        worst = max(record["normalised_cost_mean"] for record in some)
        found.append(KeyFigure("Mean cost over budget, largest", f"{worst:.3f}", "≤ 1", worst <= 1))
    for record in limited:
        if record["budget"] == 0:
            cost = record["cost_mean"]
            found.append(KeyFigure("Mean cost under a budget of 0", f"{cost:.3f}", "≤ 0", cost <= 0))
    return found


def _nearly_within(limited: Sequence[Mapping[str, Any]]) -> KeyFigure:
    fewest = min(record["nearly_within_rate"] for record in limited)
    return KeyFigure(
        "Episodes within 1.1 of the budget, fewest",
        percent(fewest),
        f"≥ {percent(EPISODES_NEARLY_WITHIN)}",
        fewest >= EPISODES_NEARLY_WITHIN,
    )


def _share_of_unconstrained(
    share: float, records: Sequence[Mapping[str, Any]], largest: Mapping[str, Any]
) -> KeyFigure:
    """Judged only where the largest budget is all that a planner needs: a ratio of 1, or what it costs unlimited. A
    smaller one must cost return."""
    unlimited = min(record["cost_mean"] for record in records if record["budget"] is None)
    enough = (largest.get("ratio") or 0.0) >= 1.0 or largest["budget"] >= unlimited
    name, target = "Return at the largest budget, of the unconstrained planner's", SHARE_OF_UNCONSTRAINED
    if not enough:
        return KeyFigure(name, percent(share), "", None)
    return KeyFigure(name, percent(share), f"≥ {percent(target)}", share >= target)


def budget_verdict(figures: Mapping[str, Any]) -> str:
    """Sentence on the targets of an evaluation under budgets that are met, and those that are not."""
    return verdict(budget_key_figures(figures))
