"""Protocols of what some algorithms offer to training and fine-tuning."""

from typing import Any, Literal, Protocol, runtime_checkable

from jaxtyping import Array, Float

from surefoot.protocols.algorithm import Algorithm
from surefoot.types import Metrics, Transition


@runtime_checkable
class Calibrates(Protocol):
    """An algorithm that takes more from the data than batches, such as their mean: it is kept in the state."""

    @property
    def calibrated_phases(self) -> tuple[str, ...]:
        """Names of the phases that begin with a calibration."""
        ...

    def calibrate(self, state: Any, data: Transition, *, phase: str) -> Any:
        """The state with what the phase takes from `data`, the training data or an even sample of them; pure.

        Called once, before the first update of the phase; a run that is resumed there or later ends with the same bits.
        """
        ...


@runtime_checkable
class Relabels(Protocol):
    """An algorithm whose updates take `Labeled` batches, with labels of all rows by a frozen part of the state."""

    def relabel_interval(self, phase: str) -> int:
        """Updates of the phase after which labels are renewed; 0: it has none."""
        ...

    def refreeze(self, state: Any, *, phase: str) -> Any:
        """The state with what labels depend on copied anew, which happens before the first update of each interval."""
        ...

    def labels(self, state: Any, data: Any, *, phase: str) -> Any:
        """A tree of arrays [N], a row each; computed for each interval, and again where a run resumes within one."""
        ...


@runtime_checkable
class PlansUpdates(Protocol):
    """An algorithm whose updates depend on how many its phases have, as where the learning rate falls over them."""

    @property
    def planned_over(self) -> dict[str, str]:
        """Numbers of updates on which training depends from the first update of their phase on -> how."""
        ...


@runtime_checkable
class LearnsWithoutRewards(Protocol):
    """An algorithm that can learn from data without rewards."""

    def without_rewards(self) -> tuple[Any, list[str]]:
        """The algorithm for such data, and remarks on options that differ. Raises `ConfigError` without a way."""
        ...


@runtime_checkable
class SelectsEpisodes(Protocol):
    """An algorithm that is trained on some of the episodes, by a mode of its own."""

    @property
    def data_filter(self) -> Literal["all", "safe", "risky", "boundary", "pareto"]:
        """Which, as filters of data are called."""
        ...


@runtime_checkable
class FineTunes(Algorithm, Protocol):
    """An algorithm on windows that goes on learning while it acts."""

    @property
    def window(self) -> int:
        """Frames per window."""
        ...

    def fine_tuning(self) -> "FineTunes":
        """The algorithm that goes on online; it has one phase."""
        ...

    def frozen(self, state: Any) -> Any:
        """The state that fine-tuning begins with."""
        ...

    def after_episodes(self, state: Any, costs: Float[Array, " n"], lengths: Float[Array, " n"]) -> Any:
        """The state that has seen what episodes of n environments cost in the mean, and how long they were."""
        ...

    def acting_metrics(self, state: Any, carry: Any) -> Metrics:
        """What acting was like up to the policy's memory `carry`, at the end of each environment's last episode."""
        ...


def relabel_interval(algorithm: object, phase: str) -> int:
    """Updates after which labels are renewed; 0 where the phase has none."""
    return algorithm.relabel_interval(phase) if isinstance(algorithm, Relabels) else 0


def is_calibrated(algorithm: object, phase: str) -> bool:
    """Whether a phase begins with a calibration."""
    return isinstance(algorithm, Calibrates) and phase in algorithm.calibrated_phases
