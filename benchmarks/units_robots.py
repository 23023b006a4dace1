"""Whether FISOR depends on the units of what was logged: PointRobot and PointRobotSlow, in several units.

    JAX_PLATFORMS=cpu python benchmarks/units_robots.py [--systems PointRobot PointRobotSlow] [--seeds 0 1 2]

The rows of benchmarks/units.py (a pendulum) on two systems whose exact feasible sets are known: as it is, h times 0.01,
the first observation column times 1,000, costs only. Every row trains the same preset on the same data in other units;
episodes from the same feasible starts are judged in the first row's units. Writes results/units_robots.
"""

import argparse
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import _machine
from _results import TOP, markdown, percent
from surefoot import presets
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
from surefoot.tasks import get_task
from surefoot.training import fit
from surefoot.types import Policy, PolicyInputs
from units import RETURN_SHARE, SAFE_POINTS, in_units
from units import ROWS as UNITS

ROBOTS = {"PointRobot": POINT_ROBOT, "PointRobotSlow": SLOW_ROBOT}
TRANSITIONS, EPISODES = 100_000, 300
OUT = TOP / "results" / "units_robots"


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


@pinned()
def measure(system: str, kind: str, dataset: Dataset, poses: np.ndarray, seeds: list[int]) -> list[dict[str, Any]]:
    """A row for each seed."""
    log, task, unit = in_units(dataset, get_task(dataset.task), kind, column=0)
    algorithm = presets.build("fisor", task)
    began = time.process_time()
    states = fit(
        algorithm, algorithm.prepare(log, task), spec=task.spec, seeds=seeds, log_interval=1000,
        checkpoint_interval=10**9,
    )  # fmt: skip
    seconds = time.process_time() - began
    acting: Any = InOtherUnits(algorithm, float(unit[0]))
    records = roll_out_seeds(acting, jax.tree.map(jnp.asarray, states), poses, seeds=seeds, task=PURE_TASKS[system])
    return [
        {"system": system, "row": kind, "seed": seed, "episodes": len(poses), "violation_free": int((cost == 0).sum()),
         "return_mean": float(earned.mean()), "cpu_seconds_of_all_seeds": round(seconds, 1)}
        for seed, cost, earned in zip(seeds, records.cost, records.episode_return, strict=True)
    ]  # fmt: skip


def figures(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Of each system and row: medians over seeds, as of the pendulum, the range, and the interval of all episodes."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for system, kind in dict.fromkeys((row["system"], row["row"]) for row in rows):
        mine = [row for row in rows if (row["system"], row["row"]) == (system, kind)]
        free, total = (sum(row[key] for row in mine) for key in ("violation_free", "episodes"))
        returns = [row["return_mean"] for row in mine]
        found.setdefault(system, {})[kind] = {
            "return_median": float(np.median(returns)), "return_range": [min(returns), max(returns)],
            "violation_free": float(np.median([row["violation_free"] / row["episodes"] for row in mine])),
            "violation_free_interval": wilson_interval(free, total),
        }  # fmt: skip
    for kinds in found.values():
        first = kinds["as_is"]
        for one in kinds.values():
            near = abs(one["return_median"] - first["return_median"]) <= RETURN_SHARE * abs(first["return_median"])
            one["held"] = bool(near and 100 * abs(one["violation_free"] - first["violation_free"]) <= SAFE_POINTS)
    return found


def table(found: dict[str, dict[str, dict[str, Any]]]) -> str:
    """A line for each system and row."""
    rows = []
    for system, kinds in found.items():
        for kind, one in kinds.items():
            low, high = one["violation_free_interval"]
            least, most = one["return_range"]
            free = f"{percent(one['violation_free'])} [{100 * low:.1f}, {100 * high:.1f}]"
            rows.append((system, kind.replace("_", " "), free, f"{one['return_median']:.2f} [{least:.2f}, {most:.2f}]",
                         "" if kind == "as_is" else "yes" if one["held"] else "no"))  # fmt: skip
    head = "system", "units", "episodes without violation", "return", "within 10 % and 2 points"
    return markdown(head, rows)


def main() -> None:
    """Measure what has no rows yet, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", choices=list(ROBOTS), default=list(ROBOTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    head = _machine.head()
    rows = read_rows(options.out / ROWS) if (options.out / ROWS).exists() else []
    for system in options.systems:
        dataset = collect_point_robot(transitions=TRANSITIONS, seed=0, task=system)
        starts = draw_starts(exact_set(system).value, feasible=EPISODES, infeasible=1, robot=ROBOTS[system])
        for kind in UNITS:
            if any((row["system"], row["row"]) == (system, kind) for row in rows):
                continue
            rows += measure(system, kind, dataset, starts.poses[:EPISODES], options.seeds)
            found = figures(rows)
            print(table(found), flush=True)
            summary = head | {"preset": presets.DEFAULT_PRESET, "transitions": TRANSITIONS, "systems": found}
            write_results(options.out, {ROWS: rows, "summary.json": summary, "table.md": table(found)})


if __name__ == "__main__":
    main()
