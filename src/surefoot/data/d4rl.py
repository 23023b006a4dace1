"""Reading of D4RL's HDF5 files: costs, and where missing next observations and timeouts, are derived.

Costs come from a labeller, a function of (observations, actions, next observations) with one row a step, or from the
distance traveled (`surefoot.data.travel`).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import h5py
import numpy as np
from jaxtyping import Bool, Float

from surefoot.data.allowance import Allowance
from surefoot.data.checks import (
    NEAR_REWARDS,
    check_dataset,
    check_shape,
    columns_of,
    flag_values,
    float32_values,
    refuse,
)
from surefoot.data.dataset import Dataset
from surefoot.data.storage import check_numbers, check_storage, has_key, open_array, read_array, reading
from surefoot.data.travel import PLACES, TravelCost, check_places, read_places
from surefoot.errors import ConfigError
from surefoot.ranges import NUMBER, Range, Ranged
from surefoot.tasks import TASKS, Task

Labeller = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(observations [N, obs], actions [N, act], next observations [N, obs]) -> costs [N], at least 0."""


@dataclass(frozen=True)
class SpeedLimit(Ranged):
    """Cost 1 where the velocity after the step is above a limit, else 0: Safety-Gymnasium's velocity tasks.

    The simulator takes the mean velocity over the step. A logged observation has the velocity at its end, which is the
    nearest that data hold.
    """

    limit: Annotated[float, Range("[0, inf)")]
    """Limit in meters per second."""
    columns: Annotated[tuple[int, ...], Range(NUMBER)]
    """Columns of the observation with the forward velocity; of two columns, the norm counts."""

    def __call__(self, observations: np.ndarray, actions: np.ndarray, next_observations: np.ndarray) -> np.ndarray:
        """Costs of N steps.

        Args:
            observations: Observations before the steps [N, obs].
            actions: Actions [N, act].
            next_observations: Observations after the steps [N, obs].

        Returns:
            Costs 0 or 1 [N], float32.
        """
        velocities = next_observations[:, list(self.columns)].astype(np.float64)
        speed = velocities[:, 0] if len(self.columns) == 1 else np.sqrt((velocities**2).sum(1))
        return (speed > self.limit).astype(np.float32)


_COPIES = 2.5
"""Copies of the arrays in memory while next observations are derived and rows left out."""


def labeller_of(task: Task) -> Labeller | TravelCost | None:
    """Labeller of data of the task's robot that have no costs; None where none is known."""
    return None if task.d4rl is None else task.d4rl.labeller()


def further_columns(task: Task) -> int | None:
    """Columns of D4RL's observations, where they extend beyond the task's; None where they do not."""
    return None if task.d4rl is None else task.d4rl.columns


def load_d4rl(path: str | os.PathLike[str], task: Task, *, labeller: Labeller | TravelCost | None = None) -> Dataset:
    """Read D4RL's file of the task's robot.

    Without `timeouts` an episode is cut at the task's horizon. Without `next_observations` the next observation is that
    of the following row. The last step of an episode then has none: it is left out where the episode was cut, which so
    ends a step earlier, and keeps its own observation where the episode terminated. The last step of an unfinished
    episode is left out.

    Args:
        path: HDF5 file.
        task: Task of the robot.
        labeller: Labels steps with costs; None: `Task.d4rl`.

    Returns:
        Transitions.

    Raises:
        DataError: The file does not hold such data.
        ConfigError: No labeller is known.
    """
    path = Path(path)
    labeller = labeller or labeller_of(task)
    if labeller is None:
        known = ", ".join(name for name, one in TASKS.items() if one.d4rl is not None)
        raise ConfigError(
            f"{path}: D4RL's data have no costs, and no cost labeller is known for {task.name} ({known})."
        )
    with reading(path) as file:
        keys = ["observations", "actions", "terminals"]
        keys += [key for key in ("next_observations", "timeouts") if has_key(path, file, key)]
        # Under another name they are meant to be there.
        keys += ["rewards"] if any(has_key(path, file, name) for name in ("rewards", *NEAR_REWARDS)) else []
        if isinstance(labeller, TravelCost) and "rewards" not in keys:
            refuse(path, "rewards", expected=f"a key of that name, of which costs of {task.name} follow", found="none")
        nodes = {key: _open(path, file, key, task) for key in keys}
        rows, allowance = len(nodes["observations"]), Allowance(path, copies=_COPIES)
        for key, node in nodes.items():
            if len(node) != rows:
                refuse(path, key, expected=f"{rows} rows as in observations", found=f"{len(node)}")
            check_storage(path, key, node)
            allowance.take(key, node)
        places = None
        if isinstance(labeller, TravelCost) or has_key(path, file, PLACES):
            places = read_places(path, file, rows, labeller, allowance)
        arrays = {
            key: read_array(path, key, node, float32_values, columns=columns_of(key, task))
            for key, node in nodes.items()
        }
    terminated = flag_values(path, "terminals", arrays["terminals"])
    if "timeouts" in arrays:
        truncated = flag_values(path, "timeouts", arrays["timeouts"]) & ~terminated
    else:
        truncated = cut_at(terminated, task.horizon)
    # Before anything is left out: a step's cost may depend on its neighbours.
    ended = terminated | truncated
    if places is not None:
        check_places(path, places, ended)
    entered = arrays.get("next_observations")
    kept = np.ones(rows, bool)
    if entered is None:
        entered, truncated, kept = _following(arrays["observations"], terminated, truncated)
    observations, actions, entered = (part[kept] for part in (arrays["observations"], arrays["actions"], entered))
    if isinstance(labeller, TravelCost):
        costs = labeller(places, arrays["actions"], arrays["rewards"], ended)[kept]
    else:
        costs = np.asarray(labeller(observations, actions, entered), np.float32)
    dataset = Dataset(
        task=task.name,
        observations=observations,
        actions=actions,
        rewards=arrays["rewards"][kept] if "rewards" in arrays else None,
        costs=costs,
        next_observations=entered,
        terminated=terminated[kept],
        truncated=truncated[kept],
    )
    check_dataset(path, dataset, task)
    return dataset


def cut_at(terminated: Bool[np.ndarray, " N"], horizon: int) -> Bool[np.ndarray, " N"]:
    """Flags of the steps after which a horizon cuts episodes.

    Args:
        terminated: Whether the task ended the episode with the step [N].
        horizon: Longest episode in steps.

    Returns:
        Whether the episode is cut after the step [N].
    """
    truncated = np.zeros(len(terminated), bool)
    start = 0
    for end in [*np.flatnonzero(terminated).tolist(), len(terminated)]:
        # The termination itself, if there is one, ends its step whether or not it is the horizon's.
        truncated[start + horizon - 1 : end : horizon] = True
        start = end + 1
    return truncated


def _following(
    observations: Float[np.ndarray, "N obs"], terminated: Bool[np.ndarray, " N"], truncated: Bool[np.ndarray, " N"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(next observations, truncations moved in front of rows without one, whether each row has one)."""
    entered = np.concatenate([observations[1:], observations[-1:]])
    entered[terminated] = observations[terminated]
    kept = ~truncated
    kept[-1] &= terminated[-1]
    moved = np.zeros_like(truncated)
    moved[:-1] = truncated[1:]
    # An episode of one step vanishes as a whole: its end must not be moved into the one before.
    ended_before = (terminated | truncated)[:-1]
    moved[:-1] &= ~ended_before
    return entered, moved, kept


def _open(path: Path, file: h5py.File, key: str, task: Task) -> h5py.Dataset:
    """Open the array under `key`, of at least as many columns as the task has."""
    node = open_array(path, file, key)
    check_numbers(path, key, node)
    check_shape(path, key, node.shape, task, also=further_columns(task))
    if not len(node):
        refuse(path, key, expected="at least one row", found="0 rows")
    return node
