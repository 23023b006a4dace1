"""Small valid data files, and every kind of bad one with what its refusal must say."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from surefoot.data import Dataset
from surefoot.tasks import TASKS, CostLimit, Task

POINT_ROBOT = TASKS["PointRobot"]
BINARY_TASK = Task("Binary", 3, 2, 40, return_min=-10.0, return_max=30.0, constraints=(CostLimit(10.0),))
"""A task like DSRL's: costs only, no continuous constraint signal."""


def make_dataset(
    task: Task = POINT_ROBOT, *, lengths: Sequence[int] = (20, 30), tail: int = 10, seed: int = 0
) -> Dataset:
    """Random valid data: episodes of these lengths, alternately terminated and truncated, then an unfinished one."""
    rng = np.random.default_rng(seed)
    blocks = [*lengths, tail] if tail else list(lengths)
    observations, entered = [], []
    for length in blocks:
        path = rng.normal(size=(length + 1, task.observation_dim)).astype(np.float32)
        observations.append(path[:-1])
        entered.append(path[1:])
    rows = sum(blocks)
    last = np.cumsum(lengths) - 1
    terminated, truncated = np.zeros(rows, bool), np.zeros(rows, bool)
    terminated[last[::2]] = True
    truncated[last[1::2]] = True
    h = rng.normal(size=rows).astype(np.float32)
    return Dataset(
        task=task.name,
        observations=np.concatenate(observations),
        actions=rng.uniform(-1, 1, (rows, task.action_dim)).astype(np.float32),
        rewards=rng.normal(size=rows).astype(np.float32),
        costs=(h > 0).astype(np.float32),
        next_observations=np.concatenate(entered),
        terminated=terminated,
        truncated=truncated,
        constraints=h if task.has_signal else None,
    )


def file_arrays(dataset: Dataset) -> dict[str, np.ndarray]:
    """Copies of the dataset's arrays under the keys of the file format."""
    names = {"terminated": "terminals", "truncated": "timeouts"}
    return {names.get(name, name): array.copy() for name, array in dataset.arrays()}


def write_arrays(path: Path, arrays: dict[str, np.ndarray], *, card: object = None, **options: object) -> None:
    """Write `arrays` as they are; `options` go to h5py (compression, chunks)."""
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file.create_dataset(key, data=array, **options)
        if card is not None:
            file.attrs["card"] = card


def is_one_sentence(message: str) -> bool:
    """One line, a full stop at its end and nowhere before a space."""
    return "\n" not in message and message.endswith(".") and not re.search(r"[.!?]\s", message)


@dataclass(frozen=True)
class BadFile:
    """How to write a file that PointRobot's loader must refuse, and what the refusal names."""

    name: str
    write: Callable[[Path], object]
    key: str
    """The key that is named; empty where the whole file is at fault."""
    expected: str
    found: str


def _edited(edit: Callable[[dict[str, np.ndarray]], object], *, card: object = None) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        arrays = file_arrays(make_dataset())
        edit(arrays)
        write_arrays(path, arrays, card=card)

    return write


def _put(key: str, index: Any, value: float) -> Callable[[Path], None]:
    return _edited(lambda arrays: arrays[key].__setitem__(index, value))


def _replaced(key: str, change: Callable[[np.ndarray], Any]) -> Callable[[Path], None]:
    return _edited(lambda arrays: arrays.__setitem__(key, change(arrays[key])))


def _without(key: str) -> Callable[[Path], None]:
    return _edited(lambda arrays: arrays.pop(key))


def _renamed(key: str, other: str) -> Callable[[Path], None]:
    return _edited(lambda arrays: arrays.__setitem__(other, arrays.pop(key)))


def _carded(card: object) -> Callable[[Path], None]:
    return _edited(lambda arrays: None, card=card)


def _cut(share: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        write_arrays(path, file_arrays(make_dataset()))
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return write


def _after(edit: Callable[[h5py.File], object]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        write_arrays(path, file_arrays(make_dataset()))
        with h5py.File(path, "r+") as file:
            edit(file)

    return write


def _swap(key: str, put: Callable[[h5py.File], object]) -> Callable[[Path], None]:
    def edit(file: h5py.File) -> None:
        del file[key]
        put(file)

    return _after(edit)


def _damaged_block(path: Path) -> None:
    """A compressed array whose bytes were overwritten: opens, but cannot be read."""
    write_arrays(path, file_arrays(make_dataset()), compression="gzip", chunks=True)
    with h5py.File(path) as file:
        block = file["rewards"].id.get_chunk_info(0)
    with path.open("r+b") as raw:
        raw.seek(block.byte_offset)
        raw.write(b"\xff" * block.size)


def _endless(arrays: dict[str, np.ndarray]) -> None:
    arrays["terminals"][:] = False
    arrays["timeouts"][:] = False


def _one_long_episode(path: Path) -> None:
    write_arrays(path, file_arrays(make_dataset(lengths=(20, 312), tail=0)))


def _long_tail(path: Path) -> None:
    write_arrays(path, file_arrays(make_dataset(lengths=(20,), tail=301)))


def _constant_observations(arrays: dict[str, np.ndarray]) -> None:
    arrays["observations"][:] = 0.5
    arrays["next_observations"][:] = 0.5


def _exchange(one: str, other: str) -> Callable[[dict[str, np.ndarray]], None]:
    def exchange(arrays: dict[str, np.ndarray]) -> None:
        arrays[one], arrays[other] = arrays[other], arrays[one]

    return exchange


def _positive_rewards(arrays: dict[str, np.ndarray]) -> None:
    arrays["rewards"] = np.abs(arrays["rewards"])


def _no_rows(arrays: dict[str, np.ndarray]) -> None:
    arrays.update({key: array[:0] for key, array in arrays.items()})


def _other_task(path: Path) -> None:
    write_arrays(path, file_arrays(make_dataset(BINARY_TASK)))


# The valid file has 60 rows: episodes in rows 0 to 19 and 20 to 49, and a tail of ten.
BAD_FILES = [
    BadFile("missing", lambda path: None, "", "an HDF5 file", "nothing"),
    BadFile("folder", lambda path: path.mkdir(), "", "an HDF5 file", "an empty folder"),
    BadFile("no_bytes", lambda path: path.write_bytes(b""), "", "an HDF5 file", "empty file (0 bytes)"),
    BadFile("text", lambda path: path.write_text("a,b\n1,2\n"), "", "an HDF5 file", "text"),
    BadFile("binary", lambda path: path.write_bytes(b"PK\x03\x04\xff"), "", "an HDF5 file", "another format"),
    BadFile("cut_half", _cut(0.5), "", "a readable HDF5 file", "truncated file"),
    BadFile("cut_start", _cut(0.0005), "", "a readable HDF5 file", "a fault"),
    BadFile("damaged_block", _damaged_block, "rewards", "a readable array", "a fault"),
    BadFile("no_keys", _edited(dict.clear), "observations", "a key of that name", "no key at all"),
    BadFile("other_rewards", _renamed("rewards", "reward"), "rewards", "a key of that name", "only 'actions'"),
    BadFile("no_constraints", _without("constraints"), "constraints", "a key of that name", "only 'actions', 'costs'"),
    BadFile("group", _swap("costs", lambda file: file.create_group("costs")), "costs", "an array", "a group"),
    BadFile(
        "broken_link",
        _swap("costs", lambda file: file.__setitem__("costs", h5py.SoftLink("/gone"))),
        "costs",
        "an array",
        "a broken link",
    ),
    BadFile(
        "null_dataset",
        _swap("costs", lambda file: file.__setitem__("costs", h5py.Empty("f4"))),
        "costs",
        "shape [N] or [N, 1]",
        "no values",
    ),
    BadFile("scalar", _replaced("costs", lambda old: old[0]), "costs", "shape [N] or [N, 1]", "shape []"),
    BadFile("wide_rewards", _replaced("rewards", lambda old: np.stack([old, old], 1)), "rewards", "[N, 1]", "[60, 2]"),
    BadFile("flat_actions", _replaced("actions", lambda old: old[:, 0]), "actions", "shape [N, 2]", "shape [60]"),
    BadFile("other_task", _other_task, "observations", "shape [N, 11] for task PointRobot", "shape [60, 3]"),
    BadFile("other_card", _carded('{"task": "AntRun"}'), "card", "data of task PointRobot", "data of task 'AntRun'"),
    BadFile("card_number", _carded(7), "card", "a JSON object", "int64"),
    BadFile("card_text", _carded("by hand"), "card", "a JSON object", "something that cannot be read"),
    BadFile("card_list", _carded(json.dumps([1])), "card", "a JSON object", "[1]"),
    BadFile("short", _replaced("rewards", lambda old: old[:-1]), "rewards", "60 rows", "59"),
    BadFile("short_first", _replaced("observations", lambda old: old[1:]), "observations", "60 rows", "59"),
    BadFile("no_rows", _edited(_no_rows), "observations", "at least one row", "0 rows"),
    BadFile("strings", _replaced("rewards", lambda old: old.astype("S8")), "rewards", "real numbers", "strings"),
    BadFile("complex", _replaced("rewards", lambda old: old * 1j), "rewards", "real numbers", "'complex64'"),
    BadFile("nan", _put("rewards", [17, 40], np.nan), "rewards", "finite numbers", "nan in row 17"),
    BadFile("inf", _put("observations", (8, 3), np.inf), "observations", "finite numbers", "inf in row 8, column 3"),
    BadFile(
        "too_large",
        _replaced("rewards", lambda old: np.where(np.arange(60) == 5, 1e39, old.astype(float))),
        "rewards",
        "numbers that fit into float32",
        "1e+39 in row 5",
    ),
    BadFile(
        "actions_unscaled",
        _replaced("actions", lambda old: np.where(np.arange(120).reshape(60, 2) == 13, -40.5, 2 * old)),
        "actions",
        "numbers in [-1, 1]",
        "-40.5 in row 6, column 1 (the largest); actions must be scaled to [-1, 1]",
    ),
    BadFile("negative_cost", _put("costs", 4, -0.5), "costs", "numbers >= 0", "-0.5 in row 4"),
    BadFile(
        "flag", _replaced("terminals", lambda old: 3 * old.astype(int)), "terminals", "only 0 and 1", "3 in row 19"
    ),
    BadFile("half", _replaced("timeouts", lambda old: 0.5 * old), "timeouts", "only 0 and 1", "0.5 in row 49"),
    BadFile("no_end", _edited(_endless), "terminals and timeouts", "a 1 where an episode ends", "none in 60 rows"),
    BadFile("too_long", _one_long_episode, "terminals and timeouts", "within 300", "312 steps in rows 20 to 331"),
    BadFile("tail_too_long", _long_tail, "terminals and timeouts", "within 300", "301 steps in rows 20 to 320"),
    BadFile(
        "not_following",
        _put("next_observations", (21, 4), 99.0),
        "next_observations",
        "in row 21, column 4 (the observation of row 22)",
        "99",
    ),
    BadFile(
        "observations_exchanged",
        _edited(_exchange("observations", "next_observations")),
        "next_observations",
        "in row 0",
        "observations and next_observations look swapped",
    ),
    BadFile(
        "columns_exchanged",
        _replaced("next_observations", lambda old: old[:, [0, 5, 2, 3, 4, 1, *range(6, 11)]]),
        "next_observations",
        "in row 0, column 1",
        "its column 1 looks like column 5 of observations",
    ),
    BadFile(
        "rewards_and_costs_exchanged",
        _edited(_exchange("rewards", "costs")),
        "costs",
        "numbers >= 0",
        "; rewards and costs look swapped",
    ),
    BadFile(
        "positive_rewards_and_costs_exchanged",
        _edited(lambda arrays: (_positive_rewards(arrays), _exchange("rewards", "costs")(arrays))),
        "rewards",
        "more than two different numbers",
        "only 0 and 1, and fractions in costs; rewards and costs look swapped",
    ),
    BadFile("still", _edited(_constant_observations), "observations", "at least one column that varies", "60 rows"),
    BadFile("idle", _put("actions", ..., 0.25), "actions", "at least one column that varies", "the same 2 numbers"),
]
