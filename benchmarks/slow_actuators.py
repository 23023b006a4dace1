"""FISOR's settings side by side on PointRobotSlow, against its exact feasible set.

    JAX_PLATFORMS=cpu python benchmarks/slow_actuators.py --methods all --seeds 0

collects 100,000 transitions of the task with h or with costs only, trains each method and seed in turn, and adds a row
for each to results/slow_actuators/rows.jsonl.gz: agreement with the exact set over logged states, and rollouts from the
task's feasible and infeasible starts. docs/slow-actuators.md shows the table.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surefoot import presets
from surefoot.algorithms.fisor.groups import ScalingConfig
from surefoot.data import Dataset
from surefoot.envs.point_robot import ARENA, SLOW_ROBOT, pose_of
from surefoot.envs.pure import PURE_TASKS
from surefoot.evaluation.collect import collect_point_robot
from surefoot.evaluation.evaluate import episode_rows, roll_out_seeds
from surefoot.evaluation.metrics import area_under_curve
from surefoot.evaluation.starts import draw_starts
from surefoot.evaluation.summarize import start_figures
from surefoot.presets.fisor import SMALL_POLICY
from surefoot.result_files import ROWS, read_rows, write_results
from surefoot.safety.exact_sets import exact_set, top_speed
from surefoot.safety.region import score_region
from surefoot.tasks import get_task
from surefoot.training import fit

RESULTS = Path(__file__).parents[1] / "results" / "slow_actuators"
COSTS, KNOWN = "PointRobotSlowCosts", "PointRobotSlow"
FEW = "few safe episodes"
TRANSITIONS, SAFE_KEPT = 100_000, 30
"""Steps of the data; one in so many violation-free episodes is kept where they are to be few."""

SMALL: dict[str, Any] = {
    "constraint_updates": 15_000,
    "reward_updates": 8_000,
    "policy_updates": 5_000,
    "policy_batch_size": 256,
    "value_hidden": (128, 128),
    "value_learning_rate": 1e-3,
    "value_final_learning_rate": 1e-5,
    "violation_scale": 1.0,
    "constraint_expectile": 0.98,
    "constraint_value_ensemble": 2,
    "scaled_advantages": True,
    "reward_temperature": 2.0,
    "constraint_temperature": 2.0,
    "weight_margin": 0.6,
    "num_candidates": 16,
    "safer_step": 0.2,
    "extraction": "first_feasible",
    "margin": 0.9,
    "diffusion": SMALL_POLICY,
}
"""The preset of DSRL's tasks when the issue was filed."""
BOUNDS: dict[str, Any] = SMALL | {
    "trajectory_bound": True, "value_bound": True, "constraint_expectile": 0.8, "margin": 0.7,
}  # fmt: skip
"""CarCircle's settings of that time, with as many updates as the others here."""
RETURNS: dict[str, Any] = {
    "value_targets": "returns",
    "value_updates": 10_000,
    "policy_updates": 5_000,
    "policy_batch_size": 256,
    "value_batch_size": 256,
    "value_hidden": (128, 128),
    "value_learning_rate": 1e-3,
    "value_final_learning_rate": 1e-5,
    "target_rate": 0.01,
    "violation_scale": 1.0,
    "constraint_expectile": 0.8,
    "expectile": 0.7,
    "constraint_value_ensemble": 2,
    "recovery": "cost",
    "advantage": "return",
    "reward_temperature": 1.5,
    "constraint_temperature": 1.5,
    "num_candidates": 16,
    "extraction": "first_feasible",
    "scaling": ScalingConfig(observations=True, constraint=True, weight_quantile=0.9, margin_quantile=0.95),
    "diffusion": SMALL_POLICY,
}
"""lambda-returns along logged trajectories, weights from a trajectory's own advantage, quantile margins, recovery by
the discounted violations to come."""
QUANTILES = ScalingConfig(observations=True, constraint=True, weight_quantile=0.9, margin_quantile=0.95)
ANNEALED = {"constraint_discount_start": 0.99, "constraint_discount": 0.999}

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "costs: small": (COSTS, SMALL),
    "costs: bounds": (COSTS, BOUNDS),
    "costs: returns": (COSTS, RETURNS),
    "costs: returns, discount to 0.999": (COSTS, RETURNS | {"constraint_discount": 0.999}),
    "costs: small, quantile margins": (COSTS, SMALL | {"scaling": QUANTILES, "margin": 0.0, "weight_margin": 0.0}),
    "costs: bounds, quantile margins": (COSTS, BOUNDS | {"scaling": QUANTILES, "margin": 0.0, "weight_margin": 0.0}),
    "costs: bounds, quantile margins, recovery by costs": (
        COSTS, BOUNDS | {"scaling": QUANTILES, "margin": 0.0, "weight_margin": 0.0, "recovery": "cost"},
    ),
    "costs: small, discount to 0.999": (COSTS, SMALL | ANNEALED),
    "costs: bounds, discount to 0.999": (COSTS, BOUNDS | ANNEALED),
    "costs: returns, critic's advantage": (COSTS, RETURNS | {"advantage": "critic"}),
    "costs: returns, no recovery": (COSTS, RETURNS | {"recovery": "none"}),
    "few safe: small": (FEW, SMALL),
    "few safe: bounds": (FEW, BOUNDS),
    "few safe: returns": (FEW, RETURNS),
    "h: small": (KNOWN, {}),
    "h: returns": (KNOWN, RETURNS),
}  # fmt: skip
"""Name -> data and FISOR's fields; {} for the preset `small` of today."""


def data_of(name: str) -> Dataset:
    """The data that every method learns from: of a task, or with costs only and few safe episodes, as DSRL's have."""
    if name != FEW:
        return collect_point_robot(transitions=TRANSITIONS, seed=0, task=name)
    dataset = collect_point_robot(transitions=4 * TRANSITIONS, seed=1, task=COSTS)
    safe = dataset.violating_steps == 0
    kept = ~safe | (np.cumsum(safe) % SAFE_KEPT == 0)
    ends = np.flatnonzero(np.cumsum(np.where(kept, dataset.lengths, 0)) <= TRANSITIONS)[-1] + 1
    kept[ends:] = False
    rows = np.concatenate([np.full(length, keep) for length, keep in zip(dataset.lengths, kept, strict=True)])
    return replace(dataset, **{column: array[rows] for column, array in dataset.arrays()})


def logged_poses(dataset: Dataset, exact: Any, *, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Some logged states inside the arena that the exact set covers: observations, poses, V*."""
    poses = np.asarray(pose_of(jnp.asarray(dataset.observations)))
    known = (np.abs(poses[:, 2]) <= top_speed(dataset.task)) & (np.abs(poses[:, :2]) <= ARENA).all(1)
    rows = np.random.default_rng(0).choice(np.flatnonzero(known), count, replace=False)
    return dataset.observations[rows], poses[rows], exact.value(poses[rows])


def region_figures(learned: np.ndarray, exact: np.ndarray, h: np.ndarray, *, margin: float) -> dict[str, Any]:
    """Agreement over states: of all, and of those outside the hazards (where h says nothing yet)."""
    figures: dict[str, Any] = {"auroc": area_under_curve(learned, exact > 0), "margin": margin}
    outside = h <= 0
    figures["auroc_outside"] = area_under_curve(learned[outside], exact[outside] > 0)
    for name, least in (("zero", 0.0), ("acting", margin)):
        score = score_region(learned[outside] + least, exact[outside])
        figures[name] = score._asdict() | {"feasible_called_feasible": 1 - score.false_alarm_rate}
    return figures


def measure(name: str, seed: int, datasets: dict[str, Dataset], exact: Any, starts: Any) -> dict[str, Any]:
    """Train one method with one seed, and what it is worth."""
    task_name, changes = METHODS[name]
    dataset = datasets[task_name]
    task = get_task(dataset.task)
    # The paper's defaults under a method's own fields; the preset where it has none.
    base = presets.build("fisor", task)
    algorithm = replace(type(base)(horizon=task.horizon, cost_limit=task.cost_limit), **changes) if changes else base
    wall, cpu = time.perf_counter(), time.process_time()
    states = fit(
        algorithm, algorithm.prepare(dataset, task), spec=task.spec, seeds=(seed,), log_interval=1000,
        checkpoint_interval=10**6, on_progress=lambda progress: None,
    )  # fmt: skip
    seconds = {"train_wall_seconds": time.perf_counter() - wall, "train_cpu_seconds": time.process_time() - cpu}
    one = jax.tree.map(lambda leaf: leaf[0], states)
    observations, poses, value = logged_poses(dataset, exact, count=20_000)
    h = np.asarray(_h(poses))
    learned = np.asarray(jax.jit(algorithm.feasible_value)(one, jnp.asarray(observations)))
    margin = float(np.asarray(algorithm.feasible_margin(one)))
    records = roll_out_seeds(algorithm, states, starts.poses, seeds=(seed,), task=PURE_TASKS["PointRobotSlow"])
    rows = episode_rows(records, starts, seeds=(seed,), method={"algorithm": "fisor"})
    rolled = start_figures([row for row in rows if row["start"] != "fixed"])
    kept = ("violation_free_rate", "return_mean", "goal_rate", "violating_steps_mean")
    return {
        "method": name, "data": task_name, "seed": seed, **seconds,
        "logged_safe_share": float((dataset.violating_steps == 0).mean()),
        "region": region_figures(learned, value, h, margin=margin),
        **{start: {figure: rolled[start][figure] for figure in kept} for start in ("feasible", "infeasible")},
    }  # fmt: skip


def _h(poses: np.ndarray) -> np.ndarray:
    from surefoot.envs.point_robot import constraint

    return np.asarray(constraint(jnp.asarray(poses[:, :2], jnp.float32)))


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    percent: Callable[[float], str] = lambda share: f"{100 * share:.0f} %"  # noqa: E731
    lines = [
        "| method | AUROC | IoU at 0 | false safe | feasible called feasible | IoU, acting | false safe "
        "| feasible called feasible | violation-free | return | goal |",
        "| --- " * 11 + "|",
    ]
    for row in rows:
        region, zero, acting = row["region"], row["region"]["zero"], row["region"]["acting"]
        cells = [row["method"], f"{region['auroc_outside']:.3f}"]
        for part in (zero, acting):
            cells += [
                f"{part['iou']:.2f}",
                percent(part["false_safe_rate"]),
                percent(part["feasible_called_feasible"]),
            ]
        feasible = row["feasible"]
        cells += [
            percent(feasible["violation_free_rate"]), f"{feasible['return_mean']:.2f}", percent(feasible["goal_rate"]),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", default=["all"], help="names, or all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--episodes", type=int, default=200, help="from feasible starts; half as many infeasible")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    names = list(METHODS) if options.methods == ["all"] else options.methods
    exact = exact_set(KNOWN)
    starts = draw_starts(
        exact.value, feasible=options.episodes, infeasible=options.episodes // 2, robot=SLOW_ROBOT
    )  # fmt: skip
    rows = read_rows(options.out / ROWS) if (options.out / ROWS).exists() else []
    datasets = {task: data_of(task) for task in {METHODS[name][0] for name in names}}
    for seed in options.seeds:
        for name in names:
            row = measure(name, seed, datasets, exact, starts)
            rows.append(row)
            write_results(options.out, {ROWS: rows, "table.md": table(rows) + "\n"})
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
