"""The protocol of every algorithm, and its declared inputs."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from jaxtyping import Array, Key

from surefoot.types import DataSpec, Metrics, Phase, Policy


@dataclass(frozen=True)
class Inputs:
    """Declaration of what an algorithm takes beside transitions of vectors."""

    images: bool = False
    """Whether `prepare` takes images. They stay uint8 in the data, in batches and in `PolicyInputs`."""
    budget: bool = False
    """Whether its policy takes `PolicyInputs.remaining_budget`."""
    windows: bool = False
    """Whether updates take windows of consecutive steps."""
    initial_states: bool = False
    """Whether updates take first states of episodes beside transitions."""

    @property
    def in_memory(self) -> bool:
        """Whether single transitions are not enough, so that data are read as a whole."""
        return self.windows or self.initial_states


@runtime_checkable
class CitesPaper(Protocol):
    """An algorithm with a publication."""

    paper: ClassVar[str]
    """Authors, place, year, and the number on arXiv."""


class Data(Protocol):
    """Training data as `prepare` returns them, in memory (a tree of arrays) or in their file."""

    @property
    def num_rows(self) -> int:
        """Number of rows N that may be sampled: transitions, or starts of windows."""
        ...

    @property
    def statistics(self) -> Any:
        """Statistics of the data that `Algorithm.init` takes, such as their mean; None where it takes none."""
        ...

    def take(self, rows: Any) -> Any:
        """Batch of the rows with these indices [*B]; arrays [*B, ...]."""
        ...


class Acts(Protocol):
    """Whatever has a policy, which is all that a rollout needs of an algorithm."""

    def policy(self, state: Any, /) -> Policy:
        """Policy of a training state."""
        ...


class Algorithm(Protocol):
    """A frozen, hashable dataclass of hyper-parameters with pure methods over a state, a tree of finite arrays."""

    inputs: ClassVar[Inputs]
    """Declared inputs."""

    def prepare(self, dataset: Any, task: Any) -> Data:
        """Convert a dataset to the data that updates are drawn from.

        Args:
            dataset: Logged episodes, a `surefoot.data.Dataset`.
            task: The dataset's `surefoot.tasks.Task`.

        Returns:
            Training data of N rows.

        Raises:
            DataError: The dataset lacks something that the algorithm needs.
        """
        ...

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Phases of training, in order."""
        ...

    def init(self, spec: DataSpec, key: Key[Array, ""], statistics: Any = None) -> Any:
        """Initial training state.

        Args:
            spec: Shapes of the data.
            key: Random key.
            statistics: `Data.statistics`; None: a state of equal shapes, without knowledge of the data.

        Returns:
            State, a tree of finite arrays.
        """
        ...

    def update(self, state: Any, batch: Any, key: Key[Array, ""], *, phase: str) -> tuple[Any, Metrics]:
        """One gradient update.

        Args:
            state: State before the update.
            batch: Rows [B, ...] from `Data.take`, or `Labeled` rows.
            key: Random key.
            phase: Name of the phase.

        Returns:
            (state after the update, metrics: equal names in every update of a phase).
        """
        ...

    def policy(self, state: Any) -> Policy:
        """Policy of a training state."""
        ...
