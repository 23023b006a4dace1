"""MetaDrive's nine tasks in their own process: dimensions, speed, and episodes that follow from their seed to the bit.

    surefoot simulators install metadrive && python benchmarks/metadrive.py        # about two minutes

`make metadrive` does both. Continuous integration runs neither: the libraries are 900 MB and of 2023. Each task runs
the same seed twice in one process, with another episode between, and once in a second process. Writes
benchmarks/results/metadrive.json; exit code 1 where something fails.
"""

import hashlib
import sys
from typing import Any

import numpy as np

import _machine
from surefoot.envs.simulators import Simulator, make
from surefoot.envs.simulators.check import probe
from surefoot.envs.workers.vector import VectorSimulator
from surefoot.tasks import Task
from surefoot.tasks.dsrl import DSRL_TASKS

FORWARD = np.array([0.0, 0.3], np.float32)
"""Straight on with some throttle: leaves the road at the first bend."""


def episode(env: Simulator, seed: int) -> dict[str, Any]:
    """An episode of driving straight on, with the hash of all its bits."""
    digest = hashlib.sha256(env.reset(seed=seed)[0].tobytes())
    total = cost = 0.0
    steps = 0
    ended = False
    while not ended:
        observation, reward, terminated, truncated, info = env.step(FORWARD)
        digest.update(observation.tobytes() + np.array([reward, info["cost"]]).tobytes())
        total, cost, steps = total + reward, cost + info["cost"], steps + 1
        ended = terminated or truncated
    return {"steps": steps, "return": total, "cost_return": cost, "sha256": digest.hexdigest()}


def measure(task: Task) -> dict[str, Any]:
    """One task's row."""
    found = probe(task)
    env = make(task)
    first, other, again = (episode(env, seed) for seed in (3, 4, 3))
    env.close()
    second = make(task)
    elsewhere = episode(second, 3)
    second.close()
    return {
        **found._asdict(),
        "episode": first,
        "same_in_one_process": first == again,
        "same_in_another_process": first == elsewhere,
        "other_seed_differs": first["sha256"] != other["sha256"],
    }


def lanes(task: Task) -> bool:
    """Whether two lanes side by side give the episodes that one gives."""
    with VectorSimulator(task, num_envs=2, workers=2) as simulator:
        together = simulator.reset([3, 4])
    env = make(task)
    alone = [env.reset(seed=seed)[0] for seed in (3, 4)]
    env.close()
    return bool((together == np.stack(alone)).all())


def main() -> int:
    results: dict[str, Any] = _machine.head() | {"tasks": {}}
    tasks = [task for task in DSRL_TASKS.values() if task.isolated == "metadrive"]
    for task in tasks:
        row = measure(task)
        row["ok"] = row["same_in_one_process"] and row["same_in_another_process"] and row["other_seed_differs"]
        results["tasks"][task.name] = row
        print(f"{task.name}: {'ok' if row['ok'] else 'FAILED'}, {row['steps_per_cpu_second']:.0f} steps a CPU second")
    results["lanes_agree"] = lanes(tasks[0])
    print(_machine.write("metadrive", results))
    return 0 if results["lanes_agree"] and all(row["ok"] for row in results["tasks"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
