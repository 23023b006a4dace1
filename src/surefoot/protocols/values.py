"""Protocols of what some algorithms estimate: feasibility, values, costs to come."""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float, Key

from surefoot.protocols.algorithm import Algorithm
from surefoot.types import Decision


@runtime_checkable
class HasFeasibleValue(Protocol):
    """An algorithm whose values say where it is safe."""

    def feasible_value(self, state: Any, observation: Float[Array, "n obs"], /) -> Float[Array, " n"]:
        """V_h [n]: the worst constraint signal to come; > 0 is a violation that cannot be avoided."""
        ...


@runtime_checkable
class HasActionValue(Protocol):
    """An algorithm whose values say what actions are worth."""

    def action_value(
        self, state: Any, observation: Float[Array, "n obs"], action: Float[Array, "n act"], /
    ) -> Float[Array, " n"]:
        """Q(s, a) [n]: the discounted reward to come, in the units of the rewards that it learned from."""
        ...


@runtime_checkable
class HasCostToCome(Protocol):
    """An algorithm whose values say what is still to be paid."""

    def cost_to_come(self, state: Any, observation: Float[Array, "n obs"], /) -> Float[Array, " n"]:
        """V_c [n]: the discounted cost to come of acting as the policy does, in the units of the cost."""
        ...


@runtime_checkable
class ActsFeasibly(HasFeasibleValue, Protocol):
    """An algorithm whose policy asks such values for feasible actions."""

    @property
    def forbids_violations(self) -> bool:
        """Whether every state in violation counts as infeasible; False where costs within a limit are allowed."""
        ...

    def feasible_margin(self, state: Any, /) -> Float[Array, ""]:
        """A state counts as feasible where its value is at most minus this."""
        ...

    def decide(self, state: Any, observation: Float[Array, "n obs"], key: Key[Array, ""], /) -> Decision:
        """What the policy does there."""
        ...


@runtime_checkable
class HasWorldModel(Algorithm, Protocol):
    """An algorithm on a world model, which its states have in `model`."""

    @property
    def world_model(self) -> Any:
        """The model's `WorldModelConfig`."""
        ...


@runtime_checkable
class HasInfeasibility(Protocol):
    """An algorithm that says along windows how likely a violation cannot be avoided."""

    def window_infeasibility(self, state: Any, frames: Any, key: Key[Array, ""]) -> Float[Array, "b t"]:
        """p along windows [B, T, ...]: the probability that a violation cannot be avoided."""
        ...
