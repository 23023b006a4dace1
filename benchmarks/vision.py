"""How fast Safety-Gymnasium's robots see: images per CPU second on one core, and what a decision's time goes into.

    python benchmarks/vision.py        # about two minutes

Decisions of a careless seeker on each task that sees, two cameras of 64 x 64, in this process, on one thread; resets
and the behaviour's own arithmetic are counted, the first reset of a process (it reads the sky's images) is given apart.
CPU seconds, so that a busy machine changes them little. Writes benchmarks/results/vision.json.
"""

import time
from typing import Any

import numpy as np

import _machine
from surefoot.envs.simulators import make
from surefoot.envs.simulators.vision import VisionBackend
from surefoot.envs.workers.episodes import EpisodeOrder, play
from surefoot.tasks import get_task
from surefoot.tasks.vision import VISION_TASKS

FRAMES_PER_CPU_SECOND = 50.0
EPISODES = 2
_CARELESS = 1


def measure(name: str) -> dict[str, Any]:
    """One task."""
    env = make(get_task(name))
    began = time.process_time()
    env.reset(seed=0)
    first = time.process_time() - began
    began, wall = time.process_time(), time.perf_counter()
    decisions = sum(
        len(play(env, EpisodeOrder(number, _CARELESS, number)).rewards) for number in range(1, EPISODES + 1)
    )
    spent, wall = time.process_time() - began, time.perf_counter() - wall
    backend = env.backend
    assert isinstance(backend, VisionBackend)
    env.reset(seed=1)
    began = time.process_time()
    for _ in range(100):
        backend._see()
    seeing = (time.process_time() - began) / 100
    began = time.process_time()
    env.reset(seed=2)
    resetting = time.process_time() - began
    found = {
        "renderer": backend.renderer(),
        "decisions_per_cpu_second": decisions / spent,
        "frames_per_cpu_second": 2 * decisions / spent,
        "wall_seconds_per_cpu_second": wall / spent,
        "milliseconds": {"two_images": 1e3 * seeing, "decision": 1e3 * spent / decisions, "reset": 1e3 * resetting},
        "first_reset_cpu_seconds": first,
        "target": FRAMES_PER_CPU_SECOND,
        "reached": 2 * decisions / spent >= FRAMES_PER_CPU_SECOND,
        # A stricter reading of the target: pairs of images, each with its four steps of the simulator.
        "pairs_reached": decisions / spent >= FRAMES_PER_CPU_SECOND,
    }
    env.close()
    return found


def main() -> None:
    results: dict[str, Any] = {**_machine.head(), "tasks": {}}
    for name in VISION_TASKS:
        if name.endswith("Moved"):
            continue
        results["tasks"][name] = row = measure(name)
        rate = _machine.verdict(row["frames_per_cpu_second"], FRAMES_PER_CPU_SECOND)
        print(f"{name}: {rate} images per CPU second, with the simulator's steps; {row['renderer']}", flush=True)
    rates = [row["decisions_per_cpu_second"] for row in results["tasks"].values()]
    results["slowest"] = float(np.min(rates))
    print(_machine.write("vision", results))


if __name__ == "__main__":
    main()
