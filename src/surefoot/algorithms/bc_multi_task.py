"""Multi-task BC: behaviour cloning conditioned on the cost of the whole episode (OSRL's BC with mode multi-task).

One policy serves every limit: while acting, the limit takes the place of the episode's cost.

- conditioning, (s, C of the episode): `conditioned`
- imitation of every transition alike: `BC.update`
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot.algorithms.bc import BC, BCState, StandardizedState, joined, parts_of
from surefoot.algorithms.standardize import standardized_by
from surefoot.data import Dataset
from surefoot.protocols import Inputs
from surefoot.ranges import Range, Ranged, Relation
from surefoot.tasks import Task
from surefoot.types import GROUP, UNKNOWN_AHEAD, DataSpec, Metrics, Phase, Policy, PolicyInputs, Transition


@dataclass(frozen=True)
class MultiTaskBC(Ranged):
    """Multi-task behaviour cloning: the hyper-parameters of `BC`, and the unit of costs."""

    cloning: BC = field(default_factory=BC, metadata={GROUP: BC})
    """What imitates."""
    cost_unit: Annotated[float, Range("(0, inf)")] = 1.0
    """The cost that the network is told as 1."""

    def _relations(self) -> Iterator[Relation]:
        sentence = f"expected all, for the cost says which episode is meant, found {self.cloning.mode}"
        yield Relation(self.cloning.mode == "all", "mode", sentence, config=self.cloning)

    inputs: ClassVar[Inputs] = Inputs(budget=True)
    paper: ClassVar[str] = "Liu et al., 2024, arXiv 2306.09303 (OSRL's BC, multi-task)"

    # --- data and phases ---

    def prepare(self, dataset: Dataset, task: Task) -> Transition:
        """All transitions of the dataset, actions clipped to [-1, 1]."""
        return self.cloning.prepare(dataset, task)

    def without_rewards(self) -> tuple["MultiTaskBC", list[str]]:
        """The same algorithm without remarks: behaviour cloning reads no rewards."""
        return self, []

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The only phase, `policy`."""
        return self.cloning.phases

    @property
    def calibrated_phases(self) -> tuple[str, ...]:
        """The only phase, where observations are standardized."""
        return self.cloning.calibrated_phases

    def calibrate(self, state: StandardizedState, data: Transition, *, phase: str) -> StandardizedState:
        """The state with the scale of the observations of `data`, costs apart."""
        return self.cloning.calibrate(state, data, phase=phase)

    @property
    def budget_discount(self) -> float:
        """1: budgets are undiscounted costs."""
        return 1.0

    # --- init, update, policy ---

    def init(self, spec: DataSpec, key: Key[Array, ""], statistics: None = None) -> BCState:
        """Fresh networks of `BC` with one more input.

        Args:
            spec: Shapes of the data.
            key: Random key of the parameters.
            statistics: None; the data have none.

        Returns:
            The state before the first update.
        """
        inner = self.cloning.fresh(replace(spec, observation_dim=spec.observation_dim + 1), key)
        return joined(inner, self.cloning.first_scale(spec))

    def update(self, state: BCState, batch: Transition, key: Key[Array, ""], *, phase: str) -> tuple[BCState, Metrics]:
        """One gradient step of imitation, conditioned on the costs of the episodes.

        Args:
            state: Training state.
            batch: b transitions with the costs of their episodes.
            key: Random key of the update.
            phase: `policy`.

        Returns:
            (state, metrics) as of `BC.update`.
        """
        inner, scale = parts_of(state)
        seen = conditioned(standardized_by(scale, batch.observation), batch.episode_cost, self.cost_unit)
        moved, metrics = self.cloning.imitate(inner, seen, batch.action, key)
        return joined(moved, scale), metrics

    def sample_weights(self, state: Any, data: Transition, *, phase: str) -> Float[Array, " n"]:
        """Weights [n]: 1 for transitions of finished episodes, 0 for others, whose cost is not known."""
        return (data.episode_cost < UNKNOWN_AHEAD).astype(jnp.float32)

    def policy(self, state: BCState) -> Policy:
        """Policy that imitates episodes whose cost is the budget of the episode's first step."""
        inner, scale = parts_of(state)

        def act(
            limit: Float[Array, " n"], inputs: PolicyInputs, key: Key[Array, ""]
        ) -> tuple[Any, Float[Array, "n act"]]:
            assert inputs.remaining_budget is not None
            limit = jnp.where(jnp.isnan(limit), inputs.remaining_budget, limit)
            seen = standardized_by(scale, inputs.observation)
            seen = conditioned(seen, jnp.clip(limit, 0.0, 1e6), self.cost_unit)
            return limit, self.cloning.answer(inner, seen, key)

        return Policy(initial=lambda n: jnp.full(n, jnp.nan), act=act)


def conditioned(
    observation: Float[Array, "b obs"], cost: Float[Array, " b"], unit: float
) -> Float[Array, "b obs_and_one"]:
    """Observations with the episode's cost as their last number.

    Args:
        observation: Observations, [b, obs].
        cost: Undiscounted costs of the episodes, [b].
        unit: Cost that the network reads as 1.

    Returns:
        Inputs of the network, [b, obs + 1].
    """
    return jnp.concatenate([observation, (cost / unit)[:, None]], -1)
