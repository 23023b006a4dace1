"""Logged episodes in memory, with their task: the data as a user of the Python API holds them."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from surefoot.data import library
from surefoot.data.checks import check_dataset, flag_values, float32_values
from surefoot.data.dataset import Dataset
from surefoot.data.logs.arrays import frame_log
from surefoot.data.logs.check import Checked, log_remarks
from surefoot.data.logs.importing import transitions_of
from surefoot.data.logs.sources import open_log
from surefoot.data.logs.table import Log
from surefoot.data.own_tasks import find_task
from surefoot.data.remarks import remarks
from surefoot.errors import ConfigError, DataError
from surefoot.observer import Observer
from surefoot.tasks import Task

PLACE = Path("episodes")
"""Name in messages of data that lie in no file."""


@dataclass(frozen=True, eq=False)
class Episodes:
    """Logged episodes of a task, in memory and checked. `len` counts the complete ones.

    Made by `from_frame` (a table of the log's columns), `from_log` (its files), `from_arrays` (transitions as a policy
    learns them) or `from_file` (data that were imported).
    """

    dataset: Dataset
    """The transitions: observations, actions in [-1, 1], rewards, costs, h."""
    task: Task
    """The task, with the columns and numbers that came from the log."""
    remarks: tuple[str, ...] = ()
    """Sentences on suspicious data, and on data that were interpreted in another way than the log says."""

    @classmethod
    def from_frame(cls, frame: Any, task: Task) -> "Episodes":
        """Transitions of a table of a log's columns, as the task file of `task` says. Warns of what is suspicious.

        Args:
            frame: Data frame of pandas or polars, table of pyarrow, or dictionary from columns to arrays.
            task: Task made of a task file (`Task.from_file`, `Task.from_env`, `Task.from_minari`).

        Returns:
            Checked episodes, whose `task` has the table's columns and numbers.

        Raises:
            DataError: One sentence that names row, column, expected and found.
            ConfigError: The task was made without a task file.
        """
        return cls._from(frame_log(frame), task)

    @classmethod
    def from_log(cls, paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], task: Task) -> "Episodes":
        """Transitions of a log in files, as the task file of `task` says. Warns of what is suspicious.

        Args:
            paths: File or folder, or several that are one log: CSV, Parquet, NPZ, HDF5, folders of Minari's or
                LeRobot's. They must fit into memory; `surefoot data import` takes larger ones.
            task: Task made of a task file (`Task.from_file`, `Task.from_env`, `Task.from_minari`).

        Returns:
            Checked episodes, whose `task` has the log's columns and numbers.

        Raises:
            DataError: One sentence that names file, row, column, expected and found.
            ConfigError: The task was made without a task file.
        """
        given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
        return cls._from(open_log([Path(path) for path in given]), task)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], task: Task | str | None = None) -> "Episodes":
        """Transitions of a data file that `surefoot data import`, `surefoot collect` or DSRL wrote.

        Args:
            path: Data file or folder.
            task: Task or its name; None: as the file's card says.

        Returns:
            Checked episodes.

        Raises:
            DataError: The file does not hold data of the task.
            ConfigError: No task is given and the file has no card that names one.
        """
        place = Path(path)
        if isinstance(task, Task):
            found = task
        else:
            found = library.task_of(place) if task is None else find_task(task, data=place)
        if found is None:
            raise ConfigError(f"{place}: expected a card that says whose data they are, found none; give the task.")
        dataset = library.load(place, found)
        return cls(dataset, found, tuple(_warned_of(remarks(dataset, found, place=str(place)))))

    @classmethod
    def from_arrays(
        cls,
        task: Task,
        *,
        observations: ArrayLike,
        actions: ArrayLike,
        costs: ArrayLike,
        terminated: ArrayLike,
        truncated: ArrayLike,
        rewards: ArrayLike | None = None,
        next_observations: ArrayLike | None = None,
        constraints: ArrayLike | None = None,
    ) -> "Episodes":
        """Transitions as a policy learns them, episode after episode. Warns of what is suspicious.

        Args:
            task: Task of the transitions.
            observations: [N, obs], before each step.
            actions: [N, act], scaled to [-1, 1].
            costs: [N], at least 0.
            terminated: [N], true in the last step of an episode that the task ended.
            truncated: [N], true in the last step of an episode that was cut.
            rewards: [N]; None where there are none.
            next_observations: [N, obs], after each step; None: the following row, and in an episode's last step its
                own.
            constraints: [N], h of the state that each step enters, > 0 is a violation; for tasks with a signal.

        Returns:
            Checked episodes.

        Raises:
            DataError: One sentence that names array, expected and found.
        """
        columns = {"observations": observations, "actions": actions, "rewards": rewards, "costs": costs}
        columns |= {"next_observations": next_observations, "constraints": constraints}
        for key in ("observations", "actions", "costs"):
            if columns[key] is None:
                raise DataError(f"{PLACE}: {key}: expected numbers, found none.")
        found = {key: _numbers(key, one) for key, one in columns.items() if one is not None}
        ends = {"terminated": _flags("terminated", terminated), "truncated": _flags("truncated", truncated)}
        repeated: list[str] = []
        if next_observations is None:
            ended = ends["terminated"] | ends["truncated"]
            _check_rows(found["observations"], ended)
            found["next_observations"], count = _following(found["observations"], ended)
            repeated = [
                f"{PLACE}: next_observations: none were given, so the last step of {count:,} episodes is followed "
                f"by its own observation"
            ]
        dataset = Dataset(task.name, **{"rewards": None, **found, **ends})  # pyright: ignore[reportArgumentType]
        check_dataset(PLACE, dataset, task, finite=True)
        return cls(dataset, task, tuple(_warned_of([*repeated, *remarks(dataset, task, place=str(PLACE))])))

    @classmethod
    def _from(cls, log: Log, task: Task) -> "Episodes":
        if task.file is None:
            raise ConfigError(
                f"task {task.name}: expected one of a task file, which says what a log's columns are, found none; make "
                f"it by Task.from_file, or hand over transitions by Episodes.from_arrays."
            )
        dataset, imported, constraints = transitions_of(log, task.file)
        found = [*imported.sentences, *remarks(dataset, imported.task)]
        found += log_remarks(Checked(dataset, imported.file, constraints))
        return cls(dataset, imported.task, tuple(_warned_of(f"{log.name}: {sentence}" for sentence in found)))

    def __len__(self) -> int:
        """Complete episodes."""
        return len(self.dataset.lengths)

    @property
    def lengths(self) -> Int[np.ndarray, " E"]:
        """Steps of every complete episode."""
        return self.dataset.lengths

    @property
    def returns(self) -> Float[np.ndarray, " E"]:
        """Sum of the rewards of every complete episode. Raises `MissingRewardsError`."""
        return self.dataset.returns

    @property
    def cost_returns(self) -> Float[np.ndarray, " E"]:
        """Sum of the costs of every complete episode."""
        return self.dataset.cost_returns


def _warned_of(sentences: Iterable[str]) -> list[str]:
    """The sentences, after a warning of each."""
    found = list(sentences)
    Observer().remark(found)
    return found


def _array(key: str, values: ArrayLike) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError as error:  # lists of different lengths
        raise DataError(f"{PLACE}: {key}: expected one row a step, found rows of different lengths.") from error


def _numbers(key: str, values: ArrayLike) -> np.ndarray:
    array = _array(key, values)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{PLACE}: {key}: expected numbers, found {array.dtype}.")
    return float32_values(PLACE, key, array)


def _flags(key: str, values: ArrayLike) -> np.ndarray:
    array = _array(key, values)
    if array.ndim != 1 or array.dtype.kind not in "biuf":
        raise DataError(f"{PLACE}: {key}: expected one truth value a step, found {array.dtype} {list(array.shape)}.")
    return flag_values(PLACE, key, array)


def _check_rows(observations: np.ndarray, ended: np.ndarray) -> None:
    if observations.ndim != 2 or len(observations) != len(ended) or not len(ended):
        raise DataError(
            f"{PLACE}: observations: expected shape [N, obs] with N as in terminated, {len(ended)}, found "
            f"{list(observations.shape)}."
        )


def _following(observations: np.ndarray, ended: np.ndarray) -> tuple[np.ndarray, int]:
    """The observation after each step, its own where an episode ends; and how often that is."""
    last = ended.copy()
    last[-1] = True
    following = np.concatenate([observations[1:], observations[-1:]])
    return np.where(last[:, None], observations, following), int(last.sum())
