"""BCRL's budgets on PointRobot against the exact least cost still to come.

    python benchmarks/least_cost.py DATA [--seeds 0 1 2] [--updates 15000] [--out results/point_robot]

DATA is what `surefoot collect --task PointRobot` wrote. The exact least discounted cost C(s) of violating steps is
found by dynamic programming on a grid of poses; {C <= b + 1/2} are the states from which a budget of b violating steps
can be kept (costs are whole steps, so half a step decides). One trained model is held against it at several budgets.
Writes least_cost.json: intersection over union of the states from which a budget can be kept, and of the others.
"""

import argparse
import math
import sys
import time
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from surefoot import data, presets
from surefoot.checkpoint import versions
from surefoot.envs.point_robot import HAZARD_RADIUS, HAZARDS, TIME_STEP, observe
from surefoot.hyperparameters import change
from surefoot.nn import member
from surefoot.result_files import write_results
from surefoot.safety.exact import slice_poses, solve_point_robot
from surefoot.safety.region import SLICES, score_region
from surefoot.tasks import get_task
from surefoot.training import fit

BUDGETS = (0.0, 5.0, 10.0, 20.0)
"""Violating steps, discounted."""
SPACING, EXTENT, HEADINGS, TOP_SPEED = 0.06, 3.0, 63, 2.3
"""Metres between grid points, to which distance; headings about a macro step's turn apart; m/s."""
MACRO = 2
"""Environment steps of a step of the dynamic programming, so that speeds and headings move from level to level."""


class LeastCost:
    """C on a grid [speed, heading, x, y] from speed 0 up: driving backwards is driving forwards, turned around."""

    def __init__(self, *, discount: float, spacing: float = SPACING, sweeps: int = 90) -> None:
        self.step = MACRO * TIME_STEP
        self.axis = np.arange(-math.ceil(EXTENT / spacing), math.ceil(EXTENT / spacing) + 1) * spacing
        self.spacing = spacing
        self.speeds = np.arange(round(TOP_SPEED / self.step) + 1) * self.step
        self.angles = np.arange(HEADINGS) * (2 * math.pi / HEADINGS)
        size = len(self.axis)
        self.values = np.zeros((len(self.speeds), HEADINGS, size, size), np.float32)
        self.discount = discount
        for _ in range(sweeps):
            before = self.values
            self.values = self._sweep(before)
            if np.abs(self.values - before).max() < 1e-2:
                break

    def _sweep(self, values: np.ndarray) -> np.ndarray:
        best = self._best(values)
        found = np.empty_like(values)
        for place, speed in enumerate(self.speeds):
            for turn, angle in enumerate(self.angles):
                way = speed * self.step * np.array([math.cos(angle), math.sin(angle)])
                cost = sum(self.discount**part * self._violates((part + 1) / MACRO * way) for part in range(MACRO))
                moved = self._shifted(best[place, turn], way)
                found[place, turn] = cost + self.discount**MACRO * moved
        return found

    def _best(self, values: np.ndarray) -> np.ndarray:
        """The smallest value after accelerating and turning by -1, 0 or 1, before the way is driven."""
        turned = np.minimum(values, np.minimum(np.roll(values, 1, 1), np.roll(values, -1, 1)))
        opposite = np.roll(turned[1:2], HEADINGS // 2, 1)  # slower than standing still: backwards
        slower, faster = np.concatenate([opposite, turned[:-1]]), np.concatenate([turned[1:], turned[-1:]])
        return np.minimum(turned, np.minimum(slower, faster))

    def _violates(self, way: np.ndarray) -> np.ndarray:
        x, y = self.axis[:, None] + way[0], self.axis[None] + way[1]
        near = [np.hypot(x - one[0], y - one[1]) < HAZARD_RADIUS for one in HAZARDS]
        return (near[0] | near[1]).astype(np.float32)

    def _shifted(self, plane: np.ndarray, way: np.ndarray) -> np.ndarray:
        """The plane at positions moved by `way`, bilinear; 0 outside of the grid, where nothing costs."""
        cells = way / self.spacing
        low = np.floor(cells).astype(int)
        share = cells - low
        found = np.zeros_like(plane)
        for dx, weight_x in ((0, 1 - share[0]), (1, share[0])):
            for dy, weight_y in ((0, 1 - share[1]), (1, share[1])):
                if weight := weight_x * weight_y:
                    found += weight * _moved(plane, low[0] + dx, low[1] + dy)
        return found

    def value(self, poses: np.ndarray) -> np.ndarray:
        """C at poses (x, y, v, theta), v >= 0: linear in x, y and v, at the nearest heading."""
        place = poses[:, 2] / self.step
        turn = np.rint(poses[:, 3] / (2 * math.pi) * HEADINGS).astype(int) % HEADINGS
        x, y = ((poses[:, axis] - self.axis[0]) / self.spacing for axis in (0, 1))
        total = np.zeros(len(poses))
        for corner in np.ndindex(2, 2, 2):
            weight, index = np.ones(len(poses)), []
            sizes = (len(self.speeds), len(self.axis), len(self.axis))
            for coordinate, up, size in zip((place, x, y), corner, sizes, strict=True):
                low = np.clip(np.floor(coordinate).astype(int), 0, size - 2)
                share = np.clip(coordinate - low, 0.0, 1.0)
                weight = weight * (share if up else 1.0 - share)
                index.append(low + up)
            total += weight * self.values[index[0], turn, index[1], index[2]]
        return total


def _moved(plane: np.ndarray, dx: int, dy: int) -> np.ndarray:
    """plane[i + dx, j + dy], 0 outside."""
    found = np.zeros_like(plane)
    size = len(plane)
    rows, columns = slice(max(0, -dx), min(size, size - dx)), slice(max(0, -dy), min(size, size - dy))
    source = plane[slice(max(0, dx), min(size, size + dx)), slice(max(0, dy), min(size, size + dy))]
    found[rows, columns] = source
    return found


def poses_of_slices() -> np.ndarray:
    """Poses of the three published slices, without those at the arena's border."""
    return np.concatenate([slice_poses(speed, heading, resolution=101, extent=2.5) for speed, heading in SLICES])


def scores(learned: np.ndarray, exact: np.ndarray) -> list[dict[str, float]]:
    """At each budget: how well the states agree from which it cannot be kept, and those from which it can."""
    found = []
    for budget in BUDGETS:
        region = score_region(learned - budget - 0.5, exact - budget - 0.5)
        kept = score_region(budget + 0.5 - learned, budget + 0.5 - exact)
        found.append(
            {
                "budget": budget,
                "iou_kept": kept.iou,
                "iou_not_kept": region.iou,
                "false_safe_rate": region.false_safe_rate,
                "share_not_kept": float((exact > budget + 0.5).mean()),
            }
        )
    return found


def main() -> None:
    """Train, solve, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--updates", type=int, default=None)
    parser.add_argument("--out", type=Path, default=Path("results/point_robot"))
    options = parser.parse_args()
    task = get_task("PointRobot")
    algorithm = presets.build("bcrl", task)
    algorithm = algorithm if options.updates is None else change(algorithm, updates=options.updates)
    began = time.perf_counter()
    exact = LeastCost(discount=algorithm.budget_discount)
    solved = time.perf_counter() - began
    poses = poses_of_slices()
    least = exact.value(poses)
    check = score_region(least - 0.5, solve_point_robot(spacing=0.1).value(poses))
    print(f"exact in {solved:.0f} s; {{C = 0}} against the exact feasible set: IoU {check.iou:.3f}", flush=True)
    began = time.perf_counter()
    states = fit(
        algorithm, algorithm.prepare(data.load(options.data, task), task), spec=task.spec, seeds=options.seeds,
        log_interval=500, checkpoint_interval=10**9,
        on_progress=lambda one: print(f"{one.done} of {one.total}", flush=True),
    )  # fmt: skip
    trained = time.perf_counter() - began
    observation = observe(jnp.asarray(poses, jnp.float32))
    rows: list[dict[str, Any]] = []
    for place, seed in enumerate(options.seeds):
        learned = np.asarray(algorithm.least_cost(member(states, place), observation))
        rows += [{"seed": seed, **one} for one in scores(learned, least)]
    for row in rows:
        print({name: round(value, 3) for name, value in row.items()})
    content = {
        "rows": rows, "solve_seconds": solved, "train_seconds": trained, "iou_of_zero_with_exact_set": check.iou,
        "versions": versions(), "command": sys.argv,
    }  # fmt: skip
    write_results(options.out, {"least_cost.json": content})


if __name__ == "__main__":
    main()
