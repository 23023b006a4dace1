"""Checks the exact feasible set of PointRobotSlow: against coarser grids, a search over controls, and PointRobot's own.

    JAX_PLATFORMS=cpu python benchmarks/exact_slow_set.py        # about 5 CPU minutes on one core, 1.5 GB

writes benchmarks/results/exact_slow_set.json; with --kept the set of the default grid is read where it was solved
before. tests/unit/test_exact_slow.py runs checks of tiny grids.
"""

import platform
import sys
import time
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from _machine import write_public
from _searches import search_figures
from surefoot.envs.point_robot import GOAL, GOAL_RADIUS, SLOW_ROBOT, constraint, move
from surefoot.safety.exact import solve_point_robot
from surefoot.safety.exact_sets import kept_slow_set
from surefoot.safety.exact_slow import Grid, SlowSet, Sweep, solve_slow_robot
from surefoot.safety.region import score_region

RESULTS = Path(__file__).parent / "results" / "exact_slow_set.json"
BORDER = 0.1
"""Points with |V| below this, in metres, count as near the border."""
STEPS, FREE_STEPS = 120, 40
"""Of a searched sequence of controls, 6 s, and those before it brakes, at most."""


def random_poses(count: int, *, seed: int = 0) -> Float[np.ndarray, "n 5"]:
    """Poses in the arena at up to 2 m/s."""
    generator = np.random.default_rng(seed)
    high = np.array([2.9, 2.9, 2.0, np.pi, 1.0])
    low = -high * [1, 1, 0, 1, 1]
    return generator.uniform(low, high, (count, 5)).astype(np.float32)


def h_of(poses: Float[np.ndarray, "n 5"]) -> Float[np.ndarray, " n"]:
    """The constraint at poses, metres."""
    return np.asarray(constraint(jnp.asarray(poses[:, :2])))


def compare(ours: Float[np.ndarray, " n"], reference: Float[np.ndarray, " n"], h: np.ndarray) -> dict[str, float]:
    """IoU of the infeasible sets, of those outside the hazards, too, and the differences in V near the border."""
    difference = np.abs(ours - reference)[np.abs(reference) < BORDER]
    outside = h <= 0
    return {
        "iou": score_region(ours, reference).iou,
        "iou_outside_hazards": score_region(ours[outside], reference[outside]).iou,
        "mean_border_difference": float(difference.mean()),
        "p99_border_difference": float(np.quantile(difference, 0.99)),
    }


def solved(grid: Grid) -> tuple[SlowSet, dict[str, Any]]:
    """The set on a grid, and what it took."""
    sweeps: list[Sweep] = []
    started = time.process_time()
    found = solve_slow_robot(grid, on_sweep=sweeps.append)
    cost = {"sweeps": len(sweeps), "cpu_seconds": time.process_time() - started, "megabytes": found.values.nbytes / 1e6}
    return found, {**asdict(grid), **cost}


@jax.jit
def worst_constraint(
    pose: Float[Array, " 5"], controls: Float[Array, "steps 2"], free: Array, lead: Array
) -> Float[Array, ""]:
    """max over time of h under open-loop controls, after `free` steps with full braking until v + lead a <= 0 and then
    a feedback that brings the robot to rest."""

    def body(carry, inputs):
        pose, calm = carry
        number, control = inputs
        direction = jnp.sign(pose[2])
        calm = calm | ((number >= free) & (direction * (pose[2] + lead * pose[4]) <= 0.02))
        settle = jnp.clip(-4.0 * (pose[2] + pose[4]), -1.0, 1.0)
        throttle = jnp.where(calm, settle, jnp.where(number >= free, -direction, control[0]))
        entered = move(pose, jnp.stack([throttle, control[1]]), lag=SLOW_ROBOT.lag)
        return (entered, calm), constraint(entered[:2])

    (last, _), h = jax.lax.scan(body, (pose, jnp.bool_(False)), (jnp.arange(STEPS), controls))
    resting = (jnp.abs(last[2]) < 0.02) & (jnp.abs(last[4]) < 0.05)
    return jnp.where(resting, jnp.maximum(constraint(pose[:2]), h.max()), jnp.inf)


@partial(jax.jit, static_argnames="samples")
def search(poses: Float[Array, "n 5"], keys: Key[Array, " n"], *, samples: int) -> Float[Array, " n"]:
    """Smallest worst h over random controls in {-1, 0, 1}^2, held 1 to 20 steps; half of them brake at once."""

    def best(inputs):
        pose, key = inputs
        pick_key, hold_key, free_key, lead_key = jax.random.split(key, 4)
        picks = jax.random.randint(pick_key, (samples, STEPS, 2), -1, 2).astype(jnp.float32)
        hold = jax.random.randint(hold_key, (samples, 1), 1, 21)
        held = jnp.take_along_axis(picks, (jnp.arange(STEPS)[None] // hold)[..., None], 1)
        free = jnp.maximum(jax.random.randint(free_key, (samples,), -FREE_STEPS, FREE_STEPS), 0)
        lead = jax.random.uniform(lead_key, (samples,))
        return jax.vmap(worst_constraint, (None, 0, 0, 0))(pose, held, free, lead).min()

    return jax.lax.map(best, (poses, keys))


def check_search(exact: SlowSet, *, states: int, samples: int) -> dict[str, Any]:
    """By how much (metres) the search misses V*; negative would be beating it."""
    poses = random_poses(states, seed=1)
    value, h = exact.value(poses), h_of(poses)
    keys = jax.random.split(jax.random.key(0), states)
    gap = np.asarray(search(jnp.asarray(poses), keys, samples=samples)) - value
    return search_figures({"free": gap}, value, h, samples=samples)


def check_without_lag() -> dict[str, float]:
    """The solver with a lag of 0 against PointRobot's own, on the same grid of positions."""
    grid = Grid(spacing=0.15, headings=32, speed_spacing=0.1, top_speed=1.5, accelerations=4)
    slow, plain = solve_slow_robot(grid, lag=0.0), solve_point_robot(spacing=0.15, headings=64, top_speed=1.5)
    poses = random_poses(4000) * np.array([1, 1, 0.7, 1, 1], np.float32)
    return compare(slow.value(poses), plain.value(poses[:, :4]), h_of(poses))


def largest_value_in_goal(exact: SlowSet, *, speed: float) -> float:
    """The largest V* inside the goal at a speed: where leaving the goal out matters."""
    offsets = np.linspace(-GOAL_RADIUS, GOAL_RADIUS, 13)
    axes = (GOAL[0] + offsets, GOAL[1] + offsets, np.linspace(0, 2 * np.pi, 65), (-1.0, 0.0, 1.0))
    grid = np.stack(np.meshgrid(*axes), -1).reshape(-1, 4)
    grid = grid[np.hypot(grid[:, 0] - GOAL[0], grid[:, 1] - GOAL[1]) <= GOAL_RADIUS + 1e-9]
    poses = np.stack([grid[:, 0], grid[:, 1], np.full(len(grid), speed), grid[:, 2], grid[:, 3]], -1)
    return float(exact.value(poses).max())


def main() -> None:
    if "--kept" in sys.argv:
        exact, cost = kept_slow_set(SLOW_ROBOT), {**asdict(Grid()), "solved": "before"}
    else:
        exact, cost = solved(Grid())
    results: dict[str, Any] = {
        "command": "JAX_PLATFORMS=cpu python " + " ".join(sys.argv),
        "machine": {"system": platform.platform(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("jax", "jaxlib", "numpy")},
        "default": cost,
        "largest_value_in_goal": {str(speed): largest_value_in_goal(exact, speed=speed) for speed in (1.0, 2.0)},
        "search": check_search(exact, states=400, samples=2000),
        "without_lag_against_point_robot": check_without_lag(),
    }
    poses = random_poses(40_000)
    reference, h = exact.value(poses), h_of(poses)
    rows = []
    for grid in (
        Grid(spacing=0.2, headings=32, speed_spacing=0.2, accelerations=11),
        Grid(spacing=0.15, headings=48, speed_spacing=0.15, accelerations=15),
    ):
        coarse, cost = solved(grid)
        rows.append({**cost, **compare(coarse.value(poses), reference, h)})
    results["convergence_to_the_default"] = rows
    write_public(RESULTS, results)
    print(RESULTS.read_text())


if __name__ == "__main__":
    main()
