"""Values of policies by episodes in a model of the log, and by fitted-Q evaluation, against simulated truth.

    JAX_PLATFORMS=cpu python benchmarks/model_rollouts.py PointRobot
    JAX_PLATFORMS=cpu python benchmarks/model_rollouts.py SafeReacher

20 policies that act on the observation alone, with noise: on PointRobot the goal-seekers of fqe.py; on SafeReacher
controllers that hold both joints at angles of their own. Their return and cost are estimated from a log of other
behaviours, half of it random held actions, and simulated from the log's own first states. Figures as in fqe.py; writes
results/fqe/TASK_model.* (figure, table, a row for each policy).
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import spearmanr

import _machine
from fqe import RESULTS, act, draw_policies, scatter
from surefoot.audit.fqe import LoggedSteps, fitted_q
from surefoot.audit.rollouts import rolled_out
from surefoot.data import Dataset
from surefoot.envs import point_robot
from surefoot.envs.simulators.gymnasium_mujoco import GymnasiumMujocoBackend
from surefoot.evaluation.collect import collect_point_robot
from surefoot.numerics import pinned
from surefoot.report.style import png_of
from surefoot.report.tables import markdown_table
from surefoot.result_files import write_results
from surefoot.tasks import get_task

POLICIES = 20
QUANTITIES = {"PointRobot": ("return", "violating steps"), "SafeReacher": ("return", "cost")}
Actions = Callable[[np.ndarray, int], np.ndarray]
"""Actions [p, n, act] of all policies in observations [p, n, obs], in a step of the episode."""


@dataclass(frozen=True)
class System:
    """A log, policies, and what they truly bring."""

    log: Dataset
    first: np.ndarray
    """Observations that episodes begin with [e, obs]."""
    actions: Actions
    truth: np.ndarray
    """Mean return and cost of each policy [p, 2]."""


def robot(size: int) -> System:
    """PointRobot."""
    log, policies = collect_point_robot(transitions=size, seed=0), draw_policies(POLICIES)
    first = log.observations[np.asarray(log.episode_starts)]
    each = jax.vmap(jax.vmap(act, (None, None, None, 0, 0)), (0, 0, 0, 0, 0))

    @jax.jit
    def chosen(observation: Any, step: Any) -> Any:
        keys = jax.random.split(jax.random.fold_in(jax.random.key(6), step), observation.shape[:2])
        return each(*policies, point_robot.pose_of(observation), keys)

    def one(state: Any, running: Any, step: Any) -> Any:
        entered, result = jax.vmap(jax.vmap(point_robot.step))(state, chosen(point_robot.observe(state.pose), step))
        ended = result.terminated | result.truncated
        return entered, running & ~ended, running[..., None] * jnp.stack([result.reward, result.cost], -1)

    poses = jnp.broadcast_to(point_robot.pose_of(jnp.asarray(first)), (POLICIES, len(first), 4))
    state, running, sums = point_robot.reset_to(poses)[0], jnp.ones(poses.shape[:2], bool), 0.0
    for step in range(point_robot.HORIZON):
        state, running, gained = jax.jit(one)(state, running, step)
        sums += gained
    return System(log, first, lambda seen, step: np.asarray(chosen(jnp.asarray(seen, jnp.float32), step)),
                  np.asarray(sums).mean(1))  # fmt: skip


def draw_controllers(count: int, seed: int) -> dict[str, np.ndarray]:
    """Angles that both joints are held at, gains and noise."""
    random = np.random.default_rng(seed)
    return {
        "angles": random.uniform([0.2, -0.6], [1.2, 0.6], (count, 2)), "gain": random.uniform(0.1, 0.8, (count, 1)),
        "damping": random.uniform(0.01, 0.05, (count, 1)), "noise": random.choice([0.05, 0.2, 0.5], (count, 1)),
    }  # fmt: skip


def held(one: dict[str, np.ndarray], seen: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Torques that hold the joints [..., 2]."""
    joints = np.arctan2(seen[..., 2:4], seen[..., :2])
    return np.clip(
        one["gain"] * (one["angles"] - joints) - one["damping"] * seen[..., 6:8] + one["noise"] * noise, -1, 1
    )


def reach(env: Any, seed: int, behave: Callable[[np.ndarray, int], np.ndarray]) -> dict[str, np.ndarray]:
    """An episode."""
    seen, rows = env.reset(seed), []
    for step in range(env.horizon):
        action = behave(seen, step)
        entered, reward, cost, _ = env.step(action.astype(np.float32))
        rows.append((seen, action, reward, cost, entered))
        seen = entered
    return dict(zip(("observations", "actions", "rewards", "costs", "next_observations"),
                    (np.asarray(one, np.float32) for one in zip(*rows, strict=True)), strict=True))  # fmt: skip


def reacher(size: int, episodes: int = 40) -> System:
    """SafeReacher."""
    env = GymnasiumMujocoBackend(get_task("SafeReacher"), simulator_id="SafeReacher", draws=False)
    random, logged = np.random.default_rng(0), []
    for number in range(size // env.horizon):
        one = {name: values[0] for name, values in draw_controllers(1, 1000 + number).items()}
        noise, hold = random.normal(size=(env.horizon, 2)), random.integers(2, 12)
        throws = np.repeat(random.uniform(-1, 1, (env.horizon, 2)), hold, 0)
        behave = (lambda seen, step, one=one, noise=noise: held(one, seen, noise[step])) if number % 2 else (
            lambda seen, step, throws=throws: throws[step])  # fmt: skip
        logged.append(reach(env, number, behave))
    columns = {name: np.concatenate([one[name] for one in logged]) for name in logged[0]}
    ends = np.arange(len(columns["rewards"])) % env.horizon == env.horizon - 1
    log = Dataset("SafeReacher", **columns, terminated=np.zeros_like(ends), truncated=ends)
    policies = draw_controllers(POLICIES, 1)
    truth = []
    for number in range(POLICIES):
        one, noise = {name: values[number] for name, values in policies.items()}, np.random.default_rng(2)
        each = [reach(env, seed, lambda seen, step, one=one, noise=noise: held(one, seen, noise.normal(size=2)))
                for seed in range(episodes)]  # fmt: skip
        truth.append(np.mean([(part["rewards"].sum(), part["costs"].sum()) for part in each], 0))
    spread = {name: values[:, None] for name, values in policies.items()}
    noise = np.random.default_rng(3)
    first = log.observations[np.asarray(log.episode_starts)][:episodes]

    def chosen(seen: np.ndarray, step: int) -> np.ndarray:
        return held(spread, seen, noise.normal(size=(*seen.shape[:2], 2)))

    return System(log, first, chosen, np.array(truth))


def estimates(system: System, horizon: int) -> dict[str, np.ndarray]:
    """By both ways [p, 2]."""
    log, starts = system.log, np.asarray(system.log.episode_starts)
    gains = np.stack([log.required_rewards, log.costs], 1)
    asked = np.concatenate([log.next_observations, log.observations[starts]])
    chosen = system.actions(np.broadcast_to(asked, (POLICIES, *asked.shape)), 0)
    steps = [LoggedSteps(log.observations, log.actions, log.next_observations, one[: len(log)], log.terminated, gains,
                         starts, one[len(log) :]) for one in chosen]  # fmt: skip
    first = np.broadcast_to(system.first, (POLICIES, *system.first.shape))

    def behave(seen: np.ndarray, step: int) -> np.ndarray:
        return system.actions(seen.reshape(first.shape), step).reshape(len(seen), -1)

    sums = rolled_out(steps[0], behave, first.reshape(-1, first.shape[-1]), horizon=horizon)
    print("rolled out", flush=True)
    return {
        "model of the log": sums.reshape(*first.shape[:2], -1).mean(1),
        "fitted Q": np.stack([fitted_q(one, horizon=horizon, resamples=1).mean for one in steps]),
    }


def figures(found: dict[str, np.ndarray], truth: np.ndarray, size: int, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """A row for each quantity and way."""
    rows = []
    for index, name in enumerate(names):
        for way, mean in found.items():
            error = mean[:, index] - truth[:, index]
            rows.append(
                {
                    "estimated by": way, "steps": size, "quantity": name, "policies": len(truth),
                    "spread": float(truth[:, index].std()), "error": float(error.mean()),
                    "absolute_error": float(np.abs(error).mean()),
                    "rank_correlation": float(np.asarray(spearmanr(mean[:, index], truth[:, index]))[0]),
                }
            )  # fmt: skip
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """In Markdown."""
    shown = {"spread": "spread of the truth", "error": "mean error", "absolute_error": "mean absolute error",
             "rank_correlation": "rank correlation"}  # fmt: skip
    return markdown_table(
        [
            {"estimated by": row["estimated by"], "logged steps": f"{row['steps']:,}", "quantity": row["quantity"],
             "policies": str(row["policies"])} | {name: f"{row[key]:.2f}" for key, name in shown.items()}
            for row in rows
        ]
    )  # fmt: skip


@pinned()
def main() -> None:
    """Log, simulate, estimate, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task", choices=QUANTITIES)
    parser.add_argument("--size", type=int, default=9_000)
    options = parser.parse_args()
    head, names = _machine.head(), QUANTITIES[options.task]
    system = {"PointRobot": robot, "SafeReacher": reacher}[options.task](options.size)
    print("simulated", system.truth.tolist(), flush=True)
    found = estimates(system, get_task(options.task).horizon)
    rows = figures(found, system.truth, len(system.log), names)
    print(table(rows))
    each = [
        {"policy": number, "way": way, "return": true[0], "cost": true[1], "estimated_return": said[0],
         "estimated_cost": said[1]}
        for way, mean in found.items()
        for number, (true, said) in enumerate(zip(system.truth.tolist(), mean.tolist(), strict=True))
    ]  # fmt: skip
    name = f"{options.task}_model"
    picture = png_of(scatter({options.size: found["model of the log"]}, system.truth, names), dpi=130)
    summary = head | {"task": options.task, "rows": rows}
    contents = {f"{name}.json": summary, f"{name}.md": table(rows), f"{name}.jsonl.gz": each, f"{name}.png": picture}
    write_results(RESULTS, contents)


if __name__ == "__main__":
    main()
