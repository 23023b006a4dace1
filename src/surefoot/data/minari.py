"""Minari datasets (Farama), read and written in their own layout: a folder with `data/main_data.hdf5`, one group an
episode, and `data/metadata.json`. The package is not needed; what is written opens in it (checked with 0.5.4).

A group `episode_<i>` holds observations [T + 1, obs], actions [T, act], rewards, terminations and truncations [T], and
what the environment told beside them under `infos`, of the T + 1 moments or of the T steps. Costs are `infos/cost`; the
constraint signal is `infos/constraint`. Neither is known of an episode's first moment: written there are 0 and the
first step's h.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import h5py
import numpy as np

from surefoot.data.allowance import Allowance
from surefoot.data.cards import Metadata, written_card
from surefoot.data.checks import check_dataset, flag_values, float32_values, refuse
from surefoot.data.checksums import write_array
from surefoot.data.d4rl import Labeller, further_columns
from surefoot.data.dataset import Dataset
from surefoot.data.hdf5 import CARD, check_card_task
from surefoot.data.storage import (
    check_numbers,
    check_storage,
    find,
    has_key,
    names,
    read_array,
    reading,
)
from surefoot.data.travel import PLACES, TravelCost, check_places, read_places
from surefoot.data.writing import blaming, check_room, new_hdf5
from surefoot.errors import DataError
from surefoot.files import replacement, sweep
from surefoot.json_files import read_json
from surefoot.tasks import Task

MAIN_FILE, METADATA_FILE = "main_data.hdf5", "metadata.json"
_PLACES = "places"
_COPIES = 2.0
"""Copies of the data in memory while the episodes are joined."""
MINARI_VERSION = "0.5.4"
"""Version of the package whose layout is written."""


def load_minari(path: str | os.PathLike[str], task: Task, *, labeller: Labeller | TravelCost | None = None) -> Dataset:
    """The Minari dataset in the folder `path` (its own or its `data`), as data of `task`.

    Costs come from `infos/cost`, where there are none from `labeller`, as those of D4RL's files: of the same steps they
    are the same. An episode in the middle that has no end mark was cut there. Raises `DataError`, one sentence, for a
    folder that is not such data.
    """
    path = Path(path)
    folder = _data_folder(path)
    metadata = _read_metadata(folder)
    main = folder / MAIN_FILE
    if metadata.get("data_format", "hdf5") != "hdf5":
        refuse(folder / METADATA_FILE, "data_format", expected="hdf5", found=f"{metadata['data_format']!a}")
    check_card_task(folder / METADATA_FILE, metadata.get(CARD) or {}, task)
    with reading(main) as file:
        episodes = sorted((name for name in names(main, file) if name.startswith("episode_")), key=_episode_number)
        if not episodes:
            refuse(main, "", expected="a group episode_0", found=f"{len(file)} other keys")
        _check_numbers(main, episodes)
        _check_count(folder, metadata, "total_episodes", len(episodes))
        source = _Source(main, file, Allowance(main, copies=_COPIES))
        parts = [_read_episode(source, name, task, labeller) for name in episodes]
    _check_count(folder, metadata, "total_steps", sum(len(part["actions"]) for part in parts))
    for part in parts[:-1]:
        part["truncated"][-1] |= not part["terminated"][-1]
    keys = [key for key in parts[0] if all(key in part for part in parts)]
    if "rewards" not in keys and (rewarded := [name for name, part in zip(episodes, parts, strict=True)
                                               if "rewards" in part]):  # fmt: skip
        refuse(
            main, "rewards", expected=f"a key of that name in every episode, as in {rewarded[0]}", found="none in some"
        )
    joined = {key: np.concatenate([part[key] for part in parts]) for key in keys}
    places = joined.pop(_PLACES, None)
    dataset = Dataset(task.name, **{"rewards": None, **joined})
    if places is not None:
        check_places(main, places, dataset.terminated | dataset.truncated)
    if task.has_signal and dataset.constraints is None:
        refuse(main, "infos/constraint", expected="a key of that name", found="none in some episode")
    check_dataset(main, dataset, task)
    return dataset


def is_minari(path: Path) -> bool:
    """Whether a path is a folder of Minari's, or the folder `data` in one."""
    return (path / "data").is_dir() or (path / METADATA_FILE).exists() or (path / MAIN_FILE).exists()


def read_minari_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Data card of a Minari dataset; empty where it has none, as others' datasets. Raises `DataError`."""
    card = _read_metadata(_data_folder(Path(path))).get(CARD)
    return card if isinstance(card, dict) else {}


def save_minari(
    path: str | os.PathLike[str], dataset: Dataset, task: Task, *, card: dict[str, Any] | None = None
) -> None:
    """Write `dataset` as a Minari dataset into the new folder `path`, which appears whole or not at all.

    What Minari has no place for is lost: a next observation that differs from the one that follows by rounding. Raises
    `DataError` where it cannot be written, the folder exists, or `load_minari` would refuse the data.
    """
    path = Path(path)
    if path.exists():
        refuse(path, "", expected="a new folder to write to", found="something of that name")
    check_dataset(path, dataset, task, finite=True)
    if dataset.rewards is None:
        refuse(
            path, "rewards", expected="a number for every step, as Minari's format has", found="data without rewards"
        )
    full_card = written_card(path, CARD, dataset.task, card)
    with _new_folder(path, size=2 * sum(array.nbytes for _, array in dataset.arrays())) as temporary:
        folder = temporary / "data"
        folder.mkdir()
        bounds = np.unique(np.concatenate([[0], dataset.episode_ends, [len(dataset)]]))
        with new_hdf5(folder / MAIN_FILE, track_order=True) as file:
            for index, (start, end) in enumerate(pairwise(bounds.tolist())):
                _write_episode(file, index, dataset, slice(start, end))
        size = round((folder / MAIN_FILE).stat().st_size / 1e6, 1)
        metadata = _metadata(path.name, dataset, task, episodes=len(bounds) - 1, megabytes=size)
        metadata[CARD] = full_card
        (folder / METADATA_FILE).write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")


def _data_folder(path: Path) -> Path:
    return path / "data" if (path / "data" / METADATA_FILE).exists() else path


def _read_metadata(folder: Path) -> dict[str, Any]:
    path = folder / METADATA_FILE
    if not path.is_file():
        refuse(folder, "", expected=f"a Minari dataset with {METADATA_FILE}", found="none")
    metadata: Any = read_json(path, Metadata, what="the metadata of a Minari dataset", error=DataError)
    return metadata


def _episode_number(name: str) -> tuple[int, str]:
    digits = name.removeprefix("episode_")
    return (int(digits), "") if digits.isdecimal() else (2**62, digits)


def _check_numbers(path: Path, episodes: Sequence[str]) -> None:
    """Refuse names in their order that are not episode_NUMBER, and two of one number."""
    numbers = [_episode_number(name) for name in episodes]
    for name, (_, rest) in zip(episodes, numbers, strict=True):
        if rest or not name.isascii():
            refuse(path, "", expected="episodes called episode_0, episode_1, ...", found=f"{name!a:.60}")
    for (one, number), (other, following) in pairwise(zip(episodes, numbers, strict=True)):
        if number == following:
            refuse(path, "", expected="one episode of each number", found=f"{one} and {other}")


def _check_count(folder: Path, metadata: dict[str, Any], key: str, found: int) -> None:
    """Refuse a dataset whose metadata count other episodes or steps than it holds: some may be missing."""
    if (counted := metadata.get(key, found)) != found:
        refuse(folder / METADATA_FILE, key, expected=f"{found:,} as in {MAIN_FILE}", found=f"{counted:,}")


class _Source(NamedTuple):
    """The file that episodes are read from."""

    path: Path
    file: h5py.File
    allowance: Allowance
    groups: Mapping[str, h5py.Group] = MappingProxyType({})
    """Those that are open, by their keys: opening one for each of its arrays takes as long as reading them."""

    def inside(self, name: str) -> "_Source":
        """With the groups of an episode opened."""
        found = {key: find(self.path, self.file, key) for key in (name, f"{name}/infos")}
        return self._replace(groups={key: node for key, node in found.items() if isinstance(node, h5py.Group)})

    def find(self, key: str) -> h5py.Group | h5py.Dataset | h5py.Datatype | None:
        """What lies under a key. Raises `DataError`."""
        parent, _, name = key.rpartition("/")
        if parent in self.groups:
            return find(self.path, self.groups[parent], name, named=key)
        return find(self.path, self.file, key)

    def has(self, key: str) -> bool:
        """Whether there is a link of that name."""
        parent, _, name = key.rpartition("/")
        return parent in self.groups and has_key(self.path, self.groups[parent], name)


def _read_episode(
    source: _Source, name: str, task: Task, labeller: Labeller | TravelCost | None
) -> dict[str, np.ndarray]:
    """The arrays of one episode under the names of `Dataset`, and where the robot was, if that is there."""
    path = source.path
    source = source.inside(name)
    moments = _read(source, f"{name}/observations", width=task.observation_dim, more=further_columns(task))
    actions = _read(source, f"{name}/actions", width=task.action_dim)
    steps = len(actions)
    if len(moments) != steps + 1:
        rows = f"{len(moments)} for {steps} actions"
        refuse(path, f"{name}/observations", expected=f"{steps + 1} rows, one more than actions", found=rows)
    if not steps:
        refuse(path, f"{name}/actions", expected="at least one row", found="0 rows")
    found: dict[str, np.ndarray] = {
        "observations": moments[:-1],
        "actions": actions,
        "next_observations": moments[1:],
    }
    if source.has(f"{name}/rewards"):
        found["rewards"] = _read_steps(source, f"{name}/rewards", steps)
    for key, ours in (("terminations", "terminated"), ("truncations", "truncated")):
        found[ours] = flag_values(path, f"{name}/{key}", _read_steps(source, f"{name}/{key}", steps))
    places = _read_places(source, name, steps, labeller)
    if places is not None:
        found[_PLACES] = places
    if source.has(f"{name}/infos/cost"):
        found["costs"] = _read_steps(source, f"{name}/infos/cost", steps)
    elif isinstance(labeller, TravelCost):
        if "rewards" not in found:
            expected = f"a key of that name, of which costs of {task.name} follow"
            refuse(path, f"{name}/rewards", expected=expected, found="none")
        ended = np.arange(steps) == steps - 1
        found["costs"] = labeller(places, actions, found["rewards"], ended)
    elif labeller is not None:
        found["costs"] = np.asarray(labeller(found["observations"], actions, found["next_observations"]), np.float32)
    else:
        refuse(path, f"{name}/infos/cost", expected="a key of that name, or a cost labeller", found="neither")
    if source.has(f"{name}/infos/constraint"):
        found["constraints"] = _read_steps(source, f"{name}/infos/constraint", steps)
    return found


def _read_places(source: _Source, name: str, steps: int, labeller: Labeller | TravelCost | None) -> np.ndarray | None:
    """Where the robot was before each step [T]; None where the episode does not tell.

    The place after the last step is left out: D4RL's files lack it, and the reward says the same of that step.
    """
    group = f"{name}/"
    places = None
    if source.has(f"{group}{PLACES}") or labeller is not None:
        places = read_places(source.path, source.file, None, labeller, source.allowance, group=group)
    if places is not None and len(places) not in (steps, steps + 1):
        refuse(source.path, f"{group}{PLACES}", expected=f"{steps} rows, or one more", found=f"{len(places)}")
    if places is None and source.has(f"{group}infos/x_position"):
        logged = _read(source, f"{group}infos/x_position", width=None)
        # Without the first moment it tells where the robot was after each step, and not where it set out.
        places = logged.astype(np.float64) if len(logged) == steps + 1 else None
    return None if places is None else places[:steps]


def _read(source: _Source, key: str, *, width: int | None, more: int | None = None) -> np.ndarray:
    """The values under `key`, `width` columns of them (of so many or of `more`); None: one number a row."""
    path = source.path
    node = source.find(key)
    if not isinstance(node, h5py.Dataset) or node.shape is None:
        found = "nothing" if node is None else f"a {type(node).__name__.lower()} of another kind"
        refuse(path, key, expected="an array of real numbers", found=found)
    check_numbers(path, key, node)
    if width is not None and (node.ndim != 2 or node.shape[1] not in (width, more)):
        refuse(path, key, expected=f"shape [T, {width}]", found=f"shape {list(node.shape)}")
    if width is None and (not node.shape or node.shape[1:] not in ((), (1,))):
        refuse(path, key, expected="shape [T]", found=f"shape {list(node.shape)}")
    check_storage(path, key, node, file_bytes=source.allowance.file_bytes(node))
    source.allowance.take(key, node)
    return read_array(path, key, node, float32_values, columns=width)


def _read_steps(source: _Source, key: str, steps: int) -> np.ndarray:
    """One number for each step; where there is one for the first moment as well, it is left out."""
    values = _read(source, key, width=None)
    if len(values) not in (steps, steps + 1):
        refuse(source.path, key, expected=f"{steps} rows, or one more", found=f"{len(values)}")
    return values[len(values) - steps :]


def _write_episode(file: h5py.File, index: int, dataset: Dataset, rows: slice) -> None:
    group = file.create_group(f"episode_{index}")
    group.attrs["id"] = index
    group.attrs["total_steps"] = rows.stop - rows.start
    last = dataset.next_observations[rows.stop - 1 : rows.stop]
    values = {
        "observations": np.concatenate([dataset.observations[rows], last]),
        "actions": dataset.actions[rows],
        "rewards": dataset.required_rewards[rows],
        "terminations": dataset.terminated[rows],
        "truncations": dataset.truncated[rows],
        "infos/cost": np.concatenate([np.zeros(1, np.float32), dataset.costs[rows]]),
    }
    if dataset.constraints is not None:
        h = dataset.constraints[rows]
        values["infos/constraint"] = np.concatenate([h[:1], h])
    for key, array in values.items():
        # Growing, as Minari's own are, so that it can append to them.
        growing = {"chunks": True, "maxshape": (None, *array.shape[1:])}
        write_array(group, key, array.shape, array.dtype, [(0, array)], **growing)


def _metadata(name: str, dataset: Dataset, task: Task, *, episodes: int, megabytes: float) -> dict[str, Any]:
    """What the package asks for, the name in letters that it allows; spaces are JSON within JSON there, with its
    infinities."""
    return {
        "dataset_id": f"surefoot/{re.sub(r'[^A-Za-z0-9_-]', '_', name)}-v0",
        "minari_version": MINARI_VERSION,
        "data_format": "hdf5",
        "jpeg_encoding": True,
        "total_episodes": episodes,
        "total_steps": len(dataset),
        "dataset_size": megabytes,
        "observation_space": _box(task.observation_dim, np.inf),
        "action_space": _box(task.action_dim, 1.0),
        "algorithm_name": "surefoot",
        "author": [],
        "author_email": [],
        "description": f"Transitions of {dataset.task} with costs in infos/cost, written by Surefoot.",
    }


def _box(width: int, bound: float) -> str:
    box = {"type": "Box", "dtype": "float32", "shape": [width], "low": [-bound] * width, "high": [bound] * width}
    return json.dumps(box)


@contextmanager
def _new_folder(path: Path, *, size: int) -> Iterator[Path]:
    """A folder to write to that takes the name `path` when all is well and is removed when not."""
    with blaming(path, "", "a place that can be written to"):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        check_room(path, size)
        with replacement(path) as temporary:
            temporary.mkdir()
            yield temporary
