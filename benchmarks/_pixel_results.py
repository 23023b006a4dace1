"""What `point_robot_pixels.py` writes: rows, figures over the seeds, a table, pictures."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from _machine import head
from surefoot.data.frames import FrameData, first_episodes
from surefoot.evaluation import point_robot_pixels as measured
from surefoot.evaluation.image_pictures import picture_arrays
from surefoot.files import write_text, write_whole
from surefoot.report.image_figures import picture_figures
from surefoot.report.image_plots import MethodEpisodes, online_curves, return_against_cost
from surefoot.report.style import png_of
from surefoot.result_files import ROWS
from surefoot.result_files import read_rows as read_json_rows

TASK, MOVED = "PointRobotPixels", "PointRobotPixelsMoved"
FOSP, ALONE, CHOSEN, CLONING, SAFEDREAMER = (
    "FOSP", "FOSP, its actor alone", "cloned candidates", "cloning", "SafeDreamer, BSRP-Lag",
)  # fmt: skip
CLONES: dict[str, Any] = {"actor_mode": "awr", "weighting": "cloning", "imagined_branch": False}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    CLONING: ("fosp", {**CLONES, "num_candidates": 1}),
    CHOSEN: ("fosp", CLONES),
    FOSP: ("fosp", {}),
    ALONE: ("fosp", {"num_candidates": 1}),
    SAFEDREAMER: ("safedreamer", {}),
}
"""Algorithm and changes to its preset. That critics choose among draws from the actor is ours, not the paper's: the
second and the fourth say what critics and actor bring by themselves."""
TRAINED_AS = {ALONE: FOSP, CHOSEN: CLONING}
"""Methods that differ in acting only."""
TUNED = (FOSP, SAFEDREAMER)
SHOWN = ("probability-maps", "open-loop")
"""Figures that documentation shows."""
VIOLATION_FREE, AUROC, POINTS = 0.9, 0.95, 0.10
FIGURES = ("violation_free_rate", "return", "cost", "goal_rate")


def of_rows(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures of each start set."""
    sets = {}
    for start in ("feasible", "infeasible"):
        mine = [row for row in rows if row["start"] == start]
        sets[start] = {
            "violation_free_rate": float(np.mean([row["violating_steps"] == 0 for row in mine])),
            "return": float(np.mean([row["return"] for row in mine])),
            "cost": float(np.mean([row["cost"] for row in mine])),
            "goal_rate": float(np.mean([row["reached_goal"] for row in mine])),
        }
    return sets


def slug(name: str) -> str:
    """A method's name in the name of a file."""
    return name.replace(",", "").replace(" ", "_").lower()


def write_rows(out: Path, name: str, task: str, seed: int, stage: str, rows: list[dict[str, Any]]) -> None:
    """The raw rows of an evaluation."""
    named = [{"method": name, "task": task, "stage": stage, **row} for row in rows]
    path = out / "episodes" / f"{seed}_{slug(name)}_{task}_{stage}.jsonl"
    write_text(path, "".join(json.dumps(row) + "\n" for row in named))


def read_rows(out: Path, pattern: str) -> list[dict[str, Any]]:
    """All rows of the files that match."""
    return [row for path in sorted((out / "episodes").glob(pattern)) for row in read_json_rows(path)]


def keep_pictures(out: Path, algorithm: Any, state: Any, found: Any, exact: Any) -> None:
    """What the pictures need of the first seed."""
    arrays = picture_arrays(algorithm, state, first_episodes(found, 16))
    region = measured.measure_region(algorithm, [state], TASK, exact)
    arrays |= {**measured.region_arrays(region, exact), "iou": np.array(region.scores["iou"])}
    np.savez_compressed(out / "pictures.npz", allow_pickle=False, **arrays)


def draw_pictures(out: Path, frames: FrameData) -> dict[str, bytes]:
    """All figures into the folder of the work; those that documentation shows as PNG by their names."""
    arrays = dict(np.load(out / "pictures.npz", allow_pickle=False))
    figures = {name: figure for name, (figure, _) in picture_figures(arrays, arrays["iou"].tolist()).items()}
    groups = []
    for name in METHODS:
        rows = [row for row in read_rows(out, f"*_{slug(name)}_{TASK}_offline.jsonl") if row["start"] == "feasible"]
        columns = (np.array([row[key] for row in rows]) for key in ("return", "cost", "seed"))
        groups.append(MethodEpisodes(name, *columns))
    figures["return-cost"] = return_against_cost(groups, data=(frames.returns, frames.cost_returns))
    logs = {name: sorted(out.glob(f"online_*_{slug(name)}.jsonl")) for name in TUNED}
    if all(logs.values()):
        online = {name: [row for path in paths for row in read_json_rows(path)] for name, paths in logs.items()}
        figures["fine-tuning"] = online_curves(online)
    shown = {}
    for name, figure in figures.items():
        picture = png_of(figure, dpi=110)
        write_whole(out / f"{name}.png", picture)
        if name in SHOWN:
            shown[f"{name}.png"] = picture
    return shown


def published(out: Path, summary: dict[str, Any], pictures: dict[str, bytes]) -> dict[str, Any]:
    """The files of the results: figures over the seeds, table, episodes, records of the seeds, logs of fine-tuning."""
    parts = {"offline": METHODS, "tuned": TUNED}
    records = [
        {"part": part, **one} for part, names in parts.items() for name in names for one in read_parts(out, part, name)
    ]
    logs = [
        {"method": name, **row} for name in TUNED for path in sorted(out.glob(f"online_*_{slug(name)}.jsonl"))
        for row in read_json_rows(path)
    ]  # fmt: skip
    return {
        "summary.json": summary,
        "table.md": table(summary),
        ROWS: read_rows(out, "*.jsonl"),
        "records.jsonl.gz": records,
        "online.jsonl.gz": logs,
        **pictures,
    }


def read_parts(out: Path, part: str, name: str) -> list[dict[str, Any]]:
    """A method's figures of each seed."""
    return [json.loads(path.read_text()) for path in sorted(out.glob(f"{part}_*_{slug(name)}.json"))]


def mean_over(records: list[dict[str, Any]], *path: str) -> float:
    """Of the figure that lies at `path`, over the seeds."""
    found: list[Any] = records
    for key in path:
        found = [record[key] for record in found]
    return float(np.mean(found))


def summarise(out: Path, frames: FrameData) -> dict[str, Any]:
    """Means over the seeds, and which targets they reach."""
    offline = {name: read_parts(out, "offline", name) for name in METHODS}
    online = {name: read_parts(out, "tuned", name) for name in TUNED}
    methods = {
        name: {where: {key: mean_over(records, where, "feasible", key) for key in FIGURES} for where in (TASK, MOVED)}
        for name, records in offline.items()
    }
    free = frames.violating_steps == 0
    best = float(frames.returns[free].mean())
    auroc = {where: mean_over(offline[FOSP], where, "exact", "auroc") for where in (TASK, MOVED)}
    mine, clone, other = (methods[name][TASK] for name in (FOSP, CLONING, SAFEDREAMER))
    passes: dict[str, bool] = {
        "AUROC of p against the exact set at least 0.95": auroc[TASK] >= AUROC,
        "at least 90 % violation-free from feasible starts": mine["violation_free_rate"] >= VIOLATION_FREE,
        "return at least the data's violation-free mean": mine["return"] >= best,
        "more violation-free episodes than cloning": mine["violation_free_rate"] > clone["violation_free_rate"],
        "more return than cloning": mine["return"] > clone["return"],
        "more violation-free episodes than SafeDreamer": mine["violation_free_rate"] > other["violation_free_rate"],
        "more return than SafeDreamer": mine["return"] > other["return"],
    }
    summary: dict[str, Any] = {
        **head(),
        "seeds": [record["seed"] for record in offline[FOSP]],
        "data": {
            "steps": len(frames),
            "episodes": len(free),
            "violation_free_rate": float(free.mean()),
            "violation_free_return": best,
        },
        "methods": methods,
        "auroc": auroc,
        "auroc_outside_hazards": mean_over(offline[FOSP], TASK, "exact", "auroc_outside_hazards"),
        "cpu_seconds": {
            "world model": [record["model"]["cpu_seconds"] for record in offline[FOSP]],
            **{name: [record["cpu_seconds"] for record in offline[name]] for name in METHODS if name not in TRAINED_AS},
        },
    }
    if all(online.values()):
        tuned = {
            name: {
                **{key: mean_over(records, MOVED, "feasible", key) for key in FIGURES},
                **{key: mean_over(records, key) for key in ("environment_steps", "episodes", "violating_episodes")},
                "cpu_seconds": [record["cpu_seconds"] for record in records],
            }
            for name, records in online.items()
        }
        summary["online"], before = tuned, methods[FOSP][MOVED]["violation_free_rate"]
        passes |= {
            "fine-tuned: 10 points more violation-free than the offline policy": (
                tuned[FOSP]["violation_free_rate"] >= before + POINTS
            ),
            "fewer violations during fine-tuning than SafeDreamer": (
                tuned[FOSP]["violating_episodes"] < tuned[SAFEDREAMER]["violating_episodes"]
            ),
        }
    return {**summary, "passes": passes}


def table(summary: dict[str, Any]) -> str:
    """The methods as a table in Markdown."""
    lines = [
        "| method | no violation | return | goal | moved hazards: no violation | return |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, method in summary["methods"].items():
        seen, moved = method[TASK], method[MOVED]
        lines.append(
            f"| {name} | {seen['violation_free_rate']:.1%} | {seen['return']:.2f} | {seen['goal_rate']:.1%} | "
            f"{moved['violation_free_rate']:.1%} | {moved['return']:.2f} |"
        )
    for name, method in summary.get("online", {}).items():
        lines.append(
            f"| {name}, fine-tuned there | | | | {method['violation_free_rate']:.1%} | {method['return']:.2f} |"
        )
    return "\n".join(lines) + "\n"
