"""Logs of other packages' environments: whole episodes by a user's function, the environment's own PID, or random
actions.

Episode e is a function of (seed of the collection, e): its start and its noise. So the log does not depend on the
number of processes.
"""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from surefoot.data.dataset import Dataset
from surefoot.data.logs import import_log, transitions_of
from surefoot.data.logs.arrays import frame_log
from surefoot.envs.own.controllers import RANDOM
from surefoot.envs.own.episodes import Request, Rows
from surefoot.envs.workers.players import Players
from surefoot.errors import ConfigError
from surefoot.files import replacement
from surefoot.ranges import SEED, Range, Ranged
from surefoot.tasks import Task
from surefoot.tasks.read_task_file import TaskFileReader
from surefoot.tasks.task_file import ENDS, FILES, GAPS, TaskFile

_ENVIRONMENT, _NOISE = 0, 1
"""Streams of random numbers."""
_GAP = 1000
"""Time steps between two episodes that only a gap separates."""


@dataclass(frozen=True)
class OwnCollection(Ranged):
    """A collection in the environment of a task file."""

    task: Task
    policy: str = RANDOM
    """"random", "pid", or "module:function"."""
    episodes: Annotated[int | None, Range("[1, 10^7]")] = None
    """Whole episodes; None: as many as `transitions` need."""
    transitions: Annotated[int, Range("[1, 10^9]")] = 1
    """Steps, at least."""
    seed: Annotated[int, Range(SEED)] = 0
    """Of all randomness."""
    noise: Annotated[float, Range("[0, 10]")] = 0.0
    """Standard deviation of the action noise, in half ranges of the actions."""

    def __post_init__(self) -> None:
        super().__post_init__()
        file_of(self.task)

    def request(self, number: int) -> Request:
        """Description of the episode with this number."""
        seeds = [int(np.random.default_rng((self.seed, number, one)).integers(2**31)) for one in (_ENVIRONMENT, _NOISE)]
        return Request(seeds[0], self.policy, self.noise, seeds[1])


def file_of(task: Task) -> TaskFile:
    """Task file of a task with an environment. Raises `ConfigError` for another task, or a log of several files."""
    if task.environment is None or task.file is None:
        raise ConfigError(f"task {task.name}: environment: expected an environment to collect in, found none.")
    file = task.file
    if file.episodes.by == FILES:
        raise ConfigError(
            f'task {task.name}: episodes.by: expected a column, "{ENDS}" or "{GAPS}" for a log of one file, found '
            f'"{FILES}".'
        )
    return file


def collect_own(
    collection: OwnCollection, players: Players, *, on_progress: Callable[[int, int], None] | None = None
) -> dict[str, np.ndarray]:
    """Collect whole episodes.

    Args:
        collection: Task, policy and numbers.
        players: Processes that play.
        on_progress: Called with (done, wanted): episodes, or steps where no number of episodes is given.

    Returns:
        Columns of the log, in the order of the task file.

    Raises:
        EnvironmentFault: The environment or the policy failed.
        ConfigError: The task has no environment to collect in.
    """
    found: dict[int, Rows] = {}
    steps, wanted = 0, collection.transitions if collection.episodes is None else collection.episodes

    def requests() -> Iterator[tuple[int, Request]]:
        number = 0
        while number < collection.episodes if collection.episodes is not None else steps < collection.transitions:
            yield number, collection.request(number)
            number += 1

    for number, rows in players.play(requests(), lambda number, rows: (number, rows)):
        found[number] = rows
        steps += _steps(rows, collection.task)
        if on_progress is not None:
            on_progress(min(steps if collection.episodes is None else len(found), wanted), wanted)
    kept = _enough(collection, [found[number] for number in sorted(found)])
    return _columns(file_of(collection.task), kept)


def write_log(
    collection: OwnCollection, columns: dict[str, np.ndarray], out: Path, *, card: dict[str, Any] | None = None
) -> Dataset:
    """Write a collected log as CSV or as an imported data file.

    Args:
        collection: The collection.
        columns: Columns of the log.
        out: File; its suffix .csv selects text.
        card: Data card of a data file, or None.

    Returns:
        The transitions in the log.

    Raises:
        DataError: The log does not fit the task file that it was collected for.
    """
    file = file_of(collection.task)
    reader = TaskFileReader(Path(f"task {file.task.name}"), "")
    dataset, *_ = transitions_of(frame_log(columns), file, reader=reader)
    if out.suffix.lower() == ".csv":
        with replacement(out) as temporary:
            _write_csv(temporary, columns)
    else:
        import_log(frame_log(columns), file, reader, out, card=card)
    return dataset


def _steps(rows: Rows, task: Task) -> int:
    """Steps of an episode: its rows with an action."""
    return int(np.isfinite(rows[file_of(task).action.columns[0]]).sum())


def _enough(collection: OwnCollection, episodes: list[Rows]) -> list[Rows]:
    """The episodes without those that were begun before it was known that the others are enough."""
    if collection.episodes is not None:
        return episodes
    steps = np.cumsum([_steps(rows, collection.task) for rows in episodes])
    return episodes[: int((steps < collection.transitions).sum()) + 1]


def _columns(file: TaskFile, episodes: list[Rows]) -> dict[str, np.ndarray]:
    lengths = np.array([len(next(iter(rows.values()))) for rows in episodes])
    found: dict[str, np.ndarray] = {}
    step = np.concatenate([np.arange(length) for length in lengths])
    number = np.repeat(np.arange(len(episodes)), lengths)
    if file.episodes.by not in (ENDS, GAPS):
        found[file.episodes.by] = number.astype(np.float64)
    if file.episodes.time:
        before = np.repeat(np.cumsum(lengths + _GAP) - lengths, lengths) if file.episodes.by == GAPS else 0
        found[file.episodes.time] = (step + before) * (file.episodes.step_seconds or 1.0)
    names = dict.fromkeys(
        [*file.observation.columns, *file.action.columns, *sorted({name for rows in episodes for name in rows})]
    )
    for name in names:
        if name not in found:
            found[name] = np.concatenate([rows[name] for rows in episodes])
    return found


def _write_csv(path: Path, columns: dict[str, np.ndarray]) -> None:
    with path.open("w", newline="", encoding="utf-8") as text:
        table = csv.writer(text)
        table.writerow(columns)
        for row in zip(*(values.tolist() for values in columns.values()), strict=True):
            table.writerow(["" if number != number else f"{number:.9g}" for number in row])
