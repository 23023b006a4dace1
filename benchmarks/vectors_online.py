"""World models on vectors, from a log to fine-tuning: FOSP and SafeDreamer on a pendulum with a speed limit.

    JAX_PLATFORMS=cpu python benchmarks/vectors_online.py [--algorithms fosp safedreamer] [--seeds 0] [--work FOLDER]

The log of examples/own_systems/pendulum_log.py is imported by a task file that has no environment; the run is evaluated
and fine-tuned by --task with the example's, which has one: a training on logs alone that later goes to the plant. All
by commands of surefoot. Writes results/vectors_online: the episodes before and after, and what fine-tuning itself cost.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import _machine
from _commands import is_trained, run
from _results import TOP, markdown, percent
from surefoot.evaluation.metrics import wilson_interval
from surefoot.result_files import ROWS, read_rows, write_results

EXAMPLES = TOP / "examples" / "own_systems"
OUT = TOP / "results" / "vectors_online"
EPISODES, STEPS, RATIO, SHARE = 150, 6000, 0.1, 0.5
"""Of the log; online steps, updates a step, and share of the new episodes in a batch."""


def prepare(work: Path) -> Path:
    """The log, the task file without environment and the imported data, made once; the data."""
    data = work / "pendulum.hdf5"
    if data.exists():
        return data
    work.mkdir(parents=True, exist_ok=True)
    for name in ("pendulum.toml", "pendulum_log.py"):
        shutil.copy(EXAMPLES / name, work)
    words = [sys.executable, "pendulum_log.py", "pendulum.csv", "--episodes", str(EPISODES)]
    subprocess.run(words, cwd=work, check=True)
    text = (work / "pendulum.toml").read_text(encoding="utf-8")
    begin = text.index("[environment]")
    text = text[:begin] + text[text.index("[log]", begin) :]
    (work / "logged.toml").write_text(text.replace('"pendulum"', '"pendulum_logged"', 1), encoding="utf-8")
    run("data", "import", work / "pendulum.csv", "--task", work / "logged.toml", "--out", data)
    return data


def measure(algorithm: str, seeds: str, data: Path, work: Path) -> list[dict[str, Any]]:
    """Rows of episodes: "offline", "online" (while fine-tuning) and "fine-tuned"."""
    plant, offline, online = work / "pendulum.toml", work / algorithm, work / f"{algorithm}_online"
    if not is_trained(offline):
        run(
            "train",
            "--algorithm",
            algorithm,
            "--task",
            work / "logged.toml",
            "--data",
            data,
            "--seeds",
            seeds,
            "--out",
            offline,
        )
    run("evaluate", offline, "--task", plant)
    if not (online / "summary.json").exists():
        tuning = "--steps", STEPS, "--ratio", RATIO, "--online-share", SHARE
        run("finetune", offline, "--task", plant, *tuning, "--out", online)
    run("evaluate", online)
    rows = [{"stage": "online", **row} for row in read_rows(online / "online.jsonl")]
    for stage, folder in (("offline", offline), ("fine-tuned", online)):
        (path,) = (folder / "evaluation").glob("*.jsonl")
        rows += [{"stage": stage, **row} for row in read_rows(path)]
    return [{"algorithm": algorithm, **row} for row in rows]


def figures(rows: list[dict[str, Any]], stage: str) -> dict[str, Any]:
    """Of the evaluated episodes of a stage."""
    mine = [row for row in rows if row["stage"] == stage]
    free = sum(row["cost"] == 0 for row in mine)
    return {
        "episodes": len(mine),
        "violation_free": free / len(mine),
        "violation_free_interval": wilson_interval(free, len(mine)),
        "violating_steps": float(np.mean([row["cost"] for row in mine])),
        "normalised_return": float(np.mean([row["normalised_return"] for row in mine])),
    }


def table(found: dict[str, Any]) -> str:
    """A row for each algorithm and stage."""
    rows = []
    for algorithm, stages in found.items():
        for stage, one in stages.items():
            low, high = one["violation_free_interval"]
            free = f"{percent(one['violation_free'])} [{100 * low:.0f}, {100 * high:.0f}]"
            rows.append((algorithm, stage, free, f"{one['violating_steps']:.1f}", f"{one['normalised_return']:.2f}"))
    head = "algorithm", "policy", "episodes without a violation", "violating steps an episode", "normalised return"
    return markdown(head, rows)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithms", nargs="+", default=["fosp", "safedreamer"])
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--work", type=Path, default=Path("runs/vectors_online"))
    options = parser.parse_args()
    head, data = _machine.head(), prepare(options.work)
    rows = [row for one in options.algorithms for row in measure(one, options.seeds, data, options.work)]
    found = {
        one: {
            stage: figures([row for row in rows if row["algorithm"] == one], stage)
            for stage in ("offline", "fine-tuned")
        }
        for one in options.algorithms
    }
    print(table(found))
    summary = head | {"seeds": options.seeds, "steps": STEPS, "algorithms": found}
    write_results(OUT, {ROWS: rows, "summary.json": summary, "table.md": table(found)})


if __name__ == "__main__":
    main()
