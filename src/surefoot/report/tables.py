"""The key figures of a run against their targets, and tables for the page and the terminal.

Everything is read from the `summary.json` of a run; a part that the run does not have is left out.
"""

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from surefoot.envs.point_robot import POINT_ROBOT, ROBOTS
from surefoot.errors import DataError
from surefoot.report.verdicts import KeyFigure, judged_by
from surefoot.text import printable

WALL_SECONDS = 300.0
PEAK_MEMORY_MB = 2000.0
IOU_MEAN = 0.93
IOU_EACH = 0.90
FALSE_SAFE_RATE = 0.03
VIOLATION_FREE_RATE = 0.99
RETURN_MEAN = 2.5
PIXELS_VIOLATION_FREE_RATE, PIXELS_AUROC = 0.9, 0.95
"""Of PointRobotPixels."""
NORMALISED_COST = 1.0
EPISODE_SAFE_RATE = 0.9
SAFE_STARTS, TIGHT_STARTS = zip(*(robot.fixed_starts for robot in ROBOTS.values()), strict=True)
"""Of each robot: from the first the goal is reached without violation; from the second, where the exact value is only
-0.05 m, a violation stays within TIGHT_VIOLATION."""
TIGHT_VIOLATION = 0.05
"""Metres."""

DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"


def key_figures(summary: Mapping[str, Any]) -> list[KeyFigure]:
    """The figures that a summary holds, each against its target, in a fixed order.

    `DataError` names a key whose value has the wrong form.
    """
    return [
        *_cost_figures(summary),
        *_region_figures(summary),
        *_policy_figures(summary),
        *_fixed_figures(summary),
        *_protocol_figures(summary),
    ]


def key_figure_rows(figures: Sequence[KeyFigure]) -> list[dict[str, str]]:
    """The key figures as rows for `plain_table`."""
    marks = {True: "✓", False: "✗", None: ""}
    return [{"figure": f.name, "reached": f.reached, "target": f.target, "met": marks[f.met]} for f in figures]


def evaluation_rows(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row for each start set that was evaluated, and one for the data; empty where nothing was.

    95 % intervals stand in brackets; the worst tenth of the episodes is the one of the largest costs.
    """
    rows = []
    evaluation = _mapping(summary, "evaluation")
    for name, part in evaluation.items():
        if name == "fixed" or not isinstance(part, Mapping):
            continue
        row = {"starts": "the data's episodes" if name == "data" else f"{name} starts"}
        row |= {"episodes": f"{part['episodes']:,}" if isinstance(part.get("episodes"), int) else DASH}
        where = f"evaluation.{name}"
        row["violation-free [95 %]"] = _with_interval(
            part, where, "violation_free_rate", "violation_free_interval", percent
        )
        row["return [95 %]"] = _with_interval(part, where, "return_mean", "return_interval", "{:.2f}".format)
        row["violating steps"] = _or_dash(_number(part, "violating_steps_mean", where), "{:.2f}".format)
        row["cost, worst tenth"] = _or_dash(_number(part, "cost_cvar", where), "{:.1f}".format)
        row["goal reached"] = _or_dash(_number(part, "goal_rate", where), percent)
        rows.append(row)
    return rows


def plain_table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as aligned monospace text, a line under the header; columns in the first row's order, numbers to the right.

    A key that later rows add becomes a column at the end. Empty where there are no rows.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    if not columns:
        return ""
    texts = [[_one_line(row.get(column, "")) for column in columns] for row in rows]
    right = [all(_is_figure(line[i]) for line in texts) for i in range(len(columns))]
    widths = [max(_width(text) for text in column) for column in zip(columns, *texts, strict=True)]
    lines = [columns, ["─" * width for width in widths], *texts]
    return "\n".join(
        "  ".join(_pad(text, width, right=to) for text, width, to in zip(line, widths, right, strict=True)).rstrip()
        for line in lines
    )


def percent(share: float) -> str:
    """A share as per cent with one decimal, never rounded up to 100 or down to 0."""
    if 0 < share < 1 and f"{share:.1%}" in ("100.0%", "0.0%"):
        return "> 99.9 %" if share > 0.5 else "< 0.1 %"
    return f"{100 * share:.1f} %"


def pose_text(pose: Sequence[float]) -> str:
    """A pose (x, y, v, theta), perhaps with an acceleration, in words: '(-2.7, -2.7) at 1 m/s, 45°'."""
    x, y, speed, heading, *_ = pose
    return f"({x:g}, {y:g}) at {speed:g} m/s, {math.degrees(heading):.0f}°".replace("-", MINUS)


def _cost_figures(summary: Mapping[str, Any]) -> list[KeyFigure]:
    found = []
    if (seconds := _number(summary, "wall_seconds")) is not None:
        found.append(_at_most("Wall time", [seconds], WALL_SECONDS, unit=" s", digits=0))
    if (memory := _number(summary, "peak_memory_mb")) is not None:
        found.append(_at_most("Peak memory", [memory], PEAK_MEMORY_MB, unit=" MB", digits=0))
    return found


def _region_figures(summary: Mapping[str, Any]) -> list[KeyFigure]:
    region = _mapping(summary, "feasible_region")
    found = []
    if iou := _numbers(region, "iou", "feasible_region"):
        found.append(_at_least("Feasible region, mean IoU", [sum(iou) / len(iou)], IOU_MEAN, digits=3))
        found.append(_at_least("Feasible region, IoU of each slice", iou, IOU_EACH, digits=3))
    if missed := _numbers(region, "false_safe_rate", "feasible_region"):
        found.append(_at_most("False-safe rate of each slice", missed, FALSE_SAFE_RATE, unit=" %", scale=100))
    if alarms := _numbers(region, "false_alarm_rate", "feasible_region"):
        each = " · ".join(percent(value) for value in alarms)
        found.append(KeyFigure("False-alarm rate of each slice", each, "", None))
    return found


def _policy_figures(summary: Mapping[str, Any]) -> list[KeyFigure]:
    evaluation = _mapping(summary, "evaluation")
    feasible, infeasible, data = (_mapping(evaluation, key, "evaluation") for key in ("feasible", "infeasible", "data"))
    if str(summary.get("task", "")).startswith("PointRobotPixels"):
        return _pixel_figures(feasible, data, _mapping(summary, "evaluation_infeasibility"))
    found = []
    if (free := _number(feasible, "violation_free_rate", "evaluation.feasible")) is not None:
        name = "Violation-free episodes from feasible starts"
        found.append(_of(feasible, _at_least(name, [free], VIOLATION_FREE_RATE, unit=" %", scale=100)))
    if (mean := _number(feasible, "return_mean", "evaluation.feasible")) is not None:
        robot = ROBOTS.get(str(summary.get("task", "")), POINT_ROBOT)
        # What can be earned with slow actuators only the data say.
        least = _number(data, "violation_free_return_mean", "evaluation.data") if robot.lag else RETURN_MEAN
        name = "Mean return from feasible starts"
        figure = KeyFigure(name, f"{mean:.2f}", "", None)
        figure = figure if least is None else _at_least(name, [mean], least, digits=2)
        found.append(_of(feasible, figure, is_return=True))
    steps = _number(infeasible, "violating_steps_mean", "evaluation.infeasible")
    logged = _number(data, "violating_steps_mean_infeasible_starts", "evaluation.data")
    if steps is not None:
        target = "" if logged is None else f"< {logged:.2f} (data)"
        met = None if logged is None else steps < logged
        name = "Violating steps per episode from infeasible starts"
        found.append(_of(infeasible, KeyFigure(name, f"{steps:.2f}", target, met)))
    return found


def _pixel_figures(
    feasible: Mapping[str, Any], data: Mapping[str, Any], infeasibility: Mapping[str, Any]
) -> list[KeyFigure]:
    """Of PointRobotPixels, whose robot sees: less is asked of it than of PointRobot's."""
    found = []
    if (free := _number(feasible, "violation_free_rate", "evaluation.feasible")) is not None:
        name = "Violation-free episodes from feasible starts"
        found.append(_of(feasible, _at_least(name, [free], PIXELS_VIOLATION_FREE_RATE, unit=" %", scale=100)))
    if (mean := _number(feasible, "return_mean", "evaluation.feasible")) is not None:
        logged = _number(data, "violation_free_return_mean", "evaluation.data")
        name = "Mean return from feasible starts"
        figure = KeyFigure(name, f"{mean:.2f}", "", None)
        figure = figure if logged is None else _at_least(name, [mean], logged, digits=2)
        found.append(_of(feasible, figure, is_return=True))
    exact = infeasibility.get("exact") or []
    if scores := [score for one in exact if (score := _number(one, "auroc", "evaluation_infeasibility.exact"))]:
        found.append(_at_least("p against the exact set, AUROC", [sum(scores) / len(scores)], PIXELS_AUROC, digits=3))
    return found


def _protocol_figures(summary: Mapping[str, Any]) -> list[KeyFigure]:
    """Of an evaluation on a simulator."""
    protocol = _mapping(summary, "protocol")
    found = []
    if (cost := _number(protocol, "normalised_cost_mean", "protocol")) is not None:
        figure = _at_most("Mean normalised cost", [cost], NORMALISED_COST, digits=2)
        if has_limit_of_zero(protocol):
            figure = _at_most("Mean cost", [_number(protocol, "cost_mean", "protocol") or 0.0], 0.0, digits=2)
        found.append(_of(protocol, figure))
    if (safe := _number(protocol, "episode_safe_rate", "protocol")) is not None:
        figure = _at_least("Episodes within the cost limit", [safe], EPISODE_SAFE_RATE, unit=" %", scale=100)
        found.append(_of(protocol, figure))
    if (mean := _number(protocol, "normalised_return_mean", "protocol")) is not None:
        found.append(KeyFigure("Mean normalised return", f"{mean:.3f}", "", None, is_return=True))
    return found


def has_limit_of_zero(protocol: Mapping[str, Any]) -> bool:
    """Whether a protocol's only cost limit is 0. A cost normalised by it, C + 1, reads as if something had been spent
    where nothing was, so that the cost itself is shown."""
    limits = protocol.get("limits")
    return isinstance(limits, Sequence) and [one.get("limit") for one in limits if isinstance(one, Mapping)] == [0]


def _of(part: Mapping[str, Any], figure: KeyFigure, *, is_return: bool = False) -> KeyFigure:
    """A figure of the episodes that `part` counts: not met by fewer than `FEWEST_EPISODES`."""
    return judged_by(figure, part.get("episodes"), is_return=is_return)


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
    fixed = _mapping(summary, "evaluation").get("fixed") or []
    if not isinstance(fixed, Sequence):
        raise DataError(f"summary: key 'evaluation.fixed': expected a list, found {type(fixed).__name__}.")
    found = []
    for index, record in enumerate(fixed):
        where = f"evaluation.fixed[{index}]"
        if not isinstance(record, Mapping):
            raise DataError(f"summary: key '{where}': expected a table of keys, found {type(record).__name__}.")
        pose = _numbers(record, "pose", where)
        goals = record.get("reached_goal")
        depths = _numbers(record, "max_violation_m", where)
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
    depth = "no violation" if worst <= 0 else f"violation {worst:.3g} m"
    reached = f"{depth}, goal with {sum(goals)} of {len(goals)} seeds"
    name = f"From {pose_text(pose)}"
    if any(_same_pose(pose, start) for start in SAFE_STARTS):
        return KeyFigure(name, reached, "goal, no violation", all(goals) and worst <= 0)
    if any(_same_pose(pose, start) for start in TIGHT_STARTS):
        return KeyFigure(name, reached, f"violation ≤ {TIGHT_VIOLATION:.2f} m", worst <= TIGHT_VIOLATION)
    return KeyFigure(name, reached, "", None)


def _same_pose(pose: Sequence[float], other: Sequence[float]) -> bool:
    return len(pose) == len(other) and all(math.isclose(a, b, abs_tol=1e-3) for a, b in zip(pose, other, strict=True))


def _mapping(table: Mapping[str, Any], key: str, where: str = "") -> Mapping[str, Any]:
    value = table.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise DataError(f"summary: key '{_path(where, key)}': expected a table of keys, found {type(value).__name__}.")
    return value


def _number(table: Mapping[str, Any], key: str, where: str = "") -> float | None:
    value = table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"summary: key '{_path(where, key)}': expected a finite number, found {value!r}.")
    return float(value)


def _numbers(table: Mapping[str, Any], key: str, where: str) -> list[float]:
    values = table.get(key)
    if values is None:
        return []
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise DataError(f"summary: key '{_path(where, key)}': expected a list of numbers, found {values!r}.")
    numbers = [_number({"": value}, "", f"{_path(where, key)}[{i}]") for i, value in enumerate(values)]
    if None in numbers:
        raise DataError(f"summary: key '{_path(where, key)}': expected a list of numbers, found {values!r}.")
    return [number for number in numbers if number is not None]


def _path(where: str, key: str) -> str:
    return ".".join(part for part in (where, key) if part)


def _with_interval(part: Mapping[str, Any], where: str, key: str, interval: str, form: Callable[[float], str]) -> str:
    """A figure and its interval in brackets, whose bounds share the figure's unit; else the number of episodes."""
    text = _or_dash(_number(part, key, where), form)
    bounds = _numbers(part, interval, where)
    if bounds:
        return f"{text} [{', '.join(form(bound).removesuffix(' %') for bound in bounds)}]"
    episodes = part.get("episodes")
    return f"{text} (n = {episodes:,})" if interval in part and isinstance(episodes, int) else text


def _or_dash(value: float | None, form: Callable[[float], str]) -> str:
    return DASH if value is None else form(value)


def _one_line(value: object) -> str:
    return printable(" ".join(str(value).split()))


def _is_figure(text: str) -> bool:
    """Whether a cell is a number, perhaps with a unit or an interval, or a dash for a missing one."""
    return text in ("", DASH) or text.lstrip(f"<>≤≥ -{MINUS}")[:1].isdigit()


def _width(text: str) -> int:
    """Columns that a terminal gives to a text."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def _pad(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space
