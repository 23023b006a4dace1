"""A cell of a benchmark: one method on one share of one task's data, in plain values that can be sent to any
process."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Status = Literal["done", "failed", "elsewhere"]


@dataclass(frozen=True)
class Cell:
    """Options of one training and its evaluation."""

    key: str
    """Hash of what its numbers depend on: configuration, data, versions."""
    task: str
    """Name of the task."""
    method: str
    """Key of the method in the plan."""
    fraction: float
    """Share of the data's episodes."""
    seeds: tuple[int, ...]
    """Trained side by side."""
    episodes: int
    """Evaluation episodes of each seed."""
    algorithm: str
    """Name of the algorithm."""
    preset: str
    """The preset that the hyper-parameters began with."""
    hyperparameters: dict[str, Any]
    """Every field of the algorithm, as JSON values."""
    data_filter: str
    """Episodes of the share to train on."""
    filter_cost_limit: float | None
    """The filter's cost limit; None for the task's."""
    held_out_share: float
    """Share of the data's episodes that training never sees."""
    data: str
    """Path of the data."""
    data_size: int
    """Bytes of the data when their fingerprint was taken."""
    data_modified: int
    """Nanoseconds: when the data were last changed by then."""
    held_out: bool = False
    """Whether its task is held out."""
    strict: bool = False
    """Whether warnings are errors."""
    workers: int = 1
    """Processes that step a simulator."""

    @property
    def label(self) -> str:
        """The cell in a line of progress: "fisor on BallRun (10 %)"."""
        share = f" ({100 * self.fraction:g} %)" if self.fraction < 1 else ""
        return f"{self.method} on {self.task}{share}"


class Measured(NamedTuple):
    """Results of a cell."""

    rows: list[dict[str, Any]]
    """One for each episode."""
    details: dict[str, Any]
    """Times, versions, verdicts: JSON values."""


class Outcome(NamedTuple):
    """Outcome of an attempt at a cell."""

    key: str
    status: Status
    """elsewhere: another process works on it."""
    reason: str = ""
    """Of a failure, one sentence."""
