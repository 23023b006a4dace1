"""TREBI's hyper-parameters, in groups whose fields keep their own names."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

import optax

from surefoot.diffusion.clean import Steps, make_steps
from surefoot.diffusion.schedules import BetaSchedule, Schedule, make_schedule
from surefoot.nn import TemporalConfig
from surefoot.planning import GuideConfig, SamplerConfig
from surefoot.ranges import COUNT, NUMBER, Range, Ranged, Relation
from surefoot.types import BEFORE, FORMERLY, GROUP, Phase


@dataclass(frozen=True)
class TREBITraining(Ranged):
    """Numbers of updates, segments of a batch, and the moving average of each network."""

    model_updates: Annotated[int, Range(NUMBER)] = 200_000
    """Updates of the diffusion model."""
    value_updates: Annotated[int, Range(NUMBER)] = 200_000
    """Updates of the values."""
    batch_size: Annotated[int, Range("[1, 2^24]")] = 64
    """Segments per update."""
    learning_rate: Annotated[float, Range("(0, inf)")] = 2e-4
    """Adam's first learning rate."""
    final_learning_rate: Annotated[float, Range("[0, inf)")] = 2e-4
    """The last of each phase, reached as a cosine."""
    ema_rate: Annotated[float, Range("(0, 1]")] = field(default=0.005, metadata={FORMERLY: "average_rate"})
    """Share of the online network that enters the average."""
    ema_interval: Annotated[int, Range(COUNT)] = field(default=10, metadata={FORMERLY: "average_interval"})
    """Updates between two steps of the average."""
    ema_start: Annotated[int, Range(NUMBER)] = field(default=2_000, metadata={FORMERLY: "average_start"})
    """Updates before which the average is the online network itself."""

    def optimizer(self, updates: int) -> optax.GradientTransformation:
        """Adam, whose learning rate goes from the first to the last as a cosine over `updates` steps."""
        first, last = self.learning_rate, self.final_learning_rate
        if last == first:
            return optax.adam(first)
        return optax.adam(optax.cosine_decay_schedule(first, max(updates, 1), alpha=last / first))


@dataclass(frozen=True)
class TargetsConfig(Ranged):
    """Targets of the values: reward and cost to the end of the episode."""

    reward_discount: Annotated[float, Range("(0, 1]")] = 0.99
    """Of the reward to come, per environment step."""
    cost_discount: Annotated[float, Range("(0, 1]")] = 1.0
    """Of the cost to come, and so of the budget, per environment step."""
    termination_reward: Annotated[float, Range("(-inf, inf)")] = 0.0
    """Added to the reward of a step that terminates the episode."""
    termination_cost: Annotated[float, Range("(-inf, inf)")] = 0.0
    """Added to the cost of a step that terminates the episode."""


@dataclass(frozen=True)
class TREBIValues(Ranged):
    """Networks of reward and cost, and their inputs."""

    value_network: TemporalConfig = field(default_factory=TemporalConfig)
    """Sizes of each value network."""
    value_heads: Literal["separate", "shared"] = "separate"
    """separate: a network for reward and one for cost, stacked. shared: one network with two outputs."""
    value_ensemble: Annotated[int, Range("[1, 1024]")] = 1
    """Networks of each kind; the mean of the rewards and the largest of the costs count."""
    clean_value_share: Annotated[float, Range("[0, 1]")] = field(default=0.0, metadata={BEFORE: 0.0})
    """Share of the segments that the values learn from without noise, as finished segments are judged (0: the paper's,
    where a batch has clean ones nearly at one of T times only; where nothing guides, no others are judged)."""
    know_time_left: bool = True
    """Tell the values which share of the episode is left (False: the authors')."""
    normalize_targets: bool = True
    """Let the values predict the reward and cost to come in units of their spread (False: the authors')."""


@dataclass(frozen=True)
class MarginConfig(Ranged):
    """Margins on the budget, and their calibration on held-out segments."""

    cost_margin: Annotated[float, Range("(-inf, inf)")] = 0.0
    """Taken off the budget, in its units."""
    margin_level: Annotated[float, Range("[0, 1)")] = 0.0
    """Share of held-out segments whose realised cost may exceed prediction plus margin; 0: no calibrated margin."""
    held_out_share: Annotated[float, Range("[0, 0.5]")] = 0.1
    """Share of the episodes that are held out for calibration."""
    calibration_segments: Annotated[int, Range("[0, 2^24]")] = 4_096
    """Held-out segments that the margin is calibrated on; 0: none."""


@dataclass(frozen=True)
class TREBIConfig(Ranged):
    """Hyper-parameters; the defaults are the paper's sizes with the corrected behavior."""

    plan_horizon: Annotated[int, Range("[1, 65536]")] = 32
    """Steps of a segment; a multiple of 2^(levels of the network - 1)."""
    training: TREBITraining = field(default_factory=TREBITraining, metadata={GROUP: TREBITraining})
    """Updates and batches."""
    targets: TargetsConfig = field(default_factory=TargetsConfig, metadata={GROUP: TargetsConfig})
    """What the values predict."""
    diffusion_steps: Annotated[int, Range("[1, 10000]")] = 20
    """Denoising steps T that the model is trained for."""
    beta_schedule: BetaSchedule = "cosine"
    """Noise schedule."""
    network: TemporalConfig = field(default_factory=TemporalConfig)
    """Sizes of the diffusion model."""
    first_action_weight: Annotated[float, Range("[0, inf)")] = 10.0
    """Weight of the error of a segment's first action; all others are 1."""
    values: TREBIValues = field(default_factory=TREBIValues, metadata={GROUP: TREBIValues})
    """Networks of reward and cost."""
    num_candidates: Annotated[int, Range("[1, 2^20]")] = field(default=64, metadata={FORMERLY: "candidates"})
    """Segments sampled for each decision."""
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    """How they are sampled."""
    guide: GuideConfig = field(default_factory=lambda: GuideConfig(units="spread", cost_weight=5.0, scale=0.1))
    """How values lead them."""
    chosen_by: Literal["rescored", "last_guide"] = "rescored"
    """rescored: values of the finished segments. last_guide: of the last guide evaluation before the last denoising
    step (the authors')."""
    control_interval: Annotated[int, Range("[1, 65536]")] = 1
    """Actions of a plan that are carried out before the next is made."""
    margins: MarginConfig = field(default_factory=MarginConfig, metadata={GROUP: MarginConfig})
    """Margins of the budget."""

    def _relations(self) -> Iterator[Relation]:
        found = f"found {self.plan_horizon}"
        for part, network in (("network", self.network), ("value_network", self.values.value_network)):
            levels = len(network.multipliers)
            halvings = 2 ** (levels - 1)
            sentence = f"expected a multiple of {halvings}, because the {part} halves it between its {levels} levels"
            good, others = self.plan_horizon % halvings == 0, [f"{part}.multipliers"]
            yield Relation(good, "plan_horizon", f"{sentence}, {found}", others)
        steps = self.sampler.steps
        sentence = f"expected at most diffusion_steps = {self.diffusion_steps}, found {steps}"
        good = steps is None or steps <= self.diffusion_steps
        yield Relation(good, "steps", sentence, ["diffusion_steps"], self.sampler, part="sampler")
        if good:
            number, warm = self.denoising.number, self.sampler.warm_steps
            sentence = f"expected a number in [0, {number}), found {warm}"
            others = ("diffusion_steps", "sampler.steps")
            yield Relation(warm < number, "warm_steps", sentence, others, self.sampler, part="sampler")
        sentence = f"expected a number in [1, {self.plan_horizon}], found {self.control_interval}"
        good = self.control_interval <= self.plan_horizon
        yield Relation(good, "control_interval", sentence, ["plan_horizon"])

    @property
    def budget_discount(self) -> float:
        """d in b_{t+1} = (b_t - c_t) / d, per environment step."""
        return self.targets.cost_discount

    @property
    def schedule(self) -> Schedule:
        return make_schedule(self.beta_schedule, self.diffusion_steps)

    @property
    def denoising(self) -> Steps:
        """Coefficients of the sampler's steps."""
        sampler = self.sampler
        return make_steps(self.schedule, sampler=sampler.kind, count=sampler.steps, temperature=sampler.temperature)

    @property
    def phases(self) -> tuple[Phase, ...]:
        phases = (
            Phase("model", self.training.model_updates, self.training.batch_size),
            Phase("values", self.training.value_updates, self.training.batch_size),
            Phase("calibration", min(self.margins.calibration_segments, 1), self.margins.calibration_segments),
        )
        return tuple(phase for phase in phases if phase.updates > 0)

    @property
    def planned_over(self) -> dict[str, str]:
        """Numbers of updates that a schedule depends on from its phase's first update -> how it depends on them."""
        if self.training.learning_rate == self.training.final_learning_rate:
            return {}
        return dict.fromkeys(("model_updates", "value_updates"), "the learning rate falls over it")
