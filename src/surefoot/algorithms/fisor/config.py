"""FISOR's hyper-parameters: the paper's in `FISORConfig`, others in groups whose fields keep their own names."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeVar

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from surefoot.algorithms.fisor.groups import (
    BeyondConfig,
    ByReturnsConfig,
    ConstraintConfig,
    ScalingConfig,
    TrainingConfig,
    ValuesConfig,
)
from surefoot.constraints import discounted_cost_limit
from surefoot.diffusion.policy import DiffusionPolicyConfig
from surefoot.errors import ConfigError
from surefoot.hyperparameters import change, flat
from surefoot.ranges import Range, Ranged, Relation
from surefoot.types import BEFORE, GROUP, Phase

Weighting = Literal["feasibility", "imitation", "behaviour_cloning"]
Extraction = Literal["minqc", "maxq", "feasible_first", "first_feasible"]
WITHOUT_REWARDS = {"maxq": "minqc", "feasible_first": "first_feasible"}
"""Choices by Q_r -> what takes their place without it."""
Config = TypeVar("Config", bound="FISORConfig")


@dataclass(frozen=True)
class FISORConfig(Ranged):
    """Hyper-parameters; the values here are the paper's, whose names stand in brackets. Presets change them."""

    schedule: Literal["decoupled", "joint"] = "decoupled"
    """decoupled: constraint values, reward values, then the policy on frozen weights. joint: all in every update."""
    training: TrainingConfig = field(default_factory=TrainingConfig, metadata={GROUP: TrainingConfig})
    """Updates and batches."""
    values: ValuesConfig = field(default_factory=ValuesConfig, metadata={GROUP: ValuesConfig})
    """Networks and their optimization."""
    constraint: ConstraintConfig = field(default_factory=ConstraintConfig, metadata={GROUP: ConstraintConfig})
    """What counts as a violation."""

    discount: Annotated[float, Range("[0, 1)")] = 0.99
    """Discount of rewards, and of costs with critic = qc, per environment step (gamma)."""
    constraint_discount: Annotated[float, Range("[0, 1)")] = 0.99
    """Discount of the Hamilton-Jacobi backup at the end of training, per environment step (gamma)."""
    expectile: Annotated[float, Range("[0.5, 1)")] = 0.9
    """Upper expectile of V_r (tau)."""
    constraint_expectile: Annotated[float, Range("[0.5, 1)")] = 0.9
    """Lower expectile of V_h: weight of the errors where V_h is above Q_h (tau)."""
    weighting: Weighting = "feasibility"
    """feasibility: equation 14. imitation: without rewards (advantage = return reads those that there are).
    behaviour_cloning: every transition alike."""
    reward_temperature: Annotated[float, Range("[0, inf)")] = 3.0
    """Weight of reward advantages inside the region (alpha_1), 1 / reward unit, or 1 / spread where scaled."""
    constraint_temperature: Annotated[float, Range("[0, inf)")] = 5.0
    """Weight of constraint advantages outside the region (alpha_2), 1 / unit of h, or 1 / spread where scaled."""
    num_candidates: Annotated[int, Range("[1, 2^20]")] = 16
    """Actions sampled per decision (N)."""
    extraction: Extraction = "minqc"
    """Which candidate acts: minqc, maxq, feasible_first or first_feasible."""
    diffusion: DiffusionPolicyConfig = field(default_factory=DiffusionPolicyConfig)
    """The diffusion policy."""

    beyond: BeyondConfig = field(default_factory=BeyondConfig, metadata={GROUP: BeyondConfig})
    """What PointRobot needed beyond the paper."""
    by_returns: ByReturnsConfig = field(default_factory=ByReturnsConfig, metadata={GROUP: ByReturnsConfig})
    """Values and weights by returns along the logged trajectories, beyond the paper."""
    scaling: ScalingConfig = field(default_factory=ScalingConfig, metadata={BEFORE: {}})
    """What is measured in units that follow from the data, beyond the paper."""

    def _relations(self) -> Iterator[Relation]:
        return _combinations(self)

    # --- what follows from them ---

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Training phases in order; phases without updates are left out."""
        training, returns = self.training, self.by_returns
        if self.schedule == "joint":
            return (Phase("joint", training.joint_updates, training.policy_batch_size * training.policy_steps),)
        size = training.value_batch_size
        if returns.value_targets == "returns":
            phases = (Phase("values", returns.value_updates, size), Phase("critics", returns.critic_updates, size))
        else:
            phases = (
                Phase("constraint", training.constraint_updates, size),
                Phase("recovery", training.constraint_updates if returns.recovery == "cost" else 0, size),
                Phase("reward", training.reward_updates if self.values.reward_values else 0, size),
            )
        phases = (*phases, Phase("policy", training.policy_updates, training.policy_batch_size))
        return tuple(phase for phase in phases if phase.updates > 0)

    @property
    def planned_over(self) -> dict[str, str]:
        """Numbers of updates that a schedule depends on from its phase's first update -> how it depends on them."""
        if self.schedule == "joint":
            return {}
        values = ("constraint_updates", "reward_updates")
        if self.by_returns.value_targets == "returns":
            values = ("value_updates", "critic_updates")
        rate_falls = self.values.value_learning_rate != self.values.value_final_learning_rate
        falls = dict.fromkeys(values, "the learning rate falls over it") if rate_falls else {}
        moves = {values[0]: "the discount of the backup moves over it"}
        return falls | ({} if self.constraint_discount == self.beyond.constraint_discount_start else moves)

    @property
    def calibrated_phases(self) -> tuple[str, ...]:
        """Phases that begin with a measurement: the first with scales of the data, the policy's with quantiles of
        V_h."""
        names = tuple(phase.name for phase in self.phases)
        first = names[:1] if self.measured.before_training else ()
        return first + (("policy",) if self.scaling.before_policy and "policy" in names[len(first) :] else ())

    @property
    def measured(self) -> ScalingConfig:
        """The scales to measure on the data; critics of costs read no h and need no scale of it."""
        return self.scaling if self.constraint.critic == "hj" else change(self.scaling, constraint=False)

    @property
    def limit(self) -> float:
        """Discounted cost limit that critics of costs are compared with; 0 for the Hamilton-Jacobi form."""
        if self.constraint.critic == "hj":
            return 0.0
        kappa, horizon = self.constraint.cost_limit, self.constraint.horizon
        return discounted_cost_limit(kappa, discount=self.discount, horizon=horizon)

    def value_optimizer(self, updates: int) -> optax.GradientTransformation:
        """Adam for values and critics; its learning rate falls as a cosine in decoupled phases.

        Args:
            updates: Updates of the phase.

        Returns:
            The optimizer.
        """
        first, last = self.values.value_learning_rate, self.values.value_final_learning_rate
        if self.schedule == "joint" or first == last or updates < 1:
            return optax.adam(first)
        return optax.adam(optax.cosine_decay_schedule(first, updates, alpha=last / first))

    def annealed_discount(self, updates: Int[Array, ""]) -> float | Float[Array, ""]:
        """Discount of the Hamilton-Jacobi backup: 1 - discount moves geometrically from start to end of the phase.

        Args:
            updates: Updates done in the phase, a scalar.

        Returns:
            A scalar in [0, 1).
        """
        start, end = self.beyond.constraint_discount_start, self.constraint_discount
        if start == end or self.schedule == "joint":
            return end
        by_returns = self.by_returns.value_targets == "returns"
        planned = self.by_returns.value_updates if by_returns else self.training.constraint_updates
        share = jnp.clip(updates / max(planned, 1), 0.0, 1.0)
        return 1.0 - (1.0 - start) * ((1.0 - end) / (1.0 - start)) ** share

    @property
    def choice(self) -> dict[str, object]:
        """How the executed action is chosen among candidates."""
        return {"extraction": self.extraction, "margin": self.beyond.margin, "num_candidates": self.num_candidates}

    @property
    def forbids_violations(self) -> bool:
        """Whether the values must call every state in violation infeasible."""
        return self.constraint.critic == "hj"


def without_rewards(config: Config) -> tuple[Config, list[str]]:
    """Change a configuration for data without rewards.

    Args:
        config: Configuration whose `weighting` reads no rewards.

    Returns:
        The configuration without reward values, and a sentence on each option that changes with it.

    Raises:
        ConfigError: `weighting` is feasibility, which needs rewards.
    """
    if config.weighting == "feasibility":
        raise ConfigError(
            "weighting: expected imitation or behaviour_cloning for data without rewards, found feasibility."
        )
    extraction = WITHOUT_REWARDS.get(config.extraction, config.extraction)
    remark = f"extraction {config.extraction} chooses by reward values, of which there are none; {extraction} is taken"
    changed = change(config, reward_values=False, extraction=extraction)
    return changed, [remark] if extraction != config.extraction else []


def _combinations(config: FISORConfig) -> Iterator[Relation]:
    """The fields that go with each other."""
    training, joint, values = config.training, config.schedule == "joint", flat(config)
    drawn = training.policy_batch_size * training.policy_steps
    sentence = (
        f"expected at most policy_steps * policy_batch_size = {drawn} in joint training, "
        f"found {training.value_batch_size}"
    )
    good, others = not joint or training.value_batch_size <= drawn, ("policy_batch_size", "policy_steps", "schedule")
    yield Relation(good, "value_batch_size", sentence, others, training)
    if not config.values.reward_values:
        ways = {"weighting": ("imitation", "behaviour_cloning"), "extraction": ("minqc", "first_feasible")}
        for name, known in ways.items():
            sentence = f"expected {' or '.join(known)} without reward values, found {values[name]}"
            yield Relation(values[name] in known, name, sentence, ["reward_values"])
    shares = {"weight_quantile": config.scaling.weight_quantile, "margin_quantile": config.scaling.margin_quantile}
    for name, share in shares.items():
        sentence = f"expected 0 in joint training, where V_h is never finished before the policy, found {share:g}"
        good = not joint or share == 0
        yield Relation(good, name, sentence, ["schedule"], config.scaling, part="scaling")
    quantile = config.constraint.backup_quantile
    with_quantile = {"critic": "hj", "value_targets": "backup", "trajectory_bound": False, "value_bound": False}
    for name, wanted in with_quantile.items():
        good = quantile == 0 or values[name] == wanted
        sentence = f"expected 0 with {name} = {values[name]}, found {quantile:g}"
        yield Relation(good, "backup_quantile", sentence, [name], config.constraint)
    for name, wanted in {"value_targets": "backup", "recovery": "none", "advantage": "critic"}.items():
        good = values[name] == wanted or not joint
        sentence = f"expected {wanted} in joint training, found {values[name]}"
        yield Relation(good, name, sentence, ["schedule"], config.by_returns)
        good = values[name] == wanted or name == "recovery" or config.constraint.critic == "hj"
        sentence = f"expected {wanted} with critics of costs (qc), found {values[name]}"
        yield Relation(good, name, sentence, ["critic"], config.by_returns)
