"""FISOR's hyper-parameters."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from surefoot.algorithms.fisor_checks import check_combinations
from surefoot.algorithms.fisor_returns import ReturnsConfig
from surefoot.algorithms.fisor_scales import ScalingConfig
from surefoot.algorithms.fisor_weights import Extraction, Weighting
from surefoot.diffusion.policy import DiffusionPolicyConfig
from surefoot.ranges import COUNT, NUMBER, Range, check_fields
from surefoot.types import BEFORE


@dataclass(frozen=True)
class FISORFields:
    """Hyper-parameters; the values here are the paper's, presets change them per task."""

    # --- schedule ---
    schedule: Literal["decoupled", "joint"] = "decoupled"
    """decoupled: constraint values, reward values, then the policy on frozen weights. joint: all in every update."""
    constraint_updates: Annotated[int, Range(NUMBER)] = 100_000
    """Updates of V_h and Q_h (decoupled, value_targets = backup)."""
    reward_updates: Annotated[int, Range(NUMBER)] = 100_000
    """Updates of V_r and Q_r (decoupled, value_targets = backup)."""
    policy_updates: Annotated[int, Range(NUMBER)] = 200_000
    """Updates of the policy (decoupled)."""
    value_updates: Annotated[int, Range(NUMBER)] = field(default=10_000, metadata={BEFORE: 10_000})
    """Updates of all values at once (value_targets = returns)."""
    critic_updates: Annotated[int, Range(NUMBER)] = field(default=8_000, metadata={BEFORE: 8_000})
    """Updates of all critics after them (value_targets = returns)."""
    joint_updates: Annotated[int, Range(NUMBER)] = 100_000
    """Updates in all, each of `policy_steps` policy steps and one step of every value (joint)."""
    value_batch_size: Annotated[int, Range("[1, 2^24]")] = 256
    """Transitions per update of the values."""
    policy_batch_size: Annotated[int, Range("[1, 2^24]")] = 1024
    """Transitions per step of the policy."""
    policy_steps: Annotated[int, Range("[1, 1024]")] = 2
    """Policy steps per update, on consecutive parts of the batch (joint)."""

    # --- values ---
    value_targets: Literal["backup", "returns"] = field(default="backup", metadata={BEFORE: "backup"})
    """backup: one step and V of the next state, the paper's. returns: lambda-returns along the logged trajectories."""
    returns: ReturnsConfig = field(default_factory=ReturnsConfig, metadata={BEFORE: {}})
    """How those are formed."""
    recovery: Literal["none", "cost"] = field(default="none", metadata={BEFORE: "none"})
    """cost: also learn V_c, Q_c, discounted numbers of violating steps to come. Outside the region the weights and the
    choice of the action then go by them: where h has two values Q_h does not say how to get out (decoupled)."""
    value_hidden: Annotated[tuple[int, ...], Range("[1, 65536]")] = (256, 256)
    """Units of the hidden layers of every value and critic."""
    ensemble: Annotated[int, Range("[1, 1024]")] = 2
    """Critics per objective; the minimum of Q_r and the maximum of Q_h count."""
    constraint_value_ensemble: Annotated[int, Range("[1, 1024]")] = 1
    """Networks for V_h, trained on the same targets from different starts; their maximum counts, an upper bound."""
    discount: Annotated[float, Range("[0, 1)")] = 0.99
    """Discount of rewards (and of costs with critic = qc), per environment step."""
    constraint_discount: Annotated[float, Range("[0, 1)")] = 0.99
    """Discount of the Hamilton-Jacobi backup at the end of training, per environment step."""
    constraint_discount_start: Annotated[float, Range("[0, 1)")] = 0.99
    """That discount at the first update; 1 - discount moves geometrically between the two (decoupled)."""
    expectile: Annotated[float, Range("[0.5, 1)")] = 0.9
    """Upper expectile of V_r."""
    constraint_expectile: Annotated[float, Range("[0.5, 1)")] = 0.9
    """Lower expectile of V_h: weight of the errors where V_h is above Q_h."""
    value_learning_rate: Annotated[float, Range("(0, inf)")] = 3e-4
    """First learning rate of Adam for values and critics."""
    value_final_learning_rate: Annotated[float, Range("[0, inf)")] = 3e-4
    """Last learning rate of a decoupled phase, reached as a cosine; joint training keeps the first."""
    target_rate: Annotated[float, Range("(0, 1]")] = 0.005
    """Share of the online critics that enters their targets at each update."""

    # --- constraint ---
    critic: Literal["hj", "qc"] = "hj"
    """hj: worst constraint signal to come. qc: discounted sum of costs minus the discounted cost limit."""
    cost_limit: Annotated[float, Range("[0, inf)")] = 0.0
    """Allowed sum of costs over an episode (qc, and margin_over = allowed)."""
    horizon: Annotated[int, Range(COUNT)] = 1000
    """Longest episode that the limit is spread over, in environment steps (qc only)."""
    count_state_left: bool = True
    """Let a transition's h be the larger of the states it leaves and enters, so that V_h(s) >= h(s) as in the
    definition; False: only the state entered, as in the authors' code."""
    trajectory_bound: bool = False
    """Beyond the paper: let no target of Q_h exceed what the logged way on was worth: the largest h of it, where the
    episode terminated; its discounted value, where only costs are logged and it was cut. That way can be driven
    again, so it bounds the best one from above; only where dynamics are deterministic (hj, value_targets = backup)."""
    value_bound: bool = False
    """The same for what V_h is regressed on: the best of the logged ways on, which a Q_h that can hardly tell the
    actions of a step apart does not find (hj, value_targets = backup)."""
    timeouts_terminal: bool = False
    """Bootstrap nothing across timeouts (the authors' code); False: only termination ends the future."""
    violation_scale: Annotated[float, Range("(0, inf)")] = 25.0
    """h of a violating transition where data have only costs; others have h = -1."""
    reward_values: bool = field(default=True, metadata={BEFORE: True})
    """Train V_r and Q_r. False, for data without rewards: they are neither trained nor read; `weighting` is then one
    that reads no rewards, and `extraction` minqc or first_feasible."""
    reward_scaling: Literal["reference", "none"] = "reference"
    """reference: rewards times horizon / (best - worst reference return). none: as logged."""

    # --- units ---
    scaling: ScalingConfig = field(default_factory=ScalingConfig, metadata={BEFORE: {}})
    """What is measured in units that follow from the data."""
    margin_over: Literal["safe", "allowed"] = field(default="safe", metadata={BEFORE: "safe"})
    """Whose states scaling.margin_quantile is a share of. safe: logged episodes without violation, as for the weights.
    allowed: those within the cost limit, without the states in violation."""

    # --- policy ---
    weighting: Weighting = "feasibility"
    """feasibility: equation 14. imitation: without rewards (advantage = return reads those that there are).
    behaviour_cloning: every transition alike."""
    reward_temperature: Annotated[float, Range("[0, inf)")] = 3.0
    """alpha_r: weight of reward advantages inside the region (1 / reward unit, or 1 / spread where scaled)."""
    constraint_temperature: Annotated[float, Range("[0, inf)")] = 5.0
    """alpha_h: weight of constraint advantages outside the region (1 / unit of h, or 1 / spread where scaled)."""
    weight_margin: Annotated[float, Range("[0, inf)")] = 0.0
    """The region that the weights imitate in is V_h <= -weight_margin, in units of h: in the band before the border
    the policy learns the ways back from it, and candidates there hold some. The paper's is 0."""
    advantage: Literal["critic", "return"] = field(default="critic", metadata={BEFORE: "critic"})
    """critic: weights by Q - V of an action, the paper's. return: by the logged way's own return less V (decoupled)."""
    scaled_advantages: bool = False
    """Divide advantages by their spread before the temperatures (advantage = return does so in any case)."""
    diffusion: DiffusionPolicyConfig = field(default_factory=DiffusionPolicyConfig)
    """The diffusion policy."""

    # --- acting ---
    num_candidates: Annotated[int, Range("[1, 2^20]")] = 16
    """Actions sampled per decision."""
    safer_step: Annotated[float, Range("[0, inf)")] = 0.0
    """Beyond the paper: each candidate gets a sibling moved this far down Q_h's gradient, in units of the action."""
    extraction: Extraction = "minqc"
    """Which candidate acts: minqc, maxq, feasible_first or first_feasible."""
    margin: Annotated[float, Range("[0, inf)")] = 0.0
    """A candidate counts as feasible where Q_h <= -margin (feasible_first, first_feasible), in units of h."""
    escape_slack: Annotated[float, Range("[0, inf)")] = 0.0
    """Beyond the paper: where a violation cannot be avoided, candidates within this of the smallest Q_h compete by Q_r
    (feasible_first), in units of h."""
    escape_above: Annotated[float, Range("(-inf, inf)")] = 0.0
    """The smallest Q_h from which a violation counts as unavoidable for that, in units of h."""

    def __post_init__(self) -> None:
        check_fields(self)
        check_combinations(self)
