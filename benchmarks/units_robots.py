"""Whether algorithms depend on the units of what was logged: PointRobot and PointRobotSlow, in several units.

    JAX_PLATFORMS=cpu python benchmarks/units_robots.py [--systems PointRobot PointRobotSlow] [--seeds 0 1 2]
    JAX_PLATFORMS=cpu python benchmarks/units_robots.py --systems PointRobot --seeds 0 --algorithms bc cpq ... \\
        --out results/units_algorithms

The rows of benchmarks/units.py (a pendulum) on two systems whose exact feasible sets are known: as it is, h times 0.01,
the first observation column times 1,000, costs only. Every row trains the same preset on the same data in other units;
episodes from the same feasible starts are judged in the first row's units. Algorithms that read no h have the first
and the third row alone. Writes results/units_robots (FISOR), or the folder of --out.
"""

import argparse
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import _machine
from _results import TOP, markdown, percent
from surefoot import presets
from surefoot.algorithms import ALGORITHMS
from surefoot.data import Dataset
from surefoot.envs.point_robot import POINT_ROBOT, SLOW_ROBOT
from surefoot.envs.pure import PURE_TASKS
from surefoot.evaluation.collect import collect_point_robot
from surefoot.evaluation.evaluate import roll_out_seeds
from surefoot.evaluation.metrics import wilson_interval
from surefoot.evaluation.starts import draw_starts
from surefoot.numerics import pinned
from surefoot.protocols import Acts
from surefoot.result_files import ROWS, read_rows, write_results
from surefoot.safety.exact_sets import exact_set
from surefoot.tasks import Task, get_task
from surefoot.training import fit
from surefoot.types import Policy, PolicyInputs
from units import RETURN_SHARE, SAFE_POINTS, in_units
from units import ROWS as UNITS

ROBOTS = {"PointRobot": POINT_ROBOT, "PointRobotSlow": SLOW_ROBOT}
TRANSITIONS, EPISODES = 100_000, 300
READ_H = "fisor", "one_step_flow"
"""Algorithms that learn from h. The others learn from costs alone: only the rows "as is" and "column" apply to them."""
OUT = TOP / "results" / "units_robots"
KEYS = "algorithm", "system", "row"
"""Of a line of the table, in its order."""


class InOtherUnits(NamedTuple):
    """A policy that is given observations in the units that it was trained with."""

    inner: Acts
    factor: float
    """Of the first column."""

    def policy(self, state: Any) -> Policy:
        """As the inner one."""
        policy = self.inner.policy(state)

        def act(memory: Any, inputs: PolicyInputs, key: Any) -> tuple[Any, Any]:
            seen = inputs.observation.at[..., 0].multiply(self.factor)
            return policy.act(memory, inputs._replace(observation=seen), key)

        return policy._replace(act=act)


def learned_from(name: str, dataset: Dataset, kind: str) -> tuple[Any, Any, Task, np.ndarray]:
    """An algorithm and its data in a row's units, the row's task, and what observations are multiplied by."""
    log, task, unit = in_units(dataset, get_task(dataset.task), kind, column=0)
    algorithm = presets.build(name, replace(task, presets=presets.OWN))  # as for a task file
    return algorithm, algorithm.prepare(log, task), task, unit


@pinned()
def measure(
    system: str, name: str, kind: str, dataset: Dataset, poses: np.ndarray, seeds: list[int]
) -> list[dict[str, Any]]:
    """A row for each seed."""
    algorithm, data, task, unit = learned_from(name, dataset, kind)
    began = time.process_time()
    states = fit(algorithm, data, spec=task.spec, seeds=seeds, log_interval=1000, checkpoint_interval=10**9)
    seconds = time.process_time() - began
    acting: Any = InOtherUnits(algorithm, float(unit[0]))
    records = roll_out_seeds(acting, jax.tree.map(jnp.asarray, states), poses, seeds=seeds, task=PURE_TASKS[system])
    return [
        {"system": system, "algorithm": name, "row": kind, "seed": seed, "episodes": len(poses),
         "violation_free": int((cost == 0).sum()),
         "return_mean": float(earned.mean()), "cpu_seconds_of_all_seeds": round(seconds, 1)}
        for seed, cost, earned in zip(seeds, records.cost, records.episode_return, strict=True)
    ]  # fmt: skip


def figures(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each algorithm, system and row: medians over seeds, the seeds' range, and the interval of all episodes."""
    found: list[dict[str, Any]] = []
    for key in dict.fromkeys(tuple(row[name] for name in KEYS) for row in rows):
        mine = [row for row in rows if tuple(row[name] for name in KEYS) == key]
        free, total = (sum(row[name] for row in mine) for name in ("violation_free", "episodes"))
        returns = [row["return_mean"] for row in mine]
        one = dict(zip(KEYS, key, strict=True)) | {
            "return_median": float(np.median(returns)), "return_range": [min(returns), max(returns)],
            "violation_free": float(np.median([row["violation_free"] / row["episodes"] for row in mine])),
            "violation_free_interval": wilson_interval(free, total),
        }  # fmt: skip
        first = next((other for other in found if (other["algorithm"], other["system"]) == key[:2]), one)
        near = abs(one["return_median"] - first["return_median"]) <= RETURN_SHARE * abs(first["return_median"])
        one["held"] = bool(near and 100 * abs(one["violation_free"] - first["violation_free"]) <= SAFE_POINTS)
        found.append(one)
    return found


def table(found: list[dict[str, Any]]) -> str:
    """A line for each algorithm, system and row."""
    rows = []
    for one in found:
        low, high = one["violation_free_interval"]
        least, most = one["return_range"]
        free = f"{percent(one['violation_free'])} [{100 * low:.1f}, {100 * high:.1f}]"
        earned = f"{one['return_median']:.2f}" + (f" [{least:.2f}, {most:.2f}]" if least < most else "")
        held = "" if one["row"] == "as_is" else "yes" if one["held"] else "no"
        rows.append((one["algorithm"], one["system"], one["row"].replace("_", " "), free, earned, held))
    head = "algorithm", "system", "units", "episodes without violation", "return", "within 10 % and 2 points"
    return markdown(head, rows)


def main() -> None:
    """Measure what has no rows yet, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithms", nargs="+", choices=list(ALGORITHMS), default=["fisor"])
    parser.add_argument("--systems", nargs="+", choices=list(ROBOTS), default=list(ROBOTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    head = _machine.head()
    rows = read_rows(options.out / ROWS) if (options.out / ROWS).exists() else []
    for system in options.systems:
        dataset = collect_point_robot(transitions=TRANSITIONS, seed=0, task=system)
        starts = draw_starts(exact_set(system).value, feasible=EPISODES, infeasible=1, robot=ROBOTS[system])
        for name, kind in product(options.algorithms, UNITS):
            measured = any(tuple(row[key] for key in KEYS) == (name, system, kind) for row in rows)
            if measured or (name not in READ_H and "column" not in kind and kind != "as_is"):
                continue
            rows += measure(system, name, kind, dataset, starts.poses[:EPISODES], options.seeds)
            found = figures(rows)
            print(table(found), flush=True)
            summary = head | {"preset": presets.DEFAULT_PRESET, "transitions": TRANSITIONS, "figures": found}
            write_results(options.out, {ROWS: rows, "summary.json": summary, "table.md": table(found)})


if __name__ == "__main__":
    main()
