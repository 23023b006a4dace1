"""What every algorithm has and takes."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from jaxtyping import Array, Float, Key

from surefoot.types import DataSpec, Metrics, Phase, Policy


@dataclass(frozen=True)
class Inputs:
    """What an algorithm takes beside transitions of vectors."""

    images: bool = False
    """`prepare` takes images; they stay uint8 in the data, in batches and in `PolicyInputs`."""
    budget: bool = False
    """Acting takes `PolicyInputs.remaining_budget`."""
    windows: bool = False
    """Updates take windows of consecutive steps."""
    initial_states: bool = False
    """Updates take first states of episodes beside transitions."""

    @property
    def in_memory(self) -> bool:
        """Whether single transitions are not enough, so that data are read whole."""
        return self.windows or self.initial_states


@runtime_checkable
class CitesPaper(Protocol):
    """An algorithm that says where it was published."""

    paper: ClassVar[str]
    """Authors, place and year, and the number on arXiv."""


class Data(Protocol):
    """What `prepare` makes: rows that training draws, in memory or where they lie. In memory it is a tree of arrays."""

    @property
    def num_rows(self) -> int:
        """Rows that may be drawn: transitions, or the starts of windows."""
        ...

    @property
    def statistics(self) -> Any:
        """What `Algorithm.init` takes of the data, as their mean; None where that is nothing."""
        ...

    def take(self, rows: Any) -> Any:
        """The batch of these rows [*B]."""
        ...


class Acts(Protocol):
    """Whatever has a policy: all that a rollout asks of an algorithm."""

    def policy(self, state: Any, /) -> Policy:
        """How a state acts."""
        ...


class Algorithm(Protocol):
    """A frozen, hashable dataclass of hyper-parameters with pure methods over a state, a tree of finite arrays."""

    inputs: ClassVar[Inputs]

    def prepare(self, dataset: Any, task: Any) -> Data:
        """The dataset of a task as the algorithm learns from it."""
        ...

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The stretches of training, in order."""
        ...

    def init(self, spec: DataSpec, key: Key[Array, ""], statistics: Any = None) -> Any:
        """The first state. `statistics` are the data's; without them the state has the same shapes."""
        ...

    def update(self, state: Any, batch: Any, key: Key[Array, ""], *, phase: str) -> tuple[Any, Metrics]:
        """One gradient update on a batch [B, ...]; the same metrics in every update of a phase."""
        ...

    def sample_weights(self, state: Any, data: Any, *, phase: str) -> Float[Array, " N"] | None:
        """Weights by which rows are drawn; None: all alike. Evaluated as the phase starts and where a run resumes in
        it: parameters that it reads must stay frozen during the phase."""
        ...

    def policy(self, state: Any) -> Policy:
        """The policy of a state."""
        ...
