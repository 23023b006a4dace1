"""Protocols of what some algorithms offer to rollouts: budgets, plans, candidates."""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float

from surefoot.protocols.algorithm import Algorithm


@runtime_checkable
class PlansUnderBudget(Algorithm, Protocol):
    """An algorithm whose policy takes a budget at run time."""

    @property
    def budget_discount(self) -> float:
        """Discount d in b_{t+1} = (b_t - c_t) / d, per environment step; 1: undiscounted costs."""
        ...


@runtime_checkable
class RemarksOnBudgets(Protocol):
    """An algorithm that knows for which budgets its data are informative."""

    def budget_remarks(self, state: Any, budgets: list[float], /) -> list[str]:
        """Remarks on suspicious budgets.

        Args:
            state: Training state of one seed.
            budgets: Undiscounted costs allowed over an episode; inf: no limit.

        Returns:
            A sentence for each suspicion.

        Raises:
            ConfigError: The algorithm cannot act under a budget.
        """
        ...


@runtime_checkable
class TrainedForLimit(Protocol):
    """An algorithm trained for one limit on an episode's cost, without a budget at run time."""

    @property
    def trained_limit(self) -> float | None:
        """Undiscounted cost allowed over an episode; None: no limit."""
        ...


@runtime_checkable
class ShowsPlans(Protocol):
    """A planner whose memory holds the observations that it predicts."""

    def imagined(self, state: Any, memory: Any) -> Float[Array, "n h obs"]:
        """Predicted observations of the current plans.

        Args:
            state: Training state.
            memory: The policy's memory, of n environments.

        Returns:
            Observations [n, H, obs] in the environment's units.
        """
        ...


@runtime_checkable
class PredictsCosts(Protocol):
    """A planner that predicts the cost to come of segments, from which margins are calibrated."""

    @property
    def num_candidates(self) -> int:
        """Segments sampled for each decision."""
        ...

    def predict(
        self, state: Any, x: Float[Array, "b H d"], t: Float[Array, " b"], share_left: Float[Array, " b"]
    ) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
        """Predicted reward and cost to come of noisy segments.

        Args:
            state: Training state.
            x: Noisy segments in normalized units [b, H, d].
            t: Diffusion times [b].
            share_left: Share of the episode that is left at the segments' start, in [0, 1], [b].

        Returns:
            (reward to come [b], cost to come [b]), in the task's units.
        """
        ...


@runtime_checkable
class ChoosesCandidates(Protocol):
    """An algorithm that samples several candidate actions for a decision and executes one."""

    @property
    def choice(self) -> dict[str, Any]:
        """Settings of the choice, for summaries: `num_candidates`, and where it has them `extraction` and `margin`."""
        ...


@runtime_checkable
class SearchesActions(Protocol):
    """An algorithm whose decisions may be a search, which an exported fixed program cannot hold."""

    @property
    def search(self) -> str:
        """Name of the search in words; empty where decisions are no search."""
        ...


def choice_of(algorithm: object) -> dict[str, Any]:
    """Settings of an algorithm's choice among candidates; empty where it makes none."""
    return algorithm.choice if isinstance(algorithm, ChoosesCandidates) else {}
