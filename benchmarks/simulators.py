"""What the simulators cost through surefoot: resets, the adapter, and what a second process brings.

    python benchmarks/simulators.py        # about a minute; wants an idle machine

CPU time of a navigation reset without pictures (median of seeds); of a step through the adapter and of the bare
simulator, taking turns over the same actions from the same state; wall time of PointGoal1 in one process and over two
workers, taking turns, with a call of the collection's policy for all lanes before each step. Writes
benchmarks/results/simulators.json.
"""

import time
from typing import Any

import jax
import numpy as np

import _machine
from surefoot.collection import ppo
from surefoot.envs.simulators import make
from surefoot.envs.workers.vector import VectorSimulator
from surefoot.tasks import get_task
from surefoot.tasks.dsrl import DSRL_TASKS

NAVIGATION = [
    name
    for name, task in DSRL_TASKS.items()
    if task.environment and "safety-gymnasium" in task.environment.packages and "Vel" not in name
]
RESET_MS, BUTTON_RESET_MS = 50.0, 300.0
OVERHEAD = 0.05
OVERHEAD_TASKS = ("PointGoal1", "PointCircle1", "CarButton1", "BallRun", "CarRun", "AntVelocity", "HopperVelocity",
                  "SwimmerVelocity", "Walker2dVelocity", "HalfCheetahVelocity")  # fmt: skip
SPEED_UP, LANES, VECTOR_STEPS = 1.6, 8, 100


def resets(name: str, *, seeds: int) -> dict[str, Any]:
    """CPU milliseconds of resets."""
    env = make(get_task(name))
    env.reset(seed=0)
    times = []
    for seed in range(1, seeds + 1):
        began = time.process_time()
        env.reset(seed=seed)
        times.append(1e3 * (time.process_time() - began))
    env.close()
    target = BUTTON_RESET_MS if "Button" in name else RESET_MS
    median = float(np.median(times))
    return {"median_ms": median, "most_ms": max(times), "target_ms": target, "reached": median <= target}


def original_reset(name: str) -> float:
    """CPU milliseconds of a reset as published: with its sky, which is also what pictures need."""
    env = make(get_task(name), render_mode="rgb_array")
    env.reset(seed=0)
    began = time.process_time()
    env.reset(seed=1)
    spent = time.process_time() - began
    env.close()
    return 1e3 * spent


def overhead(name: str, *, rounds: int, steps: int = 40) -> dict[str, Any]:
    """CPU microseconds of a step, through the adapter and bare; the share is the median over rounds."""
    env = make(get_task(name))
    other = make(get_task(name))
    bare: Any = other._backend._env  # pyright: ignore[reportAttributeAccessIssue]
    vars(bare).pop("do_simulation", None)  # as published: with the check that the adapter makes unnecessary
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, get_task(name).action_dim)).astype(np.float32)
    doubles = actions.astype(np.float64)

    def adapter() -> float:
        began = time.process_time()
        for action in actions:
            env.step(action)
        return time.process_time() - began

    def simulator() -> float:
        began = time.process_time()
        for action in doubles:
            bare.step(action)
        return time.process_time() - began

    times: dict[str, list[float]] = {"adapter": [], "simulator": []}
    for number in range(rounds):
        runs = {"adapter": adapter, "simulator": simulator}
        for kind in sorted(runs, reverse=number % 2 == 0):
            (env if kind == "adapter" else other).reset(seed=3)
            times[kind].append(1e6 * runs[kind]() / steps)
    env.close()
    other.close()
    medians = {f"{kind}_us": float(np.median(values)) for kind, values in times.items()}
    share = medians["adapter_us"] / medians["simulator_us"] - 1
    return {**medians, "share": share, "reached": share < OVERHEAD}


def vector(*, rounds: int) -> dict[str, Any]:
    """Steps a second of PointGoal1 over all lanes; the same actions at every round."""
    task = get_task("PointGoal1")
    learner, keys = ppo.init(ppo.PPO(), task, jax.random.key(0)), jax.random.split(jax.random.key(1), VECTOR_STEPS)
    act, seeds = jax.jit(ppo.act), np.arange(LANES)
    rates: dict[int, list[float]] = {0: [], 2: []}
    with (
        VectorSimulator(task, num_envs=LANES, workers=0) as one,
        VectorSimulator(task, num_envs=LANES, workers=2) as two,
    ):
        for _ in range(rounds):
            for workers, simulator in ((0, one), (2, two)):
                observation = simulator.reset(seeds)
                np.asarray(act(learner, observation, keys[0]))
                began = time.perf_counter()
                for key in keys:
                    actions = np.asarray(act(learner, observation, key))
                    observation = simulator.step(actions, seeds + LANES).start_observation
                rates[workers].append(VECTOR_STEPS * LANES / (time.perf_counter() - began))
    ratios = [b / a for a, b in zip(rates[0], rates[2], strict=True)]
    speed_up = float(np.median(ratios))
    return {
        "lanes": LANES,
        "one_process_steps_per_second": rates[0],
        "two_workers_steps_per_second": rates[2],
        "speed_up": speed_up,
        "target": SPEED_UP,
        "reached": speed_up >= SPEED_UP,
    }


def main() -> None:
    results: dict[str, Any] = _machine.head()
    results["vector"] = vector(rounds=20)
    print(f"PointGoal1, two workers: {_machine.verdict(results['vector']['speed_up'], SPEED_UP)} x one process")
    results["overhead"] = {name: overhead(name, rounds=80 if "Vel" in name else 30) for name in OVERHEAD_TASKS}
    for name, row in results["overhead"].items():
        print(f"{name}: the adapter adds {_machine.verdict(row['share'], OVERHEAD, at_most=True)} of a step")
    results["resets"] = {name: resets(name, seeds=20) for name in NAVIGATION}
    for name, row in results["resets"].items():
        print(f"{name}: reset in {_machine.verdict(row['median_ms'], row['target_ms'], at_most=True)} ms of CPU")
    results["original_resets_ms"] = {name: original_reset(name) for name in ("PointGoal1", "CarButton1")}
    print(_machine.write("simulators", results))


if __name__ == "__main__":
    main()
