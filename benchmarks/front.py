"""The front between safety and return on PointRobot: FISOR's extractions and margins against behaviour cloning.

    python benchmarks/front.py RUN BC_RUN [--episodes 300] [--out results/point_robot]

RUN is a finished FISOR run (surefoot quickstart), BC_RUN one of `surefoot train --algorithm bc` on the same data and
seeds. Both propose the same number of actions: FISOR N candidates and their N siblings, behaviour cloning 2 N; the same
critics (FISOR's) choose among them. Writes front.json (a row per method and margin) and front.png.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from _front import FrontPoint, FrontSeries, front
from surefoot.checkpoint import versions
from surefoot.evaluation.evaluate import roll_out_seeds
from surefoot.evaluation.metrics import wilson_interval
from surefoot.evaluation.starts import draw_starts
from surefoot.hyperparameters import change
from surefoot.report.style import png_of
from surefoot.result_files import write_results
from surefoot.safety.exact import solve_point_robot
from surefoot.training.loaded import load_policy

RIVAL = "behaviour cloning"
MARGINS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)


def stacked(run: Path, seeds: tuple[int, ...]) -> tuple[Any, Any]:
    """The run's algorithm and its states with a leading seed axis."""
    policies = [load_policy(run, seed=seed) for seed in seeds]
    return policies[0].algorithm, jax.tree.map(lambda *leaves: jnp.stack(leaves), *[p.state for p in policies])


def measure(method: str, label: str, algorithm: Any, states: Any, poses: np.ndarray, seeds: tuple[int, ...]) -> dict:
    """One point of the front."""
    began = time.perf_counter()
    records = roll_out_seeds(algorithm, states, poses, seeds=seeds)
    safe = records.cost == 0
    low, high = wilson_interval(int(safe.sum()), safe.size)
    row = {
        "method": method,
        "choice": label,
        "episodes": int(safe.size),
        "violation_free_rate": float(safe.mean()),
        "violation_free_interval": [low, high],
        "return_mean": float(records.episode_return.mean()),
        "violating_steps_mean": float(records.cost.mean()),
        "goal_rate": float(records.reached_goal.mean()),
        "per_seed_violation_free": safe.mean(1).tolist(),
        "per_seed_return": records.episode_return.mean(1).tolist(),
        "seconds": time.perf_counter() - began,
    }
    print(f"{method:32s} {label:16s} {row['violation_free_rate']:7.2%} {row['return_mean']:6.3f}", flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("bc_run", type=Path)
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path("results/point_robot"))
    options = parser.parse_args()
    seeds = load_policy(options.run).config.seeds
    fisor, states = stacked(options.run, seeds)
    _, bc = stacked(options.bc_run, seeds)
    cloned = states._replace(policy=bc)  # behaviour cloning's candidates, FISOR's critics
    starts = draw_starts(solve_point_robot().value, feasible=options.episodes, infeasible=1)
    poses = starts.poses[: options.episodes]
    twice = change(fisor, num_candidates=2 * fisor.num_candidates, safer_step=0.0)
    rows = []
    for name, algorithm, these in (
        ("FISOR", fisor, states),
        ("FISOR, no siblings", twice, states),
        (RIVAL, twice, cloned),
        ("behaviour cloning, siblings", fisor, cloned),  # half FISOR: its critics choose and move the candidates
    ):
        for margin in MARGINS:
            choice = change(algorithm, extraction="feasible_first", margin=margin)
            rows.append(measure(name, f"margin {margin:g}", choice, these, poses, seeds))
        for extraction in ("minqc", "maxq"):
            choice = change(algorithm, extraction=extraction)
            rows.append(measure(name, extraction, choice, these, poses, seeds))
    single = change(twice, num_candidates=1)
    rows.append(measure("behaviour cloning, 1 candidate", "none", single, cloned, poses, seeds))
    result = {
        "command": "python " + " ".join(sys.argv),
        "versions": versions(),
        "seeds": list(seeds),
        "dominated": {name: dominated(rows, name) for name in (RIVAL, "behaviour cloning, siblings")},
        "rows": rows,
    }
    write_results(options.out, {"front.json": result, "front.png": drawn(rows)})


def dominated(rows: list[dict[str, Any]], rival: str) -> dict[str, list[str]]:
    """For each choice of `rival` the choices of FISOR that are at least as safe and earn at least as much."""
    points = {
        name: [(row["choice"], row["violation_free_rate"], row["return_mean"]) for row in rows if row["method"] == name]
        for name in ("FISOR", rival)
    }
    return {
        choice: [ours for ours, our_safe, our_return in points["FISOR"] if our_safe >= safe and our_return >= earned]
        for choice, safe, earned in points[rival]
    }


def drawn(rows: list[dict[str, Any]]) -> bytes:
    """front.png: the margins, between which a user moves; `minqc` earns too little for the same axis."""
    series = [
        FrontSeries(
            name,
            tuple(
                FrontPoint(
                    row["return_mean"],
                    round(row["violation_free_rate"] * row["episodes"]),
                    row["episodes"],
                    label=row["choice"].replace("margin ", "") if name in ("FISOR", RIVAL) else "",
                )
                # Margins follow "maxq", which heeds none: the line then runs from the boldest to the safest.
                for row in sorted(rows, key=lambda row: row["choice"] != "maxq")
                if row["method"] == name and row["choice"] != "minqc"
            ),
        )
        for name in ("FISOR", "FISOR, no siblings", RIVAL, "behaviour cloning, siblings")
    ]
    return png_of(front(series), dpi=150)


if __name__ == "__main__":
    main()
