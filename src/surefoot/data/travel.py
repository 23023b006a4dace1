"""Costs of D4RL's runners as TREBI defines them: the speed over each step."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import h5py
import numpy as np
from jaxtyping import Bool, Float

from surefoot.data.allowance import Allowance
from surefoot.data.checks import check_finite, refuse
from surefoot.data.jumps import place_jumps
from surefoot.data.storage import check_numbers, check_storage, has_key, open_array, read_array
from surefoot.errors import ConfigError
from surefoot.ranges import Range, Ranged
from surefoot.tasks import Task

PLACES = "infos/qpos"
"""Key of D4RL's files with positions before each step, the place along the track first."""


@dataclass(frozen=True)
class TravelCost(Ranged):
    """Cost |x' - x| / dt of every step in meters per second, x before it and x' after it, as the simulator charges.

    No file holds the place after an episode's last step. There the cost follows from the reward, which is dx / dt +
    alive - control |a|^2 by the robots' definition. In a file without places it does so for every step.
    """

    time_step: Annotated[float, Range("(0, inf)")]
    """Seconds per environment step."""
    alive: Annotated[float, Range("(-inf, inf)")]
    """Reward of a step for not having fallen."""
    control: Annotated[float, Range("(-inf, inf)")]
    """Reward lost per squared action."""
    lagged: bool = False
    """Legacy: |x - x_before| / dt, the speed of the previous step, 0 at an episode's first. TREBI's published training
    labels are so, one step behind the costs of its evaluation."""

    def __call__(
        self,
        places: Float[np.ndarray, " N"] | None,
        actions: Float[np.ndarray, "N act"],
        rewards: Float[np.ndarray, " N"],
        ended: Bool[np.ndarray, " N"],
    ) -> Float[np.ndarray, " N"]:
        """Costs of N steps.

        Args:
            places: Place along the track before each step in meters [N]; None where the file has none, which lagged
                costs need.
            actions: Actions [N, act].
            rewards: Rewards [N].
            ended: Whether an episode ends with the step [N].

        Returns:
            Costs in meters per second [N], float32.
        """
        if places is None:
            return np.abs(self._velocity(actions, rewards)).astype(np.float32)
        speed = np.abs(np.diff(places.astype(np.float64))) / self.time_step  # of all rows but the last
        if self.lagged:
            return np.concatenate([[0.0], np.where(ended[:-1], 0.0, speed)]).astype(np.float32)
        last = ended.copy()
        last[-1] = True  # of an unfinished episode
        speed = np.append(speed, 0.0)
        speed[last] = np.abs(self._velocity(actions[last], rewards[last]))
        return speed.astype(np.float32)

    def _velocity(self, actions: np.ndarray, rewards: np.ndarray) -> np.ndarray:
        return rewards.astype(np.float64) - self.alive + self.control * (actions.astype(np.float64) ** 2).sum(1)


def travel_cost(task: Task) -> TravelCost | None:
    """Travel cost of D4RL's data of the task's robot; None for a task that does not charge for speed."""
    found = None if task.d4rl is None else task.d4rl.labeller()
    return found if isinstance(found, TravelCost) else None


def lagged_travel_cost(task: Task) -> TravelCost:
    """Legacy travel cost. Raises `ConfigError` for a task that does not charge for speed."""
    found = travel_cost(task)
    if found is None:
        raise ConfigError(f"{task.name}: expected a task that charges for speed, as Hopper, for lagged costs.")
    return TravelCost(found.time_step, found.alive, found.control, lagged=True)


def check_places(path: Path, places: np.ndarray, ended: np.ndarray) -> None:
    """Check that places do not jump as between two episodes where no episode has ended.

    Args:
        path: File, for messages.
        places: Place along the track before each step in meters [N].
        ended: Whether an episode ends with the step [N].

    Raises:
        DataError: They do.
    """
    found = place_jumps(places, ended)
    if not len(found.rows):
        return
    row = int(found.rows[0])
    leap = abs(places[row + 1] - places[row])
    expected = (
        f"steps like the usual one of {leap / found.lengths[0]:.3g}, or an end in timeouts or terminals"
        if found.lengths[0] < 1e6
        else "an end in timeouts or terminals"
    )
    jump = f"a jump of {leap:.3g} from row {row} to row {row + 1}, as between two episodes"
    more = f", the first of {len(found.rows)}" if found.rows[1:].size else ""
    refuse(path, PLACES, expected=expected, found=jump + more)


def read_places(
    path: Path, file: h5py.File, rows: int | None, labeller: object, allowance: Allowance, *, group: str = ""
) -> np.ndarray | None:
    """Read the places along the track.

    Args:
        path: File, for messages.
        file: Open file.
        rows: Expected number of rows; None: any.
        labeller: Function that labels steps with costs.
        allowance: Memory that the file's arrays may take.
        group: Group of an episode; empty for the file itself.

    Returns:
        Places in meters [rows], float64; None where the file has none and the labeller needs none.

    Raises:
        DataError: The file lacks places that are needed, or they are no such array.
    """
    key = group + PLACES
    if not has_key(path, file, key):
        if isinstance(labeller, TravelCost) and labeller.lagged:
            refuse(path, key, expected="a key of that name, for lagged costs", found="none")
        return None
    node = open_array(path, file, key)
    check_numbers(path, key, node)
    if node.shape is None or node.ndim != 2 or not node.shape[1]:
        found = "no values" if node.shape is None else f"shape {list(node.shape)}"
        refuse(path, key, expected="an array of real numbers [N, positions]", found=found)
    if rows is not None and node.shape[0] != rows:
        refuse(path, key, expected=f"{rows} rows as in observations", found=f"{node.shape[0]}")
    check_storage(path, key, node)
    allowance.take(key, node)

    def first_column(path: Path, key: str, values: np.ndarray, *, first_row: int) -> np.ndarray:
        check_finite(path, key, values, first_row=first_row)
        return values[:, 0].astype(np.float64)

    return read_array(path, key, node, first_column, columns=1)
