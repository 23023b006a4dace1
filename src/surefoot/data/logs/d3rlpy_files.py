"""Datasets of d3rlpy 2 (`ReplayBuffer.dump`, format 2.1) as logs; the package is not needed.

The HDF5 file holds arrays `observations_<i>` [T, obs], `actions_<i>` [T, act], `rewards_<i>` [T, 1] and a flag
`terminated_<i>` for episode i. The observation that the last step entered is not kept.
"""

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from surefoot.data.checks import refuse
from surefoot.data.logs.table import Batch, Log, split_columns
from surefoot.data.storage import NUMBER_KINDS, check_storage, find, reading

EPISODE, TERMINATED = "episode", "terminated"
_STEPS = "observations", "actions", "rewards"
"""Arrays with one row a step, in the order of the log's columns."""
_COUNT, _MARKS = "num_episodes", ("columns", "num_episodes", "version")


def is_d3rlpy(names: Collection[str]) -> bool:
    """Whether an HDF5 file with these keys is a dataset of d3rlpy."""
    return set(_MARKS) <= set(names)


def d3rlpy_log(name: str, path: Path, file: h5py.File) -> Log:
    """Log in an open file: columns of observations, actions, rewards, `terminated` and the episode's number.

    Args:
        name: Name of the log, for messages.
        path: File, for messages.
        file: Open file.

    Returns:
        The log.

    Raises:
        DataError: The file holds no episode, or an episode lacks an array.
    """
    if not _count(path, file):
        refuse(path, _COUNT, expected="at least one episode", found="0")
    return Log(name, tuple(_episode(path, file, 0)), partial(_batches, path))


def _batches(path: Path, columns: Sequence[str], texts: Collection[str]) -> Iterator[Batch]:
    """One episode a batch."""
    with reading(path) as file:
        for number in range(_count(path, file)):
            found = _episode(path, file, number)
            for name in columns:
                if name not in found:
                    expected = f"as many numbers as in episode 0, {name} among them"
                    refuse(path, f"{name.partition('[')[0]}_{number}", expected=expected, found="fewer")
            steps = np.arange(len(found[EPISODE]))
            yield Batch({name: found[name] for name in columns}, path, steps, f"episode {number}, step")


def _count(path: Path, file: h5py.File) -> int:
    return int(_array(path, file, _COUNT, axes=(0,)))


def _episode(path: Path, file: h5py.File, number: int) -> dict[str, np.ndarray]:
    """The columns of one episode; `terminated` is 1 in the last row alone, where the flag is set."""
    arrays = {name: _array(path, file, f"{name}_{number}", axes=(1, 2)) for name in _STEPS}
    steps = len(arrays["rewards"])
    for name, values in arrays.items():
        if len(values) != steps or not steps:
            expected = f"a row for each of {max(steps, 1)} rewards"
            refuse(path, f"{name}_{number}", expected=expected, found=f"{len(values)}")
    found = {key: column for name, values in arrays.items() for key, column in split_columns(name, values).items()}
    ended = np.zeros(steps)
    ended[-1] = float(_array(path, file, f"{TERMINATED}_{number}", axes=(0,)))
    return {**found, TERMINATED: ended, EPISODE: np.full(steps, float(number))}


def _array(path: Path, file: h5py.File, key: str, *, axes: tuple[int, ...]) -> np.ndarray:
    """Numbers of a key. Raises `DataError` for a key that is missing or holds something else, as tuples and images."""
    node = find(path, file, key)
    if not isinstance(node, h5py.Dataset) or node.ndim not in axes or node.dtype.kind not in NUMBER_KINDS:
        expected = "one number" if axes == (0,) else "an array of numbers, a row a step"
        refuse(path, key, expected=expected, found="none" if node is None else "something else")
    check_storage(path, key, node)
    return np.asarray(node[()], np.float64)
