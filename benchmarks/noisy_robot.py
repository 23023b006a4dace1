"""The mean Hamilton-Jacobi backup against the quantile backup where the drive fails at times, beside the exact set.

    JAX_PLATFORMS=cpu python benchmarks/noisy_robot.py

PointRobot whose acceleration is lost at each step with several chances (`_noisy_robot`), 30,000 logged
steps each of the behaviours that collect PointRobot's data. FISOR's V_h and Q_h (preset `small` for stochastic
dynamics, shorter) learn from the mean over next states, as in the paper, and from a quantile. A pose counts as
infeasible where the smallest chance of a violation (`_exact_noisy`) is above 10 %, and as called
infeasible where V_h > 0; compared over poses in the arena at speeds up to 2 m/s. AUROC says how well V_h ranks them,
whatever its level. Writes results/noisy_robot/ (rows for each seed, figure, table).
"""

import argparse
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import _machine
import _noisy_robot as noisy_robot
from _exact_noisy import gain_of_not_braking, solve_noisy_robot
from surefoot import presets
from surefoot.data import Dataset
from surefoot.envs import behaviors, point_robot
from surefoot.evaluation.metrics import area_under_curve
from surefoot.hyperparameters import change
from surefoot.numerics import pinned
from surefoot.report.style import BLUE, GREY, VERMILION, light_grid, new_figure, png_of, styled
from surefoot.report.tables import markdown_table
from surefoot.result_files import write_results
from surefoot.safety.region import score_region
from surefoot.tasks import Signal, Task
from surefoot.tasks.constraint import CostLimit
from surefoot.training import fit

RESULTS = Path(__file__).parents[1] / "results" / "noisy_robot"
ALLOWED = 0.1
"""Largest chance of a violation that counts as feasible."""
TASK = Task(
    "PointRobotNoisy", 11, 2, point_robot.HORIZON, return_min=0.0, return_max=8.05,
    constraints=(CostLimit(0.0), Signal(unit="m")),
)  # fmt: skip


def collect(failure: float, transitions: int) -> Dataset:
    """Half from random held actions, half from goal-seekers."""

    def episode(key: Any, seeks_goal: Any) -> Any:
        k_reset, k_traits, k_steps = jax.random.split(key, 3)
        state, observation = noisy_robot.reset(k_reset)
        traits = behaviors.draw_traits(k_traits, seeks_goal)
        memory = behaviors.Memory(jnp.zeros(2), jnp.zeros(()), jnp.zeros(2))

        def one(carry: Any, step_key: Any) -> Any:
            state, observation, memory, running = carry
            memory, action = behaviors.act(memory, state.robot.pose, traits, step_key)
            entered, result = noisy_robot.step(state, action, failure=failure)
            ended = result.terminated | result.truncated
            return (entered, result.observation, memory, running & ~ended), (observation, action, result, running)

        first = (state, observation, memory, jnp.bool_(True))
        return jax.lax.scan(one, first, jax.random.split(k_steps, point_robot.HORIZON))[1]

    run, parts, batch = jax.jit(jax.vmap(episode)), [], 0
    for seeks_goal in (False, True):
        kept = 0
        while kept < transitions // 2:
            keys = jax.random.split(jax.random.fold_in(jax.random.key(0), batch), 64)
            rows = jax.tree.map(np.asarray, run(keys, jnp.full(64, seeks_goal)))
            parts.append(jax.tree.map(lambda values, valid=rows[3]: values[valid], rows[:3]))
            kept, batch = kept + int(rows[3].sum()), batch + 1
    observation, action, result = jax.tree.map(lambda *values: np.concatenate(values), *parts)
    return Dataset(
        TASK.name, observation, action, result.reward, result.cost, result.observation, result.terminated,
        result.truncated, result.constraint,
    )  # fmt: skip


def learned(data: Dataset, quantile: float, updates: int, seeds: tuple[int, ...]) -> Any:
    """V_h [seed, n] of poses [n, 4]."""
    algorithm = change(
        presets.build("fisor", TASK), constraint_updates=updates, reward_updates=0, policy_updates=0,
        backup_quantile=quantile,
    )  # fmt: skip
    states = fit(
        algorithm, algorithm.prepare(data, TASK), spec=TASK.spec, seeds=seeds, log_interval=updates,
        checkpoint_interval=updates,
    )  # fmt: skip
    of_poses = lambda poses: jax.lax.map(  # noqa: E731
        lambda state: algorithm.feasible_value(state, point_robot.observe(poses)), states
    )
    return jax.jit(of_poses)


def poses_to_judge(count: int = 40_000) -> np.ndarray:
    """Uniform in the arena, speeds up to 2 m/s."""
    low, high = [-2.7, -2.7, 0.0, 0.0], [2.7, 2.7, 2.0, 2 * np.pi]
    return np.random.default_rng(0).uniform(low, high, (count, 4)).astype(np.float32)


@styled
def picture(rows: list[dict[str, Any]]) -> Any:
    """False-safe and false-alarm rates over the chance of a failure."""
    figure = new_figure(3.0)
    names = {
        "false_safe_rate": "infeasible poses called feasible, %",
        "false_alarm_rate": "feasible poses called infeasible, %",
    }
    for axes, (key, label) in zip(figure.subplots(1, 2), names.items(), strict=True):
        for quantile, colour in zip(sorted({row["quantile"] for row in rows}), (BLUE, VERMILION, GREY), strict=False):
            mine = [row for row in rows if row["quantile"] == quantile]
            levels = sorted({row["failure"] for row in mine})
            name = "mean, as in the paper" if quantile == 0 else f"quantile {quantile:g}"
            axes.plot(levels, [100 * mean_of(mine, key, level) for level in levels], color=colour, label=name)
            axes.plot([row["failure"] for row in mine], [100 * row[key] for row in mine], "o", color=colour, ms=3.5)
        axes.set_xlabel("chance that a step's acceleration is lost")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        light_grid(axes)
    marks = figure.axes[0].get_legend_handles_labels()
    figure.legend(*marks, loc="outside lower center", ncols=3)
    return figure


def mean_of(rows: list[dict[str, Any]], key: str, failure: float) -> float:
    """Over the seeds at one chance of a failure."""
    return float(np.mean([row[key] for row in rows if row["failure"] == failure]))


def table(rows: list[dict[str, Any]]) -> str:
    """Means over the seeds, in Markdown."""
    found = []
    for failure, quantile in dict.fromkeys((row["failure"], row["quantile"]) for row in rows):
        mine = [row for row in rows if row["quantile"] == quantile]
        of = {key: mean_of(mine, key, failure) for key in rows[0] if key not in ("failure", "quantile", "seed")}
        found.append(
            {
                "chance of a failure": f"{failure:g}",
                "backup": "mean" if quantile == 0 else f"quantile {quantile:g}",
                "infeasible poses": f"{of['infeasible']:.1%}",
                "called feasible": f"{of['false_safe_rate']:.1%}",
                "feasible called infeasible": f"{of['false_alarm_rate']:.1%}",
                "IoU": f"{of['iou']:.2f}",
                "AUROC": f"{of['auroc']:.3f}",
            }
        )
    return markdown_table(found).replace("%", " %")


@pinned()
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--failures", type=float, nargs="+", default=[0.0, 0.25, 0.5, 0.75])
    parser.add_argument("--quantiles", type=float, nargs="+", default=[0.0, 0.9])
    parser.add_argument("--updates", type=int, default=5_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--transitions", type=int, default=30_000)
    options = parser.parse_args()
    poses, rows, gains = poses_to_judge(), [], {}
    for failure in options.failures:
        exact = solve_noisy_robot(failure, spacing=0.1, headings=64, top_speed=2.0)
        gains[f"{failure:g}"] = float(gain_of_not_braking(exact).max())
        infeasible = exact.chance(poses) > ALLOWED
        data = collect(failure, options.transitions)
        for quantile in options.quantiles:
            values = np.asarray(learned(data, quantile, options.updates, tuple(options.seeds))(jnp.asarray(poses)))
            for seed, value in zip(options.seeds, values, strict=True):
                score = score_region(value, np.where(infeasible, 1.0, -1.0))._asdict()
                found = {"failure": failure, "quantile": quantile, "seed": seed, "infeasible": float(infeasible.mean())}
                rows.append(found | score | {"auroc": area_under_curve(value, infeasible)})
            print(rows[-1], flush=True)
    summary = _machine.head() | {
        "task": TASK.name, "allowed_chance": ALLOWED, "updates": options.updates, "transitions": options.transitions,
        "largest_gain_of_not_braking": gains,
    }  # fmt: skip
    contents = {"table.md": table(rows), "rows.jsonl.gz": rows, "summary.json": summary}
    write_results(RESULTS, contents | {"backups.png": png_of(picture(rows), dpi=130)})


if __name__ == "__main__":
    main()
