"""Whether FISOR depends on the units of what was logged: a pendulum with a speed limit, in several units.

    JAX_PLATFORMS=cpu python benchmarks/units.py                # three seeds of every row
    python benchmarks/units.py --rows as_is costs_only --seeds 0 1

The system is Gymnasium's Pendulum-v1 (200 steps of 0.05 s, cos, sin and speed observed) with a limit on the speed:
a step costs 1 where it enters |speed| > 6 rad/s, and h = |speed| - 6 is logged. 150 episodes of a controller that
swings up under noise and heeds a limit of its own, from far below to far above the true one. Every row trains the same
preset on the same data in other units; 40 episodes a seed from the same starts are judged in the first row's units.
Writes benchmarks/results/units.json.
"""

import argparse
import time
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import _machine
from surefoot import presets
from surefoot.data import Dataset
from surefoot.tasks import CostLimit, Signal, Task
from surefoot.training import fit
from surefoot.types import PolicyInputs

HORIZON, LIMIT = 200, 6.0
"""Environment steps; radians per second."""
ROWS = ("as_is", "h_times_0.01", "column_times_1000", "costs_only")
RETURN_SHARE, SAFE_POINTS = 0.1, 2.0
"""What a row may differ by from the first: share of the return, percentage points of the episodes without violation."""
TASK = Task(
    "PendulumLimit", 3, 1, HORIZON, return_min=-1600.0, return_max=0.0,
    constraints=(CostLimit(0.0), Signal(unit="rad/s")), deterministic=True,
)  # fmt: skip


def starts(count: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Angles (0 is upright) and speeds, as Gymnasium draws them."""
    random = np.random.default_rng(seed)
    return random.uniform(-np.pi, np.pi, count), random.uniform(-1.0, 1.0, count)


def step(angle: np.ndarray, speed: np.ndarray, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Angles and speeds entered, and rewards; `action` in [-1, 1] is half the torque."""
    torque = 2.0 * np.clip(action, -1.0, 1.0)
    wrapped = (angle + np.pi) % (2 * np.pi) - np.pi
    reward = -(wrapped**2 + 0.1 * speed**2 + 0.001 * torque**2)
    speed = np.clip(speed + (15.0 * np.sin(angle) + 3.0 * torque) * 0.05, -8.0, 8.0)
    return angle + speed * 0.05, speed, reward


def observe(angle: np.ndarray, speed: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angle), np.sin(angle), speed], -1).astype(np.float32)


def collect(episodes: int = 150, *, seed: int = 0) -> Dataset:
    """The log: a controller that pumps energy, balances near the top and brakes above a speed of its own."""
    random = np.random.default_rng(seed)
    angle, speed = starts(episodes, seed=seed + 1)
    own_limit, noise = random.uniform(4.0, 14.0, episodes), random.uniform(0.3, 2.5, episodes)
    gain = random.uniform(0.0, 1.6, episodes)
    columns: dict[str, list[np.ndarray]] = {}
    for _ in range(HORIZON):
        pump = gain * np.sign(speed) * np.sign(15.0 - 0.5 * speed**2 - 15.0 * np.cos(angle))
        near = np.cos(angle) > 0.9
        balance = -(5.0 * np.sin(angle) + speed)
        action = np.where(near, balance, np.where(np.abs(speed) > own_limit, -np.sign(speed), pump))
        action = np.clip(action + noise * random.normal(size=episodes), -1.0, 1.0)
        entered, faster, reward = step(angle, speed, action)
        h = np.abs(faster) - LIMIT
        for name, values in (
            ("observations", observe(angle, speed)), ("actions", action[:, None]), ("rewards", reward),
            ("costs", h > 0), ("next_observations", observe(entered, faster)), ("constraints", h),
        ):  # fmt: skip
            columns.setdefault(name, []).append(np.asarray(values, np.float32))
        angle, speed = entered, faster
    flat = {name: np.stack(values, 1).reshape(-1, *values[0].shape[1:]) for name, values in columns.items()}
    rows = episodes * HORIZON
    ends = np.arange(rows) % HORIZON == HORIZON - 1
    return Dataset(TASK.name, **flat, terminated=np.zeros(rows, bool), truncated=ends)


def in_units(dataset: Dataset, task: Task, row: str, *, column: int) -> tuple[Dataset, Task, np.ndarray]:
    """The log in a row's units, its task, and what observations are multiplied by; `column` is the one that changes."""
    unit = np.ones(task.observation_dim, np.float32)
    unit[column] = 1000.0 if row == "column_times_1000" else 1.0
    dataset = replace(
        dataset, observations=dataset.observations * unit, next_observations=dataset.next_observations * unit
    )
    if row == "costs_only":
        limits = tuple(one for one in task.constraints if isinstance(one, CostLimit))
        return replace(dataset, constraints=None), replace(task, constraints=limits), unit
    assert dataset.constraints is not None
    scale = np.float32(0.01 if row == "h_times_0.01" else 1.0)
    return replace(dataset, constraints=dataset.constraints * scale), task, unit


def judge(algorithm: Any, state: Any, unit: np.ndarray, *, episodes: int = 40) -> dict[str, float]:
    """Mean return and share of the episodes without violation of one seed's policy, from starts of their own."""

    @jax.jit
    def act(observation: jax.Array, key: jax.Array) -> jax.Array:
        return algorithm.policy(state).act(None, PolicyInputs(observation), key)[1]

    angle, speed = starts(episodes, seed=1_000_000)
    total, violated = np.zeros(episodes), np.zeros(episodes, bool)
    for index in range(HORIZON):
        action = np.asarray(act(jnp.asarray(observe(angle, speed) * unit), jax.random.key(index)))[:, 0]
        angle, speed, reward = step(angle, speed, action)
        total += reward
        violated |= np.abs(speed) > LIMIT
    return {"return": float(total.mean()), "violation_free": float(1.0 - violated.mean())}


def train_and_judge(dataset: Dataset, row: str, seeds: list[int], changes: dict[str, Any]) -> dict[str, Any]:
    """A row of the table: figures of every seed, their medians and the seconds that training took."""
    logged, task, unit = in_units(dataset, TASK, row, column=2)
    algorithm = replace(presets.build("fisor", task), **changes)
    began = time.perf_counter()
    states = fit(
        algorithm, algorithm.prepare(logged, task), spec=task.spec, seeds=seeds, log_interval=1000,
        checkpoint_interval=10**9,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    found = [judge(algorithm, jax.tree.map(lambda leaf: leaf[index], states), unit) for index in range(len(seeds))]  # noqa: B023
    medians = {name: float(np.median([one[name] for one in found])) for name in found[0]}
    print(f"{row:20s} {medians['return']:8.0f} {100 * medians['violation_free']:6.1f} %  {seconds:.0f} s", flush=True)
    return {"row": row, **medians, "seeds": found, "training_seconds": round(seconds, 1)}


def verdicts(rows: list[dict[str, Any]], log: dict[str, float]) -> dict[str, bool]:
    """Whether each row reaches its targets."""
    first, found = rows[0], {}
    for row in rows[1:]:
        if row["row"] == "costs_only":
            found[row["row"]] = row["return"] > log["return"] and row["violation_free"] > log["violation_free"]
        else:
            near = abs(row["return"] - first["return"]) <= RETURN_SHARE * abs(first["return"])
            points = 100 * abs(row["violation_free"] - first["violation_free"])
            found[row["row"]] = near and points <= SAFE_POINTS + 1e-9
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    given = parser.parse_args()
    head, dataset = _machine.head(), collect()
    log = {"return": float(dataset.returns.mean()), "violation_free": float((dataset.violating_steps == 0).mean())}
    print(f"{'the log':20s} {log['return']:8.0f} {100 * log['violation_free']:6.1f} %  {len(dataset)} rows", flush=True)
    rows = [train_and_judge(dataset, row, given.seeds, {}) for row in given.rows]
    results = {**head, "preset": presets.DEFAULT_PRESET, "log": log, "rows": rows, "held": verdicts(rows, log)}
    _machine.write("units", results)
    print(results["held"])


if __name__ == "__main__":
    main()
