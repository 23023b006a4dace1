"""Protocols of what some algorithms estimate: feasibility, values, costs to come."""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float, Key

from surefoot.protocols.algorithm import Algorithm
from surefoot.types import Decision


@runtime_checkable
class HasFeasibleValue(Protocol):
    """An algorithm with a feasible value, which tells where it is safe."""

    def feasible_value(self, state: Any, observation: Float[Array, "n obs"], /) -> Float[Array, " n"]:
        """Feasible value V_h(s): the predicted worst constraint signal to come.

        Args:
            state: Training state.
            observation: Observations [n, obs].

        Returns:
            Values [n] in the units of the constraint signal; > 0 predicts an unavoidable violation.
        """
        ...


@runtime_checkable
class HasActionValue(Protocol):
    """An algorithm with values of actions."""

    def action_value(
        self, state: Any, observation: Float[Array, "n obs"], action: Float[Array, "n act"], /
    ) -> Float[Array, " n"]:
        """Action value Q(s, a): the predicted discounted reward to come.

        Args:
            state: Training state.
            observation: Observations [n, obs].
            action: Actions in [-1, 1], [n, act].

        Returns:
            Values [n] in the units of the rewards that it was trained on.
        """
        ...


@runtime_checkable
class HasCostToCome(Protocol):
    """An algorithm with a value of the cost."""

    def cost_to_come(self, state: Any, observation: Float[Array, "n obs"], /) -> Float[Array, " n"]:
        """Cost value V_c(s): the predicted discounted cost to come under the policy.

        Args:
            state: Training state.
            observation: Observations [n, obs].

        Returns:
            Values [n] in the units of the cost.
        """
        ...


@runtime_checkable
class ActsFeasibly(HasFeasibleValue, Protocol):
    """An algorithm whose policy chooses feasible actions by its feasible value."""

    @property
    def forbids_violations(self) -> bool:
        """Whether every state in violation counts as infeasible. False where costs within a limit are allowed."""
        ...

    def feasible_margin(self, state: Any, /) -> Float[Array, ""]:
        """Margin m: a state counts as feasible where its feasible value is at most -m."""
        ...

    def decide(self, state: Any, observation: Float[Array, "n obs"], key: Key[Array, ""], /) -> Decision:
        """Decision of the policy.

        Args:
            state: Training state.
            observation: Observations [n, obs].
            key: Random key.

        Returns:
            Actions [n, act] and whether a feasible candidate was found [n].
        """
        ...


@runtime_checkable
class HasWorldModel(Algorithm, Protocol):
    """An algorithm with a world model, which its states hold as `model`."""

    @property
    def world_model(self) -> Any:
        """Configuration of the model, a `WorldModelConfig`."""
        ...


@runtime_checkable
class HasInfeasibility(Protocol):
    """An algorithm that predicts along windows the probability of an unavoidable violation."""

    def window_infeasibility(self, state: Any, frames: Any, key: Key[Array, ""]) -> Float[Array, "b t"]:
        """Predicted probability p of an unavoidable violation at each step of windows.

        Args:
            state: Training state.
            frames: Windows, arrays [B, T, ...].
            key: Random key.

        Returns:
            Probabilities [B, T].
        """
        ...
