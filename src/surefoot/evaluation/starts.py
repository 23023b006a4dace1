"""First states of PointRobot's evaluation, equal for every algorithm and seed.

This floor does not know the exact feasible set, so it comes in as a function from poses to values.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from surefoot.envs import point_robot
from surefoot.errors import ConfigError
from surefoot.numerics import pinned
from surefoot.ranges import check_count

FEASIBLE_VALUE = -0.05
"""Largest exact value of a feasible start, in meters; between it and 0 a start is too close to call."""

ExactValue = Callable[[Float[np.ndarray, "n pose"]], Float[np.ndarray, " n"]]
"""V* in metres at poses (x, y, v, theta), with slow actuators (x, y, v, theta, a); > 0 where a violation cannot be
avoided."""

_SEED = 20_01_2024
_DRAWN_AT_ONCE = 1024
_MOST_DRAWS = 1000


class Starts(NamedTuple):
    """First poses, start set after start set: feasible, infeasible, fixed."""

    poses: Float[np.ndarray, "n pose"]
    sets: tuple[str, ...]
    """Start set of each pose."""
    episodes: tuple[int, ...]
    """Number of each pose within its set."""


@pinned()
def draw_starts(
    exact_value: ExactValue,
    *,
    feasible: int,
    infeasible: int,
    hazards: Float[np.ndarray, "hazards 2"] = point_robot.HAZARDS,
    robot: point_robot.Robot = point_robot.POINT_ROBOT,
) -> Starts:
    """Draw starts from the reset distribution of the robot's data. Fewer starts are the first of more.

    Args:
        exact_value: V* of poses, in meters.
        feasible: Starts with V* <= -0.05 m.
        infeasible: Starts with V* > 0 that are not inside a hazard yet.
        hazards: Centers of the hazards that `exact_value` is about, in meters, [hazards, 2].
        robot: The robot, with its two fixed starts.

    Returns:
        The starts.

    Raises:
        ConfigError: A number is out of range, or too few starts of a set were found.
    """
    for name, number in (("feasible", feasible), ("infeasible", infeasible)):
        check_count(number, f"{name} starts", "[1, 10^7]")
    key = jax.random.key(_SEED)
    safe: list[np.ndarray] = []
    unsafe: list[np.ndarray] = []
    for draw in range(_MOST_DRAWS):
        if sum(map(len, safe)) >= feasible and sum(map(len, unsafe)) >= infeasible:
            break
        keys = jax.random.split(jax.random.fold_in(key, draw), _DRAWN_AT_ONCE)
        poses = np.asarray(jax.vmap(lambda one: point_robot.reset(one, robot=robot)[0].pose)(keys))
        value = exact_value(poses)
        safe.append(poses[value <= FEASIBLE_VALUE])
        unsafe.append(poses[is_infeasible_start(poses, value, hazards)])
    else:
        raise ConfigError("exact set: expected feasible and infeasible starts, found too few of one kind.")
    sets = {
        "feasible": np.concatenate(safe)[:feasible],
        "infeasible": np.concatenate(unsafe)[:infeasible],
        "fixed": np.array(robot.fixed_starts, np.float32),
    }
    return Starts(
        poses=np.concatenate(list(sets.values())).astype(np.float32),
        sets=tuple(name for name, poses in sets.items() for _ in poses),
        episodes=tuple(index for poses in sets.values() for index in range(len(poses))),
    )


@pinned()
def is_infeasible_start(
    poses: Float[np.ndarray, "n pose"],
    value: Float[np.ndarray, " n"],
    hazards: Float[np.ndarray, "hazards 2"] = point_robot.HAZARDS,
) -> np.ndarray:
    """Whether a violation is unavoidable but has not begun: V* > 0 and h <= 0.

    Args:
        poses: First poses, [n, pose].
        value: V* of the poses, in meters, [n].
        hazards: Centers of the hazards, in meters, [hazards, 2].

    Returns:
        Flags, [n].
    """
    return (value > 0) & (np.asarray(point_robot.constraint(jnp.asarray(poses[:, :2]), hazards)) <= 0)
