"""Tables of README.md and docs/, written from the committed results.

    python benchmarks/tables.py            # or make tables; tests/unit/test_results.py compares

A table stands between `<!-- table NAME -->` and `<!-- end of table -->`; NAME is a key of `TABLES`.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import _trebi_tables
from _results import TOP, markdown, percent, summary
from surefoot.files import write_text
from surefoot.report.algorithms import entry_rows, known_algorithms
from surefoot.report.tables import markdown_table

MARKED = re.compile(r"(<!-- table ([\w-]+) -->\n)(.*?)(<!-- end of table -->)", re.DOTALL)


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


def cost(figures: Mapping[str, Any]) -> str:
    """The mean normalised cost, and whether it is above the limit."""
    return f"{figures['normalised_cost_mean']:.2f}{'' if figures['safe'] else ', not safe'}"


def flagship() -> str:
    """Every method of the flagship that has a result, strict protocol; held-out tasks are marked by a star."""
    found = summary("flagship", "summary.json")
    done = [one for one in found["results"] if one["status"] == "done" and one["protocol"] == "strict"]
    held_out = {one["task"] for one in done if one["role"] == "held-out"}
    methods = [name for name in found["plan"]["methods"] if any(one["method"] == name for one in done)]
    titles = [found["plan"]["methods"][name]["title"] for name in methods]
    cells = {(one["task"], one["fraction"], one["method"]): one["figures"] for one in done}
    rows = []
    for task, fraction in dict.fromkeys((one["task"], one["fraction"]) for one in done):
        name = f"{task} *" if task in held_out else task
        row = [name if fraction == 1 else f"{name}, {fraction:.0%} of the data".replace("%", " %")]
        for method in methods:
            figures = cells.get((task, fraction, method))
            if figures is None:
                row += ["", ""]
                continue
            row += [
                f"{figures['normalised_return_mean']:.2f} at {cost(figures)}",
                f"{100 * figures['episode_safe_rate']:.0f} %",
            ]
        rows.append(row)
    return markdown(("task", *(cell for title in titles for cell in (title, "safe episodes"))), rows)


def bullet(protocol: str) -> str:
    """Every method on the tasks of Bullet-Safety-Gym: return and cost, with their intervals."""
    found = summary("bullet", "summary.json")
    done = [one for one in found["results"] if one["status"] == "done" and one["protocol"] == protocol]
    cells = {(one["method"], one["task"]): one["figures"] for one in done}
    tasks = [task for task in found["plan"]["tasks"] if any(one["task"] == task for one in done)]

    def cell(method: str, task: str) -> str:
        if (figures := cells.get((method, task))) is None:
            return ""
        low, high = figures["normalised_return_interval"]
        return f"{figures['normalised_return_mean']:.2f} [{low:.2f}, {high:.2f}] at {cost(figures)}"

    methods = {key: one["title"] for key, one in found["plan"]["methods"].items() if any(key == m for m, _ in cells)}
    rows = [[title, *(cell(key, task) for task in tasks)] for key, title in methods.items()]
    return markdown(("method", *tasks), rows)


def bullet_limits() -> str:
    """On how many tasks each method is safe under each limit of DSRL's protocol, and under all three."""
    found = summary("bullet", "summary.json")
    done = [one for one in found["results"] if one["status"] == "done" and one["protocol"] == "dsrl"]
    rows = []
    for key, method in found["plan"]["methods"].items():
        of_tasks = [one["figures"]["limits"] for one in done if one["method"] == key]
        if not of_tasks:
            continue
        safe = [[limit["normalised_cost_mean"] <= 1.0 for limit in limits] for limits in of_tasks]
        rows.append(
            [
                method["title"],
                str(len(safe)),
                *(str(sum(column)) for column in zip(*safe, strict=True)),
                str(sum(map(all, safe))),
            ]
        )
    return markdown(("method", "tasks", "safe at 10", "at 20", "at 40", "at all three"), rows)


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


def algorithms() -> str:
    """What the algorithms declare, those of other packages left out."""
    own = [entry for entry in known_algorithms() if entry.package == "surefoot"]
    return markdown_table(entry_rows(own))


TABLES: dict[str, Callable[[], str]] = {
    "point-robot": point_robot,
    "algorithms": algorithms,
    "flagship": flagship,
    "bullet-strict": lambda: bullet("strict"),
    "bullet-dsrl": lambda: bullet("dsrl"),
    "bullet-limits": bullet_limits,
    "fisor-front": front,
    "safe-imitation": lambda: copied("safe_imitation", "table.md")().split("\n\n")[1] + "\n",
    "verdict": copied("verdict", "table.md"),
    "slow-actuators": copied("slow_actuators", "table.md"),
    "own-systems": copied("own_systems", "table.md"),
    "least-cost": copied("least_cost", "table.md"),
    "believed-safe": copied("believed_safe", "table.md"),
    "one-step-flow": copied("one_step_flow", "table.md"),
    "noisy-robot": copied("noisy_robot", "table.md"),
    "fqe-point-robot": copied("fqe", "PointRobot.md"),
    "fqe-ball-circle": copied("fqe", "BallCircle.md"),
    "model-point-robot": copied("fqe", "PointRobot_model.md"),
    "model-safe-reacher": copied("fqe", "SafeReacher_model.md"),
    "vectors-online": copied("vectors_online", "table.md"),
    "units-robots": copied("units_robots", "table.md"),
    "units-algorithms": copied("units_algorithms", "table.md"),
    "units-three-seeds": copied("units_algorithms", "table_three_seeds.md"),
    "highway": copied("highway", "table.md"),
    "hazard-run": copied("hazard_run", "table.md"),
    "point-robot-pixels": copied("point_robot_pixels", "table.md"),
    "point-goal-vision": copied("point_goal_vision", "table.md"),
    **_trebi_tables.TABLES,
}
"""Name in a marker -> what makes the table."""


def documents() -> list[Path]:
    """Pages whose tables are checked."""
    return [TOP / "README.md", *sorted((TOP / "docs").rglob("*.md"))]


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
