"""Protocols of what some algorithms offer to rollouts: budgets, plans, candidates."""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float

from surefoot.protocols.algorithm import Algorithm


@runtime_checkable
class PlansUnderBudget(Algorithm, Protocol):
    """An algorithm whose policy takes a budget at run time."""

    @property
    def budget_discount(self) -> float:
        """d in b_{t+1} = (b_t - c_t) / d, per environment step; 1: plain costs."""
        ...


@runtime_checkable
class RemarksOnBudgets(Protocol):
    """An algorithm that knows which budgets its data say something of."""

    def budget_remarks(self, state: Any, budgets: list[float], /) -> list[str]:
        """What is suspicious about budgets of episodes, a sentence each. `state`: of one seed. Raises `ConfigError`."""
        ...


@runtime_checkable
class TrainedForLimit(Protocol):
    """An algorithm that is trained for one limit on an episode's cost, and takes none at run time."""

    @property
    def trained_limit(self) -> float | None:
        """A sum of costs over an episode; None where there is none."""
        ...


@runtime_checkable
class ShowsPlans(Protocol):
    """A planner whose memory holds the observations that it expects."""

    def imagined(self, state: Any, memory: Any) -> Float[Array, "n h obs"]:
        """The observations of the plans that the policy remembers, in the environment's units."""
        ...


@runtime_checkable
class PredictsCosts(Protocol):
    """A planner that predicts the cost to come of segments, from which margins can be calibrated."""

    @property
    def num_candidates(self) -> int:
        """Segments sampled for each decision."""
        ...

    def predict(
        self, state: Any, x: Float[Array, "b H d"], t: Float[Array, " b"], share_left: Float[Array, " b"]
    ) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
        """Reward and cost to come of normalized, noisy segments, in their own units."""
        ...


@runtime_checkable
class ChoosesCandidates(Protocol):
    """An algorithm that samples several actions for a decision, of which one acts."""

    @property
    def choice(self) -> dict[str, Any]:
        """How it chooses, for summaries: `num_candidates`, and where it has them `extraction` and `margin`."""
        ...


@runtime_checkable
class SearchesActions(Protocol):
    """An algorithm whose decisions may be a search, which no file of a fixed program holds."""

    @property
    def search(self) -> str:
        """What it searches, in words; empty where its decisions are none."""
        ...


def choice_of(algorithm: object) -> dict[str, Any]:
    """How an algorithm chooses among candidates; empty where it does not."""
    return algorithm.choice if isinstance(algorithm, ChoosesCandidates) else {}
