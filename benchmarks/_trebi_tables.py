"""Tables of TREBI's results: budgets, calibrated margins, speed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from _results import TOP, listed, markdown, measured, number, percent, summary
from surefoot.result_files import ROWS, read_rows

PUBLIC_PLAN, PUBLIC_UPDATE = 20.9, 0.52
"""CPU seconds of TREBI's public implementation: its plan, an update of a network (benchmarks/planning.py)."""


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
