"""Protocols of what some algorithms offer to training and fine-tuning."""

from typing import Any, Literal, Protocol, runtime_checkable

from jaxtyping import Array, Float

from surefoot.protocols.algorithm import Algorithm
from surefoot.types import Metrics, Transition


@runtime_checkable
class WeighsRows(Protocol):
    """An algorithm that draws rows by weights of its own, instead of uniformly."""

    def sample_weights(self, state: Any, data: Any, *, phase: str) -> Float[Array, " N"] | None:
        """Weights by which rows are sampled.

        They are computed as the phase starts and where a run resumes in it, so parameters that they depend on must stay
        frozen during the phase.

        Args:
            state: Training state.
            data: Training data of N rows.
            phase: Name of the phase.

        Returns:
            Weights [N], at least 0, or None for uniform sampling.
        """
        ...


@runtime_checkable
class Calibrates(Protocol):
    """An algorithm that takes statistics of the whole data before a phase, which its state keeps."""

    @property
    def calibrated_phases(self) -> tuple[str, ...]:
        """Names of the phases that begin with a calibration."""
        ...

    def calibrate(self, state: Any, data: Transition, *, phase: str) -> Any:
        """State with the statistics that a phase needs.

        Called once, before the first update of the phase. A run that is resumed there or later ends with the same bits.

        Args:
            state: Training state.
            data: Training data, or an even sample of them, arrays [N, ...].
            phase: Name of the phase.

        Returns:
            The state with the statistics.
        """
        ...


@runtime_checkable
class Relabels(Protocol):
    """An algorithm whose updates take `Labeled` batches, with labels from a frozen part of the state."""

    def relabel_interval(self, phase: str) -> int:
        """Number of updates after which the labels of a phase are renewed; 0: the phase has none."""
        ...

    def refreeze(self, state: Any, *, phase: str) -> Any:
        """State whose frozen part is copied from its current part, before the first update of each interval.

        Args:
            state: Training state.
            phase: Name of the phase.

        Returns:
            The state with a new frozen part.
        """
        ...

    def labels(self, state: Any, data: Any, *, phase: str) -> Any:
        """Labels of all rows, computed for each interval, and again where a run resumes within one.

        Args:
            state: Training state.
            data: Training data of N rows.
            phase: Name of the phase.

        Returns:
            Tree of arrays [N, ...].
        """
        ...


@runtime_checkable
class PlansUpdates(Protocol):
    """An algorithm whose updates depend on the length of its phases, as a learning rate that decays over them does."""

    @property
    def planned_over(self) -> dict[str, str]:
        """Name of a field that holds a number of updates -> how training depends on it, a sentence's part."""
        ...


@runtime_checkable
class LearnsWithoutRewards(Protocol):
    """An algorithm that can learn from data without rewards."""

    def without_rewards(self) -> tuple[Any, list[str]]:
        """(algorithm for data without rewards, remarks on changed options). Raises `ConfigError` where it cannot."""
        ...


@runtime_checkable
class SelectsEpisodes(Protocol):
    """An algorithm that is trained on a selection of the episodes."""

    @property
    def data_filter(self) -> Literal["all", "safe", "risky", "boundary", "pareto"]:
        """Name of the selection, as filters of data are named."""
        ...


@runtime_checkable
class FineTunes(Algorithm, Protocol):
    """An algorithm on windows of frames that continues to learn while it acts."""

    @property
    def window(self) -> int:
        """Frames in a window."""
        ...

    def fine_tuning(self) -> "FineTunes":
        """The algorithm of the online stage, which has one phase."""
        ...

    def frozen(self, state: Any) -> Any:
        """State at the start of fine-tuning, from the state after offline training."""
        ...

    def after_episodes(self, state: Any, costs: Float[Array, " n"], lengths: Float[Array, " n"]) -> Any:
        """State after a round's episodes, as multipliers of a cost limit need it.

        Args:
            state: Training state.
            costs: Mean undiscounted cost of each environment's episodes [n].
            lengths: Mean number of steps of each environment's episodes [n].

        Returns:
            The new state.
        """
        ...

    def acting_metrics(self, state: Any, carry: Any) -> Metrics:
        """Metrics of acting.

        Args:
            state: Training state.
            carry: The policy's memory at the end of each environment's last episode.

        Returns:
            Metrics, scalars by name.
        """
        ...


def relabel_interval(algorithm: object, phase: str) -> int:
    """Number of updates after which the labels of a phase are renewed.

    Args:
        algorithm: Algorithm.
        phase: Name of the phase.

    Returns:
        Number of updates; 0 where the phase has no labels.
    """
    return algorithm.relabel_interval(phase) if isinstance(algorithm, Relabels) else 0


def is_calibrated(algorithm: object, phase: str) -> bool:
    """Whether a phase begins with a calibration.

    Args:
        algorithm: Algorithm.
        phase: Name of the phase.

    Returns:
        Whether `Calibrates.calibrate` is to be called.
    """
    return isinstance(algorithm, Calibrates) and phase in algorithm.calibrated_phases
