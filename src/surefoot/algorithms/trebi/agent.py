"""TREBI: planning under a cost budget that is given at run time (Lin et al., ICML 2023, arXiv 2306.00603).

A diffusion model of the behaviour's segments is sampled at every step, from where the environment is. Values of noisy
segments, regressed on the reward and the cost that came to the end of the episode, lead the samples up the gradient of
R - w (C - b)+, and choose among them: the largest R of those with C <= b, else the smallest C. The budget b is an
input, so one model serves all budgets.

Corrected against the authors' code (presets `legacy` and `legacy_config` keep its ways): costs count undiscounted and
the values know how much of the episode is left, so that b is simply the cost that may still be caused; what is rescored
and chosen is the plan that is carried out; a margin may be calibrated on episodes held out.

In the order of training and of a decision (the paper's numbers are not given: its text was not at hand):

- the model of behaviour, p(segment): `model_loss`, weighted error of the clean segment
- R and C of noisy segments: `value_loss`, squared errors of what came to the end of the episode
- the margin of C: `residual_quantiles`, split-conformal
- samples led by R - w (C - b)+, and the choice among them: `make_plan`
- b towards the episode's end: `stretched`
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from surefoot.algorithms.trebi.learning import (
    Averaged,
    ValueHeads,
    create_values,
    init_averaged,
    make_adam,
    model_loss,
    step_averaged,
    value_loss,
    value_outputs,
)
from surefoot.algorithms.trebi.planner import (
    Memory,
    Plan,
    empty_memory,
    make_plan,
    planning_policy,
    stretched,
)
from surefoot.algorithms.trebi.segments import (
    Batch,
    Normalizer,
    SegmentData,
    prepare_segments,
    residual_quantiles,
    time_bin,
)
from surefoot.data import Dataset
from surefoot.diffusion.clean import Steps, make_steps
from surefoot.diffusion.schedules import BetaSchedule, Schedule, make_schedule
from surefoot.errors import ConfigError
from surefoot.nn import TemporalConfig, TemporalUNet
from surefoot.planning import GuideConfig, SamplerConfig, with_fused_networks
from surefoot.protocols import Inputs
from surefoot.ranges import COUNT, NUMBER, Range, Relations, check_fields
from surefoot.tasks import Task
from surefoot.types import BEFORE, DataSpec, Metrics, Phase, Policy

_TIME_BINS = 10
"""Parts of an episode that the margin is calibrated for."""


class TREBIState(NamedTuple):
    """Everything that training changes."""

    model: Averaged
    """A `TemporalUNet`."""
    values: Averaged
    """`TrajectoryValue`s with a leading member axis."""
    normalizer: Normalizer
    residuals: Float[Array, "bins 101"]
    """Quantiles of realised minus predicted cost of held-out segments, by the share of the episode that is left."""
    longest: Float[Array, ""]
    """Longest episode, in environment steps."""


@dataclass(frozen=True)
class TREBI:
    """Hyper-parameters; the defaults are the paper's sizes with the corrected behaviour."""

    # --- data and training ---
    plan_horizon: Annotated[int, Range("[1, 65536]")] = 32
    """Steps of a segment; a multiple of 2^(levels of the network - 1)."""
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
    average_rate: Annotated[float, Range("(0, 1]")] = 0.005
    """Share of the online network that enters the average."""
    average_interval: Annotated[int, Range(COUNT)] = 10
    """Updates between two steps of the average."""
    average_start: Annotated[int, Range(NUMBER)] = 2_000
    """Updates before which the average is the online network itself."""
    reward_discount: Annotated[float, Range("(0, 1]")] = 0.99
    """Of the reward to come, per environment step."""
    cost_discount: Annotated[float, Range("(0, 1]")] = 1.0
    """Of the cost to come, and so of the budget, per environment step."""
    termination_reward: Annotated[float, Range("(-inf, inf)")] = 0.0
    """Added to the reward of a step that terminates the episode."""
    termination_cost: Annotated[float, Range("(-inf, inf)")] = 0.0
    """Added to the cost of a step that terminates the episode."""

    # --- networks ---
    diffusion_steps: Annotated[int, Range("[1, 10000]")] = 20
    """Denoising steps T that the model is trained for."""
    beta_schedule: BetaSchedule = "cosine"
    """Noise schedule."""
    network: TemporalConfig = field(default_factory=TemporalConfig)
    """Sizes of the diffusion model."""
    value_network: TemporalConfig = field(default_factory=TemporalConfig)
    """Sizes of each value network."""
    first_action_weight: Annotated[float, Range("[0, inf)")] = 10.0
    """Weight of the error of a segment's first action; all others are 1."""
    value_heads: ValueHeads = "separate"
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

    # --- planning ---
    candidates: Annotated[int, Range("[1, 2^20]")] = 64
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
    cost_margin: Annotated[float, Range("(-inf, inf)")] = 0.0
    """Taken off the budget, in its units."""
    margin_level: Annotated[float, Range("[0, 1)")] = 0.0
    """Share of held-out segments whose realised cost may exceed prediction plus margin; 0: no calibrated margin."""
    held_out_share: Annotated[float, Range("[0, 0.5]")] = 0.1
    """Share of the episodes that are held out for calibration."""
    calibration_segments: Annotated[int, Range("[0, 2^24]")] = 4_096
    """Held-out segments that the margin is calibrated on; 0: none."""

    def __post_init__(self) -> None:
        check_fields(self)
        with Relations() as relations:
            self._check_relations(relations)

    def _check_relations(self, relations: Relations) -> None:
        found = f"found {self.plan_horizon}"
        for part, network in (("network", self.network), ("value_network", self.value_network)):
            levels = len(network.multipliers)
            halvings = 2 ** (levels - 1)
            sentence = f"expected a multiple of {halvings}, because the {part} halves it between its {levels} levels"
            good, others = self.plan_horizon % halvings == 0, [f"{part}.multipliers"]
            relations.check(self, good, "plan_horizon", f"{sentence}, {found}", others=others)
        steps = self.sampler.steps
        sentence = f"expected at most diffusion_steps = {self.diffusion_steps}, found {steps}"
        good = steps is None or steps <= self.diffusion_steps
        relations.check(self.sampler, good, "steps", sentence, part="sampler", others=["diffusion_steps"])
        if good:
            number, warm = self.denoising.number, self.sampler.warm_steps
            sentence = f"expected a number in [0, {number}), found {warm}"
            others = ("diffusion_steps", "sampler.steps")
            relations.check(self.sampler, warm < number, "warm_steps", sentence, part="sampler", others=others)
        sentence = f"expected a number in [1, {self.plan_horizon}], found {self.control_interval}"
        good = self.control_interval <= self.plan_horizon
        relations.check(self, good, "control_interval", sentence, others=["plan_horizon"])

    inputs: ClassVar[Inputs] = Inputs(budget=True, windows=True)
    paper: ClassVar[str] = "Lin et al., ICML 2023, arXiv 2306.00603"

    @property
    def budget_discount(self) -> float:
        """d in b_{t+1} = (b_t - c_t) / d."""
        return self.cost_discount

    @property
    def schedule(self) -> Schedule:
        return make_schedule(self.beta_schedule, self.diffusion_steps)

    @property
    def denoising(self) -> Steps:
        """The sampler's steps."""
        sampler = self.sampler
        return make_steps(self.schedule, sampler=sampler.kind, count=sampler.steps, temperature=sampler.temperature)

    # --- data and phases ---

    def prepare(self, dataset: Dataset, task: Task) -> SegmentData:
        """Segments, and the reward and cost to come; `DataError` where every episode is shorter than a plan."""
        return prepare_segments(
            dataset,
            plan_horizon=self.plan_horizon,
            longest=task.horizon,
            discounts=(self.reward_discount, self.cost_discount),
            at_termination=(self.termination_reward, self.termination_cost),
            held_out_share=self.held_out_share if self.calibration_segments else 0.0,
        )

    @property
    def phases(self) -> tuple[Phase, ...]:
        phases = (
            Phase("model", self.model_updates, self.batch_size),
            Phase("values", self.value_updates, self.batch_size),
            Phase("calibration", min(self.calibration_segments, 1), self.calibration_segments),
        )
        return tuple(phase for phase in phases if phase.updates > 0)

    @property
    def planned_over(self) -> dict[str, str]:
        """Numbers of updates on which training depends from the first update of their phase on -> how."""
        if self.learning_rate == self.final_learning_rate:
            return {}
        return dict.fromkeys(("model_updates", "value_updates"), "the learning rate falls over it")

    # --- init, update, policy ---

    def init(self, spec: DataSpec, key: Key[Array, ""], statistics: Normalizer | None = None) -> TREBIState:
        if self.plan_horizon > spec.horizon:
            raise ConfigError(
                f"plan_horizon: expected at most {spec.horizon} steps, as the longest episode has, "
                f"found {self.plan_horizon}."
            )
        k_model, k_values = jax.random.split(key)
        width = spec.action_dim + spec.observation_dim
        model = TemporalUNet.create(k_model, spec.observation_dim, spec.action_dim, self.network)
        values = create_values(
            k_values,
            width,
            self.plan_horizon,
            self.value_network,
            heads=self.value_heads,
            ensemble=self.value_ensemble,
            know_time_left=self.know_time_left,
        )
        return TREBIState(
            model=init_averaged(model, self._optimizer(self.model_updates)),
            values=init_averaged(values, self._optimizer(self.value_updates)),
            normalizer=Normalizer.none(width) if statistics is None else statistics,
            residuals=jnp.zeros((_TIME_BINS, 101)),
            longest=jnp.asarray(float(spec.horizon)),
        )

    def update(self, state: TREBIState, batch: Batch, key: Key[Array, ""], *, phase: str) -> tuple[TREBIState, Metrics]:
        """One update of the given phase."""
        action_dim = state.model.network.action_dim
        if phase == "model":
            gradient, metrics = jax.grad(model_loss, has_aux=True)(
                state.model.network,
                batch.segments.x,
                key,
                schedule=self.schedule,
                first_action_weight=self.first_action_weight,
            )
            return state._replace(model=self._step(state.model, gradient, self.model_updates)), metrics
        if phase == "values":
            gradient, metrics = jax.grad(value_loss, has_aux=True)(
                state.values.network,
                batch.segments,
                key,
                scales=self._target_scales(state),
                action_dim=action_dim,
                schedule=self.schedule,
                know_time_left=self.know_time_left,
                clean_share=self.clean_value_share,
            )
            return state._replace(values=self._step(state.values, gradient, self.value_updates)), metrics
        if phase == "calibration":
            held_out = batch.held_out
            _, cost = self.predict(state, held_out.x, jnp.zeros(1), held_out.share_left)
            residual = held_out.to_come[:, 1] - cost
            table = residual_quantiles(residual, held_out.share_left, bins=_TIME_BINS)
            metrics = {"calibration/cost_bias": residual.mean(), "calibration/cost_error": jnp.abs(residual).mean()}
            return state._replace(residuals=table), metrics
        raise ConfigError(f"unknown phase '{phase}'; known: model, values, calibration.")

    def sample_weights(self, state: TREBIState, data: SegmentData, *, phase: str) -> None:
        """Every segment alike."""
        return None

    def policy(self, state: TREBIState) -> Policy:
        """The first actions of the chosen plan; `inputs.remaining_budget` must be given, `inputs.step` is counted where
        it is not. Do not vmap it over seeds where speed matters (`lax.map` keeps what is skipped skipped)."""
        return planning_policy(
            lambda *decision: self.plan(state, *decision)[0],
            state.normalizer,
            action_dim=state.model.network.action_dim,
            plan_horizon=self.plan_horizon,
            control_interval=self.control_interval,
        )

    def plan(
        self,
        state: TREBIState,
        observation: Float[Array, "n obs"],
        remaining_budget: Float[Array, " n"],
        step: Int[Array, " n"],
        key: Key[Array, "*n"],
        memory: Memory | None = None,
    ) -> tuple[Memory, Plan]:
        """Plans for n environments, each under its own budget, which may be infinite, `step` steps after its reset.

        `key`: one for all, or [n], with which a plan does not depend on what else is planned. `memory` is the policy's;
        with it a warm sampler starts from the plan before. Returned with the new plan in it.
        """
        trained_for = state.values.network.horizon
        if trained_for != self.plan_horizon:
            raise ConfigError(
                f"plan_horizon: expected {trained_for} steps, which the values were trained for, "
                f"found {self.plan_horizon}."
            )
        share_left = jnp.clip(1.0 - step / state.longest, 0.0, 1.0)
        budget = remaining_budget - self.margin(state, share_left)
        stretch = jnp.ones_like(budget)
        if self.know_time_left and self.cost_discount == 1.0:
            share_left, stretch = stretched(share_left, longest=state.longest, plan_horizon=self.plan_horizon)
        before = memory
        if before is None:
            width = state.normalizer.mean.shape[0]
            before = empty_memory(len(observation), self.plan_horizon, width, age=self.control_interval)

        def planned(model: Any, values: Any) -> tuple[Memory, Plan]:
            as_planning = state._replace(values=state.values._replace(average=values))
            return make_plan(
                model,
                lambda x, t, left: self.predict(as_planning, x, t, left),
                observation,
                jnp.where(budget > 0.0, budget * stretch, budget),
                share_left,
                key,
                before,
                normalizer=state.normalizer,
                steps=self.denoising,
                candidates=self.candidates,
                guide=self.guide,
                warm_steps=self.sampler.warm_steps,
                rescore=self.chosen_by == "rescored",
            )

        memory, plan = with_fused_networks(
            planned,
            state.model.average,
            state.values.average,
            horizon=self.plan_horizon,
            times=self.diffusion_steps,
        )
        return memory, plan._replace(cost=plan.cost / stretch, budget=budget)

    def imagined(self, state: TREBIState, memory: Memory) -> Float[Array, "n H obs"]:
        """The observations of the plans that the policy remembers, in the environment's units."""
        action_dim, scales = state.model.network.action_dim, state.normalizer
        observations = memory.segments[..., action_dim:]
        return observations * scales.deviation[None, None, action_dim:] + scales.mean[None, None, action_dim:]

    # --- what the values say ---

    def predict(
        self, state: TREBIState, x: Float[Array, "b H d"], t: Float[Array, " b"], share_left: Float[Array, " b"]
    ) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
        """Reward and cost to come of normalised, noisy segments, raw: the mean and the largest of the ensemble."""
        outputs = value_outputs(state.values.average, x, t, share_left, know_time_left=self.know_time_left)
        mean, deviation = self._target_scales(state)
        raw = outputs * deviation[:, None, None] + mean[:, None, None]
        return raw[0].mean(0), raw[1].max(0)

    def margin(self, state: TREBIState, share_left: Float[Array, " n"]) -> Float[Array, " n"]:
        """Taken off the budgets, in units of cost."""
        margin = jnp.full_like(share_left, self.cost_margin)
        if self.margin_level == 0.0:
            return margin
        quantile = state.residuals[:, round(100 * (1.0 - self.margin_level))]
        return margin + quantile[time_bin(share_left, bins=_TIME_BINS)]

    # --- steps ---

    def _target_scales(self, state: TREBIState) -> tuple[Float[Array, " 2"], Float[Array, " 2"]]:
        if self.normalize_targets:
            return state.normalizer.target_mean, state.normalizer.target_deviation
        return jnp.zeros(2), jnp.ones(2)

    def _optimizer(self, updates: int) -> optax.GradientTransformation:
        return make_adam(self.learning_rate, self.final_learning_rate, updates)

    def _step(self, part: Averaged, gradient: Any, updates: int) -> Averaged:
        return step_averaged(
            part,
            gradient,
            self._optimizer(updates),
            start=self.average_start,
            interval=self.average_interval,
            rate=self.average_rate,
        )
