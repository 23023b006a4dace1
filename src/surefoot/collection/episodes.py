"""Whole episodes, cut from the steps of simulators side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np

from surefoot.data import Dataset
from surefoot.ranges import Range, Ranged
from surefoot.rollouts.host import Moment

Columns = dict[str, np.ndarray]
"""Columns of whole episodes, end to end, by the names of `Dataset`'s fields."""


def columns_dataset(task: str, columns: Columns) -> Dataset:
    """Columns of a log as a dataset.

    Args:
        task: Name of its task.
        columns: Arrays by name, as `Dataset` has them.

    Returns:
        The dataset.
    """
    return Dataset(task=task, **columns)


def columns_of(moments: Sequence[Moment]) -> Columns:
    """Steps [T, n, ...] of n environments by the names of `Dataset`'s fields: float32, flags bool."""
    steps = [one.step for one in moments]

    def numbers(values: list[Any]) -> np.ndarray:
        return np.stack(values).astype(np.float32)

    return {
        "observations": numbers([one.observation for one in moments]),
        "actions": numbers([one.action for one in moments]),
        "rewards": numbers([step.reward for step in steps]),
        "costs": numbers([step.cost for step in steps]),
        "next_observations": numbers([step.observation for step in steps]),
        "terminated": np.stack([step.terminated for step in steps]),
        "truncated": np.stack([step.truncated for step in steps]),
    }


def restarted_in(moments: Sequence[Moment]) -> np.ndarray:
    """Whether a simulator was lost and its episode began again, [T, n]."""
    return np.stack([one.step.restarted for one in moments])


@dataclass
class EpisodeCutter(Ranged):
    """Cuts the steps of n simulators into episodes; memory holds only running episodes."""

    lanes: Annotated[int, Range("[1, 65536]")]
    _running: list[list[Columns]] = field(default_factory=list)
    """For each lane the pieces of its running episode."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._running = [[] for _ in range(self.lanes)]

    def cut(self, steps: Columns, *, restarted: np.ndarray) -> list[Columns]:
        """Episodes that ended in these steps, by the order of their ends.

        Args:
            steps: Columns, [T, n, ...].
            restarted: Whether the episode began again, [T, n]; the row and its episode so far are dropped.

        Returns:
            Columns of each episode.
        """
        ended = steps["terminated"] | steps["truncated"]
        found: list[tuple[int, int, Columns]] = []
        for lane in range(self.lanes):
            start = 0
            for step in np.flatnonzero(ended[:, lane] | restarted[:, lane]).tolist():
                if restarted[step, lane]:
                    self._running[lane] = []
                else:
                    pieces = [*self._running[lane], _rows(steps, lane, start, step + 1)]
                    found.append((step, lane, join(pieces)))
                    self._running[lane] = []
                start = step + 1
            if start < len(ended):
                self._running[lane].append(_rows(steps, lane, start, len(ended)))
        return [episode for _, _, episode in sorted(found, key=lambda entry: entry[:2])]


def join(parts: list[Columns]) -> Columns:
    """Columns of parts end to end; the parts have equal names."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def episode_sums(columns: Columns) -> np.ndarray:
    """Cost return, return and length of every episode, [E, 3], float64."""
    ends = np.flatnonzero(columns["terminated"] | columns["truncated"]) + 1
    starts = np.concatenate([[0], ends[:-1]]).astype(int)
    sums = [np.add.reduceat(columns[name].astype(np.float64), starts) for name in ("costs", "rewards")]
    return np.stack([*sums, (ends - starts).astype(np.float64)], axis=1)


def _rows(steps: Columns, lane: int, start: int, end: int) -> Columns:
    # A copy: a view would keep the whole iteration in memory.
    return {name: values[start:end, lane].copy() for name, values in steps.items()}
