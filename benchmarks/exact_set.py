"""Checks the exact feasible set of PointRobot: against itself, a Hamilton-Jacobi solver and a search over controls.

    JAX_PLATFORMS=cpu python benchmarks/exact_set.py        # about 4 minutes on one core, 1.5 GB

writes benchmarks/results/exact_set.json. tests/unit/test_exact_set.py runs the same checks, smaller.
"""

import math
import platform
import sys
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import hj_reachability as hj
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from _machine import processor, write_public
from _searches import search_figures
from surefoot.envs.point_robot import GOAL, GOAL_RADIUS, TIME_STEP, constraint, move
from surefoot.safety.exact import ExactSet, slice_poses, solve_point_robot
from surefoot.safety.region import SLICES, score_region

RESULTS = Path(__file__).parent / "results" / "exact_set.json"
BORDER = 0.05
"""Points with |V| below this, in metres, count as near the border; V's slope there is near 1 across it."""


# ---- (a) against itself -------------------------------------------------------------------------------------------


def compare(ours: Float[np.ndarray, " n"], reference: Float[np.ndarray, " n"]) -> dict[str, float]:
    """IoU of the infeasible sets, and the differences in V near the border, metres."""
    difference = np.abs(ours - reference)[np.abs(reference) < BORDER]
    return {
        "iou": score_region(ours, reference).iou,
        "mean_border_difference": float(difference.mean()),
        "p99_border_difference": float(np.quantile(difference, 0.99)),
    }


def check_convergence(*, finest: float = 0.03) -> list[dict[str, Any]]:
    """Every grid against the finest, on the published slices."""
    poses = [slice_poses(*where) for where in SLICES]
    fine = solve_point_robot(spacing=finest, top_speed=1.5)
    reference = [fine.value(slice_) for slice_ in poses]
    del fine
    rows = []
    for spacing, headings in ((0.1, 128), (0.1, 256), (0.06, 64), (0.06, 128), (0.05, 128), (0.04, 128)):
        started = time.process_time()
        grid = solve_point_robot(spacing=spacing, headings=headings, top_speed=1.5)
        seconds = time.process_time() - started
        slices = [compare(grid.value(slice_), truth) for slice_, truth in zip(poses, reference, strict=True)]
        rows.append({"spacing": spacing, "headings": headings, "cpu_seconds_to_1.5_m/s": seconds, "slices": slices})
    return rows


# ---- (b) against hj_reachability ----------------------------------------------------------------------------------


class Unicycle(hj.ControlAndDisturbanceAffineDynamics):
    """PointRobot in continuous time; the control minimises V, so that V <= 0 is safe, as with us."""

    def __init__(self) -> None:
        nothing = hj.sets.Box(jnp.zeros(1), jnp.zeros(1))
        super().__init__("min", "max", hj.sets.Box(-jnp.ones(2), jnp.ones(2)), nothing)

    def open_loop_dynamics(self, state: Array, time: Any) -> Any:
        return jnp.array([state[2] * jnp.cos(state[3]), state[2] * jnp.sin(state[3]), 0.0, 0.0])

    def control_jacobian(self, state: Array, time: Any) -> Any:
        return jnp.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])

    def disturbance_jacobian(self, state: Array, time: Any) -> Any:
        return jnp.zeros((4, 1))


class HJBox(NamedTuple):
    """A 4-D grid for the Hamilton-Jacobi solver; headings cover the circle."""

    low: tuple[float, float, float]
    """x, y in metres, v in metres per second."""
    high: tuple[float, float, float]
    shape: tuple[int, int, int, int]


def solve_hj(box: HJBox, *, accuracy: str) -> tuple[Float[np.ndarray, "x y v h 4"], Float[np.ndarray, "x y v h"]]:
    """Poses of the grid and their V, over a horizon long enough to stop from the box's top speed."""
    domain = hj.sets.Box(np.array([*box.low, 0.0]), np.array([*box.high, 2 * np.pi]))
    grid = hj.Grid.from_lattice_parameters_and_boundary_conditions(domain, box.shape, periodic_dims=3)
    h = constraint(grid.states[..., :2])
    settings = hj.SolverSettings.with_accuracy(accuracy, value_postprocessor=hj.solver.static_obstacle(h))
    horizon = box.high[2] + 0.1
    values = hj.step(settings, Unicycle(), grid, 0.0, h, -horizon, progress_bar=False)
    return np.asarray(grid.states, np.float64), np.asarray(values)


def check_hj(exact: ExactSet, box: HJBox, *, accuracy: str, rim: float) -> list[dict[str, float]]:
    """Per speed on the solver's own grid points (those further than `rim` metres from its border): IoU and differences.

    The solver is continuous in time, where braking from v takes v dt / 2 less way than the environment's Euler steps:
    its V should lie below ours by something between 0 and that.
    """
    states, values = solve_hj(box, accuracy=accuracy)
    inside = np.all(
        (states[..., :2] > np.add(box.low[:2], rim)) & (states[..., :2] < np.subtract(box.high[:2], rim)), -1
    )
    rows = []
    for level in range(box.shape[2]):
        kept = inside[:, :, level]
        poses, theirs = states[:, :, level][kept], values[:, :, level][kept]
        if poses[0, 2] < 1e-6:
            continue  # backwards is the same again, and standing still is h
        ours = exact.value(poses)
        near = np.abs(ours) < BORDER
        rows.append(
            {
                "speed": float(poses[0, 2]),
                "iou": score_region(theirs, ours).iou,
                "mean_border_difference": float((theirs - ours)[near].mean()),
                "continuous_time_bound": -float(poses[0, 2]) * TIME_STEP / 2,
            }
        )
    return rows


# ---- (c) against a search over controls ---------------------------------------------------------------------------


def braking_turns(steps: int) -> Float[np.ndarray, "sequences steps"]:
    """Turn rates in {-1, 0, 1} that switch at most twice, switching times 3 and 5 steps apart."""
    sequences = set()
    for first in range(0, steps, 3):
        for second in range(first, steps, 5):
            lengths = (first, second - first, steps - second)
            for rates in np.ndindex(3, 3, 3):
                sequences.add(tuple(np.repeat(np.array(rates) - 1, lengths)))
    return np.array(sorted(sequences), np.float32)


@jax.jit
def worst_constraint(
    pose: Float[Array, " 4"], throttle: Float[Array, " steps"], turn: Float[Array, " steps"]
) -> Float[Array, ""]:
    """max over time of h under open-loop controls; a throttle of NaN brakes, exactly to a stand."""

    def body(pose, control):
        brake = -pose[2] / TIME_STEP
        entered = move(pose, jnp.stack([jnp.where(jnp.isnan(control[0]), brake, control[0]), control[1]]))
        return entered, constraint(entered[:2])

    last, h = jax.lax.scan(body, pose, jnp.stack([throttle, turn], -1))
    # A robot that still rolls would have been let off too early.
    stopped = jnp.abs(last[2]) < 1e-4
    return jnp.where(stopped, jnp.maximum(constraint(pose[:2]), h.max()), jnp.inf)


@jax.jit
def search_braking(poses: Float[Array, "n 4"], turns: Float[Array, "sequences steps"]) -> Float[Array, " n"]:
    """Smallest worst h over full braking with the given turns."""
    brake = jnp.full(turns.shape[1:], jnp.nan)
    return jax.lax.map(lambda pose: jax.vmap(lambda turn: worst_constraint(pose, brake, turn))(turns).min(), poses)


@partial(jax.jit, static_argnames="samples")
def search_freely(poses: Float[Array, "n 4"], keys: Key[Array, " n"], *, samples: int) -> Float[Array, " n"]:
    """Smallest worst h over random controls in {-1, 0, 1}^2, each held 1 to 10 steps; brakes after 0 to 30."""
    steps, free = 110, 30

    def best(inputs):
        pose, key = inputs
        pick_key, hold_key, length_key = jax.random.split(key, 3)
        picks = jax.random.randint(pick_key, (samples, steps, 2), -1, 2).astype(jnp.float32)
        hold = jax.random.randint(hold_key, (samples, 1), 1, 11)
        held = jnp.take_along_axis(picks, (jnp.arange(steps) // hold)[..., None], 1)
        braking = jnp.arange(steps) >= jax.random.randint(length_key, (samples, 1), 0, free + 1)
        throttle = jnp.where(braking, jnp.nan, held[..., 0])
        return jax.vmap(worst_constraint, (None, 0, 0))(pose, throttle, held[..., 1]).min()

    return jax.lax.map(best, (poses, keys))


def check_search(exact: ExactSet, *, states: int, samples: int, seed: int = 0) -> dict[str, Any]:
    """Random states with |v| up to 2 m/s: by how much (metres) each search misses V*; negative would be beating it."""
    generator = np.random.default_rng(seed)
    high = np.array([2.9, 2.9, 2.0, np.pi])
    poses = generator.uniform(-high, high, (states, 4)).astype(np.float32)
    value, h = exact.value(poses), np.asarray(constraint(jnp.asarray(poses[:, :2])))
    keys = jax.random.split(jax.random.key(seed), states)
    braking = np.asarray(search_braking(jnp.asarray(poses), jnp.asarray(braking_turns(42)))) - value
    free = np.asarray(search_freely(jnp.asarray(poses), keys, samples=samples)) - value
    gaps = {"braking": braking, "free": free, "best": np.minimum(braking, free)}
    return search_figures(gaps, value, h, samples=samples)


# ---- the rest -----------------------------------------------------------------------------------------------------


def largest_value_in_goal(exact: ExactSet, *, speed: float) -> float:
    """The largest V* over poses inside the goal with speeds up to `speed` (m/s): where leaving the goal out matters."""
    offsets = np.linspace(-GOAL_RADIUS, GOAL_RADIUS, 13)
    grid = np.stack(np.meshgrid(GOAL[0] + offsets, GOAL[1] + offsets, np.linspace(0, 2 * np.pi, 129)), -1).reshape(
        -1, 3
    )
    grid = grid[np.hypot(grid[:, 0] - GOAL[0], grid[:, 1] - GOAL[1]) <= GOAL_RADIUS + 1e-9]
    # V* never falls with the speed (a prefix argument again), so the largest speed is the one to look at.
    poses = np.stack([grid[:, 0], grid[:, 1], np.full(len(grid), speed), grid[:, 2]], -1)
    return float(exact.value(poses).max())


def main() -> None:
    started = time.perf_counter()
    cpu = time.process_time()
    exact = solve_point_robot()
    cpu = time.process_time() - cpu
    box = HJBox((-3.2, -3.2, -0.2), (3.2, 3.2, 1.8), (45, 45, 11, 24))
    results = {
        "command": "JAX_PLATFORMS=cpu python " + " ".join(sys.argv),
        "machine": {"processor": processor(), "system": platform.platform(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("jax", "jaxlib", "numpy", "hj-reachability")},
        "default": {
            "spacing": exact.spacing,
            "shape_speed_heading_x_y": exact.values.shape,
            "megabytes": exact.values.nbytes / 1e6,
            "cpu_seconds": cpu,
            "value_of_start_(-1.8,0,2,pi/4)": float(exact.value(np.array([[-1.8, 0.0, 2.0, math.pi / 4]]))[0]),
            "largest_value_in_goal": {str(speed): largest_value_in_goal(exact, speed=speed) for speed in (2.0, 2.5)},
        },
        "convergence": {"reference_spacing": 0.03, "reference_headings": 128, "rows": check_convergence()},
        "search": check_search(exact, states=600, samples=2000),
        "hj_reachability": {
            "accuracy": "very_high",
            "box": box._asdict(),
            "speeds": check_hj(exact, box, accuracy="very_high", rim=0.5),
        },
    }
    results["wall_seconds"] = time.perf_counter() - started
    write_public(RESULTS, results)
    print(RESULTS.read_text())


if __name__ == "__main__":
    main()
