"""Fitted-Q evaluation against simulated truth: its error, and whether it ranks policies as they rank in the system.

    JAX_PLATFORMS=cpu python benchmarks/fqe.py

PointRobot, which is pure JAX: 20 goal-seekers of drawn caution, speed and noise, that act on the state alone. Their
return and their violating steps are estimated from a log of other behaviours (`surefoot collect`: half of it random
held actions) and simulated in 200 episodes from the same law of starts. For each size of the log: mean error, mean
absolute error, Spearman's rank correlation, and the share of the ranges of 8 resamples that hold the truth. Writes
results/fqe/PointRobot.* (figure, table, a row for each policy).
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import spearmanr

import _machine
from surefoot.audit.fqe import LoggedSteps, fitted_q
from surefoot.data import Dataset
from surefoot.envs import point_robot
from surefoot.envs.behaviors import Traits, seek_goal
from surefoot.evaluation.collect import collect_point_robot
from surefoot.numerics import pinned
from surefoot.report.style import BLUE, GREY, light_grid, new_figure, png_of, styled
from surefoot.report.tables import markdown_table
from surefoot.result_files import write_results

RESULTS = Path(__file__).parents[1] / "results" / "fqe"
QUANTITIES = ("return", "violating steps")
Policies = tuple[Any, Any, Any]
"""Caution, cruise speed and noise, each [p]."""


def draw_policies(count: int) -> Policies:
    """Goal-seekers from bold to cautious, from exact to shaking."""
    random = np.random.default_rng(1)
    caution, speed = random.uniform(0.0, 1.0, count), random.uniform(0.6, 2.2, count)
    noise = random.choice([0.1, 0.4, 1.0, 3.0], count)
    return tuple(jnp.asarray(values, jnp.float32) for values in (caution, speed, noise))  # pyright: ignore[reportReturnType]


def act(caution: Any, speed: Any, noise: Any, pose: Any, key: Any) -> Any:
    """One policy's action at one pose."""
    sought = seek_goal(pose, Traits(jnp.bool_(True), caution, speed, noise))
    return jnp.clip(sought + noise * jax.random.normal(key, (2,)), -1.0, 1.0)


def simulate(policies: Policies, episodes: int) -> np.ndarray:
    """Return and violating steps of each policy [p, e, 2]."""

    def episode(caution: Any, speed: Any, noise: Any, key: Any) -> Any:
        start, steps = jax.random.split(key)
        state, _ = point_robot.reset(start)

        def one(carry: Any, step_key: Any) -> tuple[Any, None]:
            state, running, sums = carry
            entered, result = point_robot.step(state, act(caution, speed, noise, state.pose, step_key))
            sums = sums + running * jnp.stack([result.reward, result.cost])
            return (entered, running & ~(result.terminated | result.truncated), sums), None

        first = (state, jnp.bool_(True), jnp.zeros(2))
        return jax.lax.scan(one, first, jax.random.split(steps, point_robot.HORIZON))[0][2]

    over_episodes = jax.vmap(episode, (None, None, None, 0))
    keys = jax.random.split(jax.random.key(5), episodes)
    return np.asarray(jax.jit(jax.vmap(over_episodes, (0, 0, 0, None)))(*policies, keys))


def estimates(policies: Policies, data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """What each policy would bring by the log [p, 2], and resamples of that [p, b, 2]."""
    starts = np.asarray(data.episode_starts)
    poses = point_robot.pose_of(jnp.asarray(np.concatenate([data.next_observations, data.observations[starts]])))
    keys = jax.random.split(jax.random.key(6), len(poses))
    found = np.asarray(jax.jit(jax.vmap(lambda *one: jax.vmap(partial(act, *one))(poses, keys)))(*policies))
    means, resampled = [], []
    for actions in found:
        steps = LoggedSteps(
            data.observations, data.actions, data.next_observations, actions[: len(data)], data.terminated,
            np.stack([data.required_rewards, data.costs], 1), starts, actions[len(data) :],
        )  # fmt: skip
        one = fitted_q(steps, horizon=point_robot.HORIZON, resamples=8)
        means.append(one.mean)
        resampled.append(one.resampled)
    return np.stack(means), np.stack(resampled)


def figures_of(
    mean: np.ndarray, resampled: np.ndarray, truth: np.ndarray, size: int, quantities: tuple[str, ...] = QUANTITIES
) -> list[dict[str, Any]]:
    """A row for each quantity."""
    rows = []
    for index, name in enumerate(quantities):
        error = mean[:, index] - truth[:, index]
        low, high = np.quantile(resampled[:, :, index], [0.0, 1.0], axis=1)
        rows.append(
            {
                "steps": size,
                "quantity": name,
                "policies": len(mean),
                "spread": float(truth[:, index].std()),
                "error": float(error.mean()),
                "absolute_error": float(np.abs(error).mean()),
                "rank_correlation": float(np.asarray(spearmanr(mean[:, index], truth[:, index]))[0]),
                "covered": float(((low <= truth[:, index]) & (truth[:, index] <= high)).mean()),
            }
        )
    return rows


@styled
def scatter(found: dict[int, np.ndarray], truth: np.ndarray, quantities: tuple[str, ...] = QUANTITIES) -> Any:
    """Estimates from the largest log against the truth."""
    mean = found[max(found)]
    figure = new_figure(3.6, square=True)
    for index, (axes, name) in enumerate(zip(figure.subplots(1, 2), quantities, strict=True)):
        both = np.concatenate([mean[:, index], truth[:, index]])
        axes.plot([both.min(), both.max()], [both.min(), both.max()], color=GREY, linewidth=0.8)
        axes.plot(truth[:, index], mean[:, index], "o", color=BLUE, markersize=4)
        axes.set_xlabel(f"{name} of an episode, simulated")
        axes.set_ylabel("estimated from the log")
        light_grid(axes)
    return figure


def table(rows: list[dict[str, Any]]) -> str:
    """In Markdown."""
    return markdown_table(
        [
            {
                "logged steps": f"{row['steps']:,}",
                "quantity": row["quantity"],
                "policies": str(row["policies"]),
                "spread of the truth": f"{row['spread']:.2f}",
                "mean error": f"{row['error']:+.2f}",
                "mean absolute error": f"{row['absolute_error']:.2f}",
                "rank correlation": f"{row['rank_correlation']:.2f}",
                "ranges that hold the truth": f"{row['covered']:.0%}",
            }
            for row in rows
        ]
    )


@pinned()
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--policies", type=int, default=20)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--sizes", type=int, nargs="+", default=[3_000, 9_000])
    options = parser.parse_args()
    policies = draw_policies(options.policies)
    truth = simulate(policies, options.episodes).mean(1)
    rows, found = [], {}
    for size in options.sizes:
        mean, resampled = estimates(policies, collect_point_robot(transitions=size, seed=0))
        found[size] = mean
        rows += figures_of(mean, resampled, truth, size)
        print(table(rows[-2:]), flush=True)
    largest = zip(*map(np.asarray, policies), truth.tolist(), found[max(found)].tolist(), strict=True)
    each = [
        {"caution": float(caution), "speed": float(speed), "noise": float(noise), "return": true[0], "cost": true[1],
         "estimated_return": said[0], "estimated_cost": said[1]}
        for caution, speed, noise, true, said in largest
    ]  # fmt: skip
    summary = _machine.head() | {"task": "PointRobot", "episodes": options.episodes, "rows": rows}
    contents = {"PointRobot.md": table(rows), "PointRobot.json": summary, "PointRobot.jsonl.gz": each}
    write_results(RESULTS, contents | {"PointRobot.png": png_of(scatter(found, truth), dpi=130)})


if __name__ == "__main__":
    main()
