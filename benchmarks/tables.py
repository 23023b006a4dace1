"""Tables of README.md and docs/, written from the committed results.

    python benchmarks/tables.py            # or make tables; tests/unit/test_results.py compares

A table stands between `<!-- table NAME -->` and `<!-- end of table -->`; NAME is a key of `TABLES`.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from surefoot.files import write_text
from surefoot.result_files import ROWS, read_rows

TOP = Path(__file__).parents[1]
MARKED = re.compile(r"(<!-- table ([\w-]+) -->\n)(.*?)(<!-- end of table -->)", re.DOTALL)
PUBLIC_PLAN, PUBLIC_UPDATE = 20.9, 0.52
"""CPU seconds of TREBI's public implementation: its plan, an update of a network (benchmarks/planning.py)."""


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "".join(map(line, [head, ["---"] * len(head), *rows]))


def line(cells: Sequence[str]) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(cells)} |\n".replace("  ", " ")


def number(value: float, digits: int = 0) -> str:
    """A figure with thousands separated."""
    return f"{value:,.{digits}f}"


def percent(share: float | None, *, unit: str = " %") -> str:
    """A share in percent; none and all without a decimal, nothing for None."""
    return "" if share is None else f"{100 * share:.{0 if share in (0, 1) else 1}f}{unit}"


def listed(values: Iterable[float], digits: int = 0) -> str:
    """Figures as "1, 2, 3"."""
    return ", ".join(number(value, digits) for value in values)


def summary(*path: str) -> dict[str, Any]:
    """A JSON file below results/."""
    return json.loads(TOP.joinpath("results", *path).read_text(encoding="utf-8"))


def measured(*path: str) -> dict[str, Any]:
    """A JSON file below benchmarks/results/."""
    return json.loads(TOP.joinpath("benchmarks", "results", *path).read_text(encoding="utf-8"))


def copied(*path: str) -> Callable[[], str]:
    """A table that lies beside its summary."""
    return lambda: TOP.joinpath("results", *path).read_text(encoding="utf-8")


# ---- FISOR and behaviour cloning ---------------------------------------------------------------------------------


def point_robot() -> str:
    """The quickstart's figures beside their targets."""
    quick = summary("point_robot", "quickstart", "summary.json")
    found = summary("point_robot", "evaluation_1000", "summary.json")["evaluation"]
    region, data = quick["feasible_region"], found["data"]
    starts = f"[{found['feasible']['episodes']:,} feasible starts](results/point_robot/evaluation_1000)"
    logged = f"{data['return_mean']:.2f}, {data['violation_free_rate']:.1%} without violation".replace("%", " %")
    rows = [
        (
            "feasible region, IoU with the exact one at 0.5 / 1 / 1.5 m/s",
            " / ".join(f"{one:.3f}" for one in region["iou"]),
            "0.90 each, mean 0.93",
        ),
        (
            "infeasible area called feasible",
            " / ".join(f"{100 * one:.1f}" for one in region["false_safe_rate"]) + " %",
            "at most 3 %",
        ),
        (f"episodes without a violating step, {starts}", percent(found["feasible"]["violation_free_rate"]), "99 %"),
        (f"their mean return (the data's episodes: {logged})", f"{found['feasible']['return_mean']:.2f}", "2.5"),
        (
            f"violating steps from infeasible starts (the data: {data['violating_steps_mean_infeasible_starts']:.1f})",
            f"{found['infeasible']['violating_steps_mean']:.1f}",
            "fewer than the data",
        ),
        (
            "from (-1.8, 0) at 2 m/s, full control only just saves: worst violation of three seeds",
            f"{max(found['fixed'][1]['max_violation_m']):.3f} m",
            "0.05 m",
        ),
        (
            "wall time, peak memory on an idle machine",
            f"{quick['wall_seconds']:.0f} s, {quick['peak_memory_mb'] / 1000:.2f} GB",
            "300 s, 2 GB",
        ),
    ]
    return markdown(("figure", "reached", "target"), rows)


def flagship() -> str:
    """Every method of the flagship that has a result on a development task, strict protocol."""
    found = summary("flagship", "summary.json")
    done = [one for one in found["results"] if one["status"] == "done" and one["protocol"] == "strict"]
    done = [one for one in done if one["role"] == "development"]
    methods = [name for name in found["plan"]["methods"] if any(one["method"] == name for one in done)]
    titles = [found["plan"]["methods"][name]["title"] for name in methods]
    cells = {(one["task"], one["fraction"], one["method"]): one["figures"] for one in done}
    rows = []
    for task, fraction in dict.fromkeys((one["task"], one["fraction"]) for one in done):
        row = [task if fraction == 1 else f"{task}, {fraction:.0%} of the data".replace("%", " %")]
        for method in methods:
            figures = cells.get((task, fraction, method))
            if figures is None:
                row += ["", ""]
                continue
            cost = f"{figures['normalised_cost_mean']:.2f}{'' if figures['safe'] else ', not safe'}"
            row += [f"{figures['normalised_return_mean']:.2f} at {cost}", f"{100 * figures['episode_safe_rate']:.0f} %"]
        rows.append(row)
    return markdown(("task", *(cell for title in titles for cell in (title, "safe episodes"))), rows)


def front() -> str:
    """Violation-free share and return of each way to choose an action, by who proposes the candidates."""
    found = {(one["method"], one["choice"]): one for one in summary("point_robot", "front.json")["rows"]}
    proposers = ("FISOR", "FISOR, no siblings", "behaviour cloning")
    choices = {
        "`minqc` (the paper's)": "minqc",
        "`feasible_first`, margin 0.3 m": "margin 0.3",
        "`feasible_first`, margin 0.15 m": "margin 0.15",
        "`feasible_first`, margin 0": "margin 0",
        "`maxq`": "maxq",
    }

    def cell(one: Mapping[str, Any]) -> str:
        return f"{100 * one['violation_free_rate']:.1f} % / {one['return_mean']:.2f}"

    rows = [[words, *(cell(found[who, choice]) for who in proposers)] for words, choice in choices.items()]
    rows.append(["one candidate, no critics", "", "", cell(found["behaviour cloning, 1 candidate", "none"])])
    return markdown(("Choice", "FISOR", "FISOR, no siblings", "behaviour cloning, same critics"), rows)


# ---- TREBI -------------------------------------------------------------------------------------------------------


def budgets(*folder: str, level: float | None = None) -> list[dict[str, Any]]:
    """Figures of each budget of an evaluation, the one without a limit last."""
    levels = summary("trebi", *folder, "summary.json")["levels"]
    return next(one["budgets"] for one in levels if one["level"] == level)


def within(found: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those with a limit."""
    return [one for one in found if one["budget"] is not None]


def budget_cells(one: Mapping[str, Any], *, cost_digits: int, return_digits: int) -> list[str]:
    """Cost, share over the budget, share within 1.1 of it, return."""
    return [
        number(one["cost_mean"], cost_digits),
        percent(one.get("exceeded_rate")),
        percent(one.get("nearly_within_rate")),
        number(one["return_mean"], return_digits),
    ]


def ratios(task: str, *, digits: Mapping[str, int], budget_digits: int = 0, beside: bool = False) -> Callable[[], str]:
    """Every budget as a ratio of the task's maximum; `beside`: the same networks without a margin."""

    def table() -> str:
        head = ["ratio", "budget", "cost", "over budget", "within 1.1", "return"]
        unlike = budgets("no_margin", task) if beside else None
        rows = []
        for place, one in enumerate(budgets(task)):
            limit = ["no limit", ""]
            if one["budget"] is not None:
                limit = [f"{one['ratio']:.1f}", number(one["budget"], budget_digits)]
            cells = [*limit, *budget_cells(one, **digits)]
            rows.append(cells if unlike is None else [*cells, *budget_cells(unlike[place], **digits)])
        further = [] if unlike is None else ["cost, no margin", *head[3:]]
        return markdown((*head, *further), rows)

    return table


def calibrated(task: str, *, budget_digits: int, return_digits: int, costs: bool) -> Callable[[], str]:
    """Share of the episodes over each budget, without a margin and with those of each level."""

    def table() -> str:
        limits = [number(one["budget"], budget_digits) for one in within(budgets("no_margin", task))]
        rows = []
        for level in (None, 0.05, 0.1):
            found = within(budgets("no_margin", task, level=level))
            over = [one["exceeded_rate"] for one in found]
            rows.append([
                "no margin" if level is None else f"`--method budgets`, level {100 * level:.0f} %",
                *map(percent, over),
                percent(sum(over) / len(over)),
                *([listed((one["cost_mean"] for one in found), 1)] if costs else []),
                listed((one["return_mean"] for one in found), return_digits),
            ])  # fmt: skip
        return markdown(("", *limits, "all", *(["costs"] if costs else []), "returns"), rows)

    return table


CIRCLES = ("BallCircle", "CarCircle")


def circles() -> str:
    """Costs and returns under three limits and none."""
    rows = []
    for task in CIRCLES:
        episodes = read_rows(TOP / "results" / "trebi" / task / ROWS)
        for place, one in enumerate(budgets(task)):
            mine = [row["normalised_return"] for row in episodes if row["asked"] == one["asked"]]
            limit = "none" if one["budget"] is None else number(one["budget"])
            cells = budget_cells(one, cost_digits=1, return_digits=0)
            rows.append(["" if place else task, limit, *cells, f"{sum(mine) / len(mine):.2f}"])
    return markdown(("", "cost limit", "cost", "over it", "within 1.1", "return", "normalised"), rows)


def circles_calibrated() -> str:
    """Shares over three limits, without a margin and with those of each level."""
    rows = []
    for task in CIRCLES:
        for level in (None, 0.05, 0.1):
            found = within(budgets("no_margin", task, level=level))
            words = "no margin" if level is None else f"level {100 * level:.0f} %"
            over = [percent(one["exceeded_rate"]) for one in found]
            rows.append(["" if level else task, words, *over, listed(one["return_mean"] for one in found)])
    return markdown(("", "", "over 10", "over 20", "over 40", "returns"), rows)


def overview() -> str:
    """All tasks, a row each."""
    digits = {"SafePendulum": (0, 1, 0), "SafeReacher": (1, 1, 1), "Hopper": (0, 0, 0)}
    rows = []
    for task in (*digits, *CIRCLES):
        of_budget, of_cost, of_return = digits.get(task, (0, 1, 0))
        *limited, free = budgets(task)
        over = ", ".join(percent(one["exceeded_rate"], unit="") for one in limited)
        rows.append([
            task,
            listed((one["budget"] for one in limited), of_budget),
            listed((one["cost_mean"] for one in limited), of_cost),
            f"{over} %",
            listed((one["return_mean"] for one in limited), of_return),
            number(free["return_mean"], of_return),
        ])  # fmt: skip
    return markdown(("task", "budget", "cost", "episodes over it", "return", "return without a limit"), rows)


def margins() -> str:
    """Exploratory runs: margins from held-out segments against one number for all steps."""
    chosen = {"BallCircle": (0.1, 3.0, 5.0), "CarCircle": (0.1, 3.0, 6.0), "SafeReacher": (0.2, 0.3, 1.0)}
    episodes = read_rows(TOP / "results" / "trebi" / "exploratory" / "margins.jsonl.gz")
    rows = []
    for task, (level, *numbers) in chosen.items():
        digits = 1 if task == "SafeReacher" else 0
        for place, overrides in enumerate(
            ({"margin_level": level, "cost_margin": 0.0}, *({"margin_level": 0.0, "cost_margin": m} for m in numbers))
        ):
            mine = [one for one in episodes if one["task"] == task and one["overrides"] == overrides]
            limits = sorted({one["budget"] for one in mine})
            groups = [[one for one in mine if one["budget"] == limit] for limit in limits]
            over = [sum(one["exceeded"] for one in group) / len(group) for group in groups]
            words = f"{overrides['cost_margin']:.1f} for all steps" if place else f"level {level}"
            rows.append([
                "" if place else f"{task}, three seeds" if digits else task,
                "" if place else listed(limits, digits),
                words,
                ", ".join(f"{100 * one:.0f}" for one in over) + " %",
                listed((sum(one["return"] for one in group) / len(group) for group in groups), digits),
            ])  # fmt: skip
    return markdown(("", "budgets", "margins", "over budget", "returns"), rows)


# ---- TREBI's speed -----------------------------------------------------------------------------------------------


def planning() -> str:
    """CPU seconds of plans and updates beside the public implementation's."""
    found = measured("planning.json")

    def row(words: str, key: str, digits: int = 2, public: float | None = None) -> list[str]:
        return [words, number(found[key]["median_cpu_seconds"], digits), "" if public is None else f"{public:g}"]

    rows = [
        row("Legacy plan (128 candidates, 20 steps, K = 2)", "legacy_plan", 1, PUBLIC_PLAN),
        row("Update of the diffusion model, 2 x 32 segments", "legacy_update_model", 2, PUBLIC_UPDATE),
        row("Update of both values, 2 x 32 segments", "legacy_update_values", 2, PUBLIC_UPDATE),
        row("`legacy_fast`: the same networks, 13 candidates, four steps from the plan before", "legacy_fast_plan"),
        row("`small`, one environment", "fast_plan_1", 3),
        row("`small`, 40 environments at once", "fast_plan_40"),
    ]
    return markdown(("", "CPU seconds", "public implementation"), rows)


def planning_gpu() -> str:
    """Milliseconds of a decision on a GPU."""
    found = measured("planning_gpu.json")
    cases = (
        ("Legacy plan, 64 candidates", "legacy_plan_64", 1, "at most 20"),
        ("`small`, one environment", "fast_plan_1", 1, "at most 3"),
        ("`small`, 40 environments at once", "fast_plan_40", 1, ""),
        ("Legacy plan, 64 candidates, for 40 environments at once", "legacy_plan_64_for_40", 0, ""),
    )
    rows = []
    for words, key, digits, asked in cases:
        spent = [1000 * seconds for seconds in found[key]["wall_seconds"]]
        median = 1000 * found[key]["median_wall_seconds"]
        spread = f"{number(min(spent), digits)} to {number(max(spent), digits)}"
        rows.append([words, asked, number(median, digits), spread])
    return markdown(("", "asked", "median", "least to most of 30"), rows)


def legacy_planner() -> str:
    """What the fast planners lose against the authors'."""
    found, episodes = measured("legacy_planner", "summary.json"), _legacy_episodes()
    times = measured("planning.json")
    keys = {"legacy": "legacy_plan", "legacy_fast": "legacy_fast_plan", "small": "fast_plan_1"}
    rows = []
    for planner, key in keys.items():
        ratio = times["legacy_plan"]["median_cpu_seconds"] / times[key]["median_cpu_seconds"]
        compared = found["small" if planner == "legacy" else planner]["all"]
        cells = []
        for figure in ("return", "cost"):
            one = compared[figure]
            if planner == "legacy":
                low, high = one["legacy_interval"]
                cells.append(f"{one['legacy']:.2f} (95 %: {low:.2f} to {high:.2f})")
            else:
                cells.append(f"{one['mean']:.2f}")
        mine = [one["exceeded"] for one in episodes if one["planner"] == planner and "num_candidates" not in one]
        share = "1" if planner == "legacy" else f"1/{number(ratio)}"
        rows.append([f"`{planner}`", share, *cells, percent(sum(mine) / len(mine))])
    return markdown(("", "CPU time of a plan", "return", "cost", "episodes over budget"), rows)


def _legacy_episodes() -> list[dict[str, Any]]:
    return read_rows(TOP / "benchmarks" / "results" / "legacy_planner" / ROWS)


def value_heads() -> str:
    """Networks and errors of TREBI's values: one network with two heads, or one for each."""
    words = {"two heads, wider": "two heads, half as wide again"}
    rows = []
    for name, arm in measured("value_heads.json")["arms"].items():
        reward, cost = arm["clean"]
        rows.append([
            words.get(name, name), number(arm["parameters"]), f"{reward:.3f}", f"{cost:.3f}",
            f"{arm['cpu_milliseconds_an_update']:.1f}",
        ])  # fmt: skip
    return markdown(("", "parameters", "error of the reward", "error of the cost", "CPU ms an update"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "point-robot": point_robot,
    "flagship": flagship,
    "fisor-front": front,
    "slow-actuators": copied("slow_actuators", "table.md"),
    "hazard-run": copied("hazard_run", "table.md"),
    "point-robot-pixels": copied("point_robot_pixels", "table.md"),
    "point-goal-vision": copied("point_goal_vision", "table.md"),
    "trebi-overview": overview,
    "trebi-pendulum": ratios("SafePendulum", digits={"cost_digits": 1, "return_digits": 0}),
    "trebi-reacher": ratios("SafeReacher", digits={"cost_digits": 2, "return_digits": 3}, budget_digits=1, beside=True),
    "trebi-hopper": ratios("Hopper", digits={"cost_digits": 0, "return_digits": 0}),
    "trebi-pendulum-calibrated": calibrated("SafePendulum", budget_digits=0, return_digits=0, costs=True),
    "trebi-reacher-calibrated": calibrated("SafeReacher", budget_digits=1, return_digits=1, costs=False),
    "trebi-circles": circles,
    "trebi-circles-calibrated": circles_calibrated,
    "trebi-margins": margins,
    "trebi-planning": planning,
    "trebi-planning-gpu": planning_gpu,
    "trebi-legacy-planner": legacy_planner,
    "trebi-value-heads": value_heads,
}
"""Name in a marker -> what makes the table."""


def documents() -> list[Path]:
    """Pages whose tables are checked."""
    return [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]


def with_tables(text: str) -> str:
    """A page with each of its marked tables made anew."""
    return MARKED.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}{found[4]}", text)


def main() -> None:
    """Rewrite the tables of all pages."""
    for path in documents():
        text = path.read_text(encoding="utf-8")
        if (made := with_tables(text)) != text:
            write_text(path, made)
            print(path.relative_to(TOP))


if __name__ == "__main__":
    main()
