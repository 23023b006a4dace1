"""Groups of FISOR's hyper-parameters; `config` says which are the paper's."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from surefoot.ranges import COUNT, NUMBER, Range, Ranged
from surefoot.types import BEFORE, Transition


@dataclass(frozen=True)
class TrainingConfig(Ranged):
    """Numbers of updates, and the transitions of a batch."""

    constraint_updates: Annotated[int, Range(NUMBER)] = 100_000
    """Updates of V_h and Q_h (decoupled, value_targets = backup)."""
    reward_updates: Annotated[int, Range(NUMBER)] = 100_000
    """Updates of V_r and Q_r (decoupled, value_targets = backup)."""
    policy_updates: Annotated[int, Range(NUMBER)] = 200_000
    """Updates of the policy (decoupled)."""
    joint_updates: Annotated[int, Range(NUMBER)] = 100_000
    """Updates in all, each of `policy_steps` policy steps and one step of every value (joint)."""
    value_batch_size: Annotated[int, Range("[1, 2^24]")] = 256
    """Transitions per update of the values."""
    policy_batch_size: Annotated[int, Range("[1, 2^24]")] = 1024
    """Transitions per step of the policy."""
    policy_steps: Annotated[int, Range("[1, 1024]")] = 2
    """Policy steps per update, on consecutive parts of the batch (joint)."""


@dataclass(frozen=True)
class ValuesConfig(Ranged):
    """The networks of values and critics, and how they are optimized."""

    value_hidden: Annotated[tuple[int, ...], Range("[1, 65536]")] = (256, 256)
    """Units of the hidden layers of every value and critic."""
    ensemble: Annotated[int, Range("[1, 1024]")] = 2
    """Critics per objective; the minimum of Q_r and the maximum of Q_h count."""
    constraint_value_ensemble: Annotated[int, Range("[1, 1024]")] = 1
    """Networks for V_h, trained on the same targets from different starts; their maximum counts, an upper bound."""
    value_learning_rate: Annotated[float, Range("(0, inf)")] = 3e-4
    """First learning rate of Adam for values and critics."""
    value_final_learning_rate: Annotated[float, Range("[0, inf)")] = 3e-4
    """Last learning rate of a decoupled phase, reached as a cosine; joint training keeps the first."""
    target_rate: Annotated[float, Range("(0, 1]")] = 0.005
    """Share of the online critics that enters their targets at each update (the paper's soft update rate)."""
    reward_values: bool = field(default=True, metadata={BEFORE: True})
    """Train V_r and Q_r. False, for data without rewards: they are neither trained nor read; `weighting` is then one
    that reads no rewards, and `extraction` minqc or first_feasible."""
    reward_scaling: Literal["reference", "none"] = "reference"
    """reference: rewards times horizon / (best - worst reference return). none: as logged."""


@dataclass(frozen=True)
class ConstraintConfig(Ranged):
    """The violation that constraint critics learn of, and their form."""

    critic: Literal["hj", "qc"] = "hj"
    """hj: worst constraint signal to come. qc: discounted sum of costs minus the discounted cost limit."""
    cost_limit: Annotated[float, Range("[0, inf)")] = 0.0
    """Allowed sum of costs over an episode (qc, and margin_over = allowed)."""
    horizon: Annotated[int, Range(COUNT)] = 1000
    """Longest episode that the limit is spread over, in environment steps (qc only)."""
    count_state_left: bool = True
    """Let a transition's h be the larger of the states it leaves and enters, so that V_h(s) >= h(s) as in the
    definition; False: only the state entered, as in the authors' code."""
    timeouts_terminal: bool = False
    """Bootstrap nothing across timeouts (the authors' code); False: only termination ends the future."""
    violation_scale: Annotated[float, Range("(0, inf)")] = 25.0
    """h of a violating transition where data have only costs; others have h = -1."""
    backup_quantile: Annotated[float, Range("[0, 1)")] = field(default=0.0, metadata={BEFORE: 0.0})
    """For stochastic dynamics: Q_h is this quantile, over the random next states, of the Hamilton-Jacobi backup, so
    that a step counts which goes badly with probability 1 - backup_quantile. 0: the mean, as in the paper (hj,
    value_targets = backup)."""

    def signal(self, batch: Transition) -> Float[Array, " b"]:
        """Constraint signal h of each transition, [b]; > 0 is a violation."""
        return jnp.maximum(batch.constraint, batch.constraint_before) if self.count_state_left else batch.constraint

    def continues(self, batch: Transition) -> Float[Array, " b"]:
        """Continuation mask m of each transition, [b]: 0 where nothing follows."""
        if self.timeouts_terminal:
            return 1.0 - jnp.maximum(batch.terminated, batch.truncated)
        return 1.0 - batch.terminated


@dataclass(frozen=True)
class BeyondConfig(Ranged):
    """Options beyond the paper, which PointRobot needed: margins, bounds along logged trajectories, siblings of
    candidates, escapes. The defaults change nothing."""

    constraint_discount_start: Annotated[float, Range("[0, 1)")] = 0.99
    """Discount of the Hamilton-Jacobi backup at the first update; 1 - discount moves geometrically from it to
    constraint_discount (decoupled)."""
    trajectory_bound: bool = False
    """Let no target of Q_h exceed what the logged way on was worth: the largest h of it, where the episode terminated;
    its discounted value, where only costs are logged and it was cut. That way can be driven again, so it bounds the
    best one from above; only where dynamics are deterministic (hj, value_targets = backup)."""
    value_bound: bool = False
    """The same for what V_h is regressed on: the best of the logged ways on, which a Q_h that can hardly tell the
    actions of a step apart does not find (hj, value_targets = backup)."""
    scaled_advantages: bool = False
    """Divide advantages by their spread before the temperatures (advantage = return does so in any case)."""
    weight_margin: Annotated[float, Range("[0, inf)")] = 0.0
    """The region that the weights imitate in is V_h <= -weight_margin, in units of h: in the band before the border
    the policy learns the ways back from it, and candidates there hold some. The paper's is 0."""
    safer_step: Annotated[float, Range("[0, inf)")] = 0.0
    """Each candidate gets a sibling moved this far down Q_h's gradient, in units of the action."""
    margin: Annotated[float, Range("[0, inf)")] = 0.0
    """A candidate counts as feasible where Q_h <= -margin (feasible_first, first_feasible), in units of h."""
    margin_over: Literal["safe", "allowed"] = field(default="safe", metadata={BEFORE: "safe"})
    """Whose states scaling.margin_quantile is a share of. safe: logged episodes without violation, as for the weights.
    allowed: those within the cost limit, without the states in violation."""
    escape_slack: Annotated[float, Range("[0, inf)")] = 0.0
    """Where a violation cannot be avoided, candidates within this of the smallest Q_h compete by Q_r (feasible_first),
    in units of h."""
    escape_above: Annotated[float, Range("(-inf, inf)")] = 0.0
    """The smallest Q_h from which a violation counts as unavoidable for that, in units of h."""


@dataclass(frozen=True)
class ReturnsConfig(Ranged, part="returns"):
    """Options for values that learn from returns along logged trajectories."""

    refresh_interval: Annotated[int, Range(COUNT)] = field(default=500, metadata={BEFORE: 500})
    """Updates between two computations of the returns of all rows, from a copy of the values that is frozen meanwhile.
    How often values are bootstrapped says how far they look: value_updates / refresh_interval times."""
    mixing: Annotated[float, Range("[0, 1]")] = field(default=0.95, metadata={BEFORE: 0.95})
    """lambda: 0 bootstraps after every step, 1 at the end of the episode only."""
    cost_expectile: Annotated[float, Range("[0.5, 1)")] = field(default=0.7, metadata={BEFORE: 0.7})
    """Lower expectile of V_c (recovery = cost)."""
    largest_weight: Annotated[float, Range("[1, inf)")] = field(default=20.0, metadata={BEFORE: 20.0})
    """Where weights exp(alpha A) of trajectories end (advantage = return)."""


@dataclass(frozen=True)
class ByReturnsConfig(Ranged):
    """Values and weights by returns along the logged trajectories, beyond the paper. The defaults change nothing."""

    value_targets: Literal["backup", "returns"] = field(default="backup", metadata={BEFORE: "backup"})
    """backup: one step and V of the next state, the paper's. returns: lambda-returns along the logged trajectories."""
    value_updates: Annotated[int, Range(NUMBER)] = field(default=10_000, metadata={BEFORE: 10_000})
    """Updates of all values at once (value_targets = returns)."""
    critic_updates: Annotated[int, Range(NUMBER)] = field(default=8_000, metadata={BEFORE: 8_000})
    """Updates of all critics after them (value_targets = returns)."""
    returns: ReturnsConfig = field(default_factory=ReturnsConfig, metadata={BEFORE: {}})
    """How those are formed."""
    recovery: Literal["none", "cost"] = field(default="none", metadata={BEFORE: "none"})
    """cost: also learn V_c, Q_c, discounted numbers of violating steps to come. Outside the region the weights and the
    choice of the action then go by them: where h has two values Q_h does not say how to get out (decoupled)."""
    advantage: Literal["critic", "return"] = field(default="critic", metadata={BEFORE: "critic"})
    """critic: weights by Q - V of an action, the paper's. return: by the logged way's own return less V (decoupled)."""


@dataclass(frozen=True)
class ScalingConfig(Ranged, part="scaling"):
    """Units that follow from the data, for observations, h and rewards; beyond the paper. The class's defaults are the
    paper's."""

    observations: bool = field(default=False, metadata={BEFORE: False})
    """Standardize observations by the data's mean and standard deviation. A constant column is ignored; numbers that
    lie beyond the data's range by more than half of its width are clipped there, so that no value extrapolates far."""
    constraint: bool = field(default=False, metadata={BEFORE: False})
    """Divide h by its median size in the data: margins and slacks are then in that unit. With costs only and
    violation_scale 1 it is 1."""
    reward: bool = field(default=False, metadata={BEFORE: False})
    """Divide rewards by their standard deviation in the data."""
    weight_quantile: Annotated[float, Range("[0, 1]")] = field(default=0.0, metadata={BEFORE: 0.0})
    """Share of the states of logged episodes without violation that the weights count as feasible, in hundredths:
    their margin is the one that so many keep in V_h, but at least weight_margin. 0: weight_margin itself."""
    margin_quantile: Annotated[float, Range("[0, 1]")] = field(default=0.0, metadata={BEFORE: 0.0})
    """The same for the choice of the action, whose Q_h is held to it; the margin may be below 0. 0: margin itself."""

    @property
    def before_training(self) -> bool:
        """Whether scales are measured before the first update."""
        return self.observations or self.constraint or self.reward

    @property
    def before_policy(self) -> bool:
        """Whether quantiles of V_h are measured as the policy phase begins."""
        return self.weight_quantile > 0 or self.margin_quantile > 0
