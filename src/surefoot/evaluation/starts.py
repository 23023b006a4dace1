"""The first states of PointRobot's evaluation: the same for every algorithm and seed.

Floors below do not know the exact feasible set, so it comes in as a function from poses to values.
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
"""A feasible start has at most this exact value, metres: what lies between it and 0 is too near to call."""

ExactValue = Callable[[Float[np.ndarray, "n pose"]], Float[np.ndarray, " n"]]
"""V* in metres at poses (x, y, v, theta), with slow actuators (x, y, v, theta, a); > 0 where a violation cannot be
avoided."""

_SEED = 20_01_2024
_DRAWN_AT_ONCE = 1024
_MOST_DRAWS = 1000


class Starts(NamedTuple):
    """First poses, set after set: feasible, infeasible, fixed."""

    poses: Float[np.ndarray, "n pose"]
    sets: tuple[str, ...]
    """Name of the set that each pose belongs to."""
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
    """Starts from the reset distribution of the robot's data: `feasible` ones of exact value <= -0.05 m, `infeasible`
    ones of exact value > 0 that are not inside a hazard yet, and the two fixed ones. `hazards` are the centres of those
    that `exact_value` is about, metres.

    Fewer starts are the first of more. Raises `ConfigError` on a negative number, or none at all of a set wanted.
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
    """Where a violation is unavoidable but has not begun: exact value > 0 and h <= 0."""
    return (value > 0) & (np.asarray(point_robot.constraint(jnp.asarray(poses[:, :2]), hazards)) <= 0)
