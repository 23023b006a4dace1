"""The proof on other people's systems: the commands of a tutorial in an empty folder, each with its time.

    python benchmarks/own_systems.py boiler --bin VENV/bin --work FOLDER

Copies the system's files from examples/ into FOLDER, runs every command of the blocks of bash in docs/tutorials/NAME.md
with the programs in VENV/bin (an environment that holds the wheel and the system's packages), and keeps the seconds of
each in FOLDER/steps.jsonl; what stands there is not run again. Writes results/own_systems: the episodes of the log and
of the policy, the seconds, and a table of all systems that were measured.
"""

import argparse
import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import _machine
from _results import TOP, markdown, percent
from surefoot import data
from surefoot.result_files import ROWS, read_rows, write_results
from surefoot.tasks import Task

EXAMPLES, RESULTS = TOP / "examples" / "own_systems", TOP / "results" / "own_systems"
FILES = {
    "boiler": ["boiler.toml"],
    "cstr": ["cstr.toml", "cstr_plant.py"],
    "pendulum": ["pendulum.toml", "pendulum_log.py"],
}
"""What a newcomer copies, by system; the page docs/tutorials/NAME.md has the commands."""
LOG = "log.jsonl.gz"


def commands(name: str) -> list[str]:
    """The commands of a system's page, in order."""
    text = (TOP / "docs" / "tutorials" / f"{name}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def run_all(name: str, folder: Path, programs: Path) -> list[dict[str, Any]]:
    """Run the commands that were not run yet; the seconds of each."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in FILES[name]:
        shutil.copy(EXAMPLES / file, folder)
    record = folder / "steps.jsonl"
    done = read_rows(record) if record.exists() else []
    for command in commands(name)[len(done) :]:
        print(command, flush=True)
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        words = shlex.split(command)
        output = subprocess.run([str(programs / words[0]), *words[1:]], cwd=folder, stdout=subprocess.PIPE, check=False)
        if output.returncode:
            sys.exit(output.returncode)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        step = {
            "command": command,
            "wall_seconds": round(time.perf_counter() - began, 1),
            "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
            "load_average": round(os.getloadavg()[0], 1),
            "output": output.stdout.decode().splitlines()[-40:],
        }
        done.append(step)
        with record.open("a", encoding="utf-8") as text:
            text.write(json.dumps(step) + "\n")
    return done


def log_rows(name: str, folder: Path) -> list[dict[str, Any]]:
    """The log's episodes: what they earned, how long they were, and how many of their steps violated something."""
    dataset = data.load(folder / f"{name}.hdf5", Task.from_file(folder / f"{name}.toml"))
    values = zip(dataset.returns, dataset.cost_returns, dataset.lengths, strict=True)
    return [
        {"system": name, "return": float(earned), "violating_steps": float(costs), "steps": int(steps)}
        for earned, costs, steps in values
    ]


def policy_rows(name: str, folder: Path) -> list[dict[str, Any]]:
    """The policy's episodes."""
    (path,) = (folder / "runs" / name / "evaluation").glob("*.jsonl")
    return [{"system": name, **row} for row in read_rows(path)]


def figures(log: list[dict[str, Any]], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of returns, violating steps and shares of the episodes with one, of the log and of each seed."""

    def of(earned: list[float], costs: list[float]) -> dict[str, float]:
        return {
            "episodes": len(earned),
            "return_median": float(np.median(earned)),
            "violating_steps_mean": float(np.mean(costs)),
            "violated_share": float(np.mean(np.array(costs) > 0)),
        }

    seeds = sorted({row["seed"] for row in rows})
    by_seed = [[row for row in rows if row["seed"] == seed] for seed in seeds]
    policy = of([row["return"] for row in rows], [row["cost"] for row in rows])
    spread = [of([row["return"] for row in one], [row["cost"] for row in one]) for one in by_seed]
    logged = of([row["return"] for row in log], [row["violating_steps"] for row in log])
    return {"log": logged, "policy": policy, "policy_seeds": spread}


def table(summary: dict[str, Any]) -> str:
    """The systems beside each other, safety first."""
    rows = []
    for name, one in summary["systems"].items():
        log, policy, seeds = (one["figures"][key] for key in ("log", "policy", "policy_seeds"))

        def spread(key: str, seeds: list[dict[str, float]] = seeds) -> str:
            return f"[{min(seed[key] for seed in seeds):.3g}, {max(seed[key] for seed in seeds):.3g}]"

        shares = [seed["violated_share"] for seed in seeds]
        minutes = [sum(step[key] for step in one["steps"]) / 60 for key in ("wall_seconds", "cpu_seconds")]
        rows.append(
            (
                name,
                percent(log["violated_share"]),
                f"{percent(policy['violated_share'])} [{100 * min(shares):.0f}, {100 * max(shares):.0f}]",
                f"{log['violating_steps_mean']:.2f}",
                f"{policy['violating_steps_mean']:.2f} {spread('violating_steps_mean')}",
                f"{log['return_median']:.1f}",
                f"{policy['return_median']:.1f} {spread('return_median')}",
                f"{minutes[0]:.1f} / {minutes[1]:.1f}",
            )
        )
    head = (
        "system", "episodes with a violation: log", "policy", "violating steps an episode: log", "policy",
        "median return: log", "policy", "minutes: wall / CPU",
    )  # fmt: skip
    return markdown(head, rows)


def publish(name: str, folder: Path, steps: list[dict[str, Any]]) -> None:
    """Put a system's figures into the results, those of the others as they are."""
    path = RESULTS / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"systems": {}}
    log, rows = log_rows(name, folder), policy_rows(name, folder)
    found = {"machine": _machine.head()["machine"], "figures": figures(log, rows), "steps": steps}
    summary["systems"] = dict(sorted({**summary["systems"], name: found}.items()))
    kept = {file: read_rows(RESULTS / file) if (RESULTS / file).exists() else [] for file in (ROWS, LOG)}
    others = {file: [row for row in values if row["system"] != name] for file, values in kept.items()}
    write_results(
        RESULTS,
        {
            "summary.json": summary, "table.md": table(summary),
            ROWS: [*others[ROWS], *rows], LOG: [*others[LOG], *log],
        },
    )  # fmt: skip
    print(table(summary))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=FILES)
    parser.add_argument("--bin", type=Path, required=True, help="where surefoot and python lie")
    parser.add_argument("--work", type=Path, required=True, help="an empty folder, or one that was begun")
    given = parser.parse_args()
    publish(given.name, given.work, run_all(given.name, given.work, given.bin.absolute()))
