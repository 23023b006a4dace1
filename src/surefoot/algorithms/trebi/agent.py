"""TREBI: planning under a cost budget that is given at run time (Lin et al., ICML 2023, arXiv 2306.00603).

A diffusion model of the behaviour's segments is sampled at every step, from the present observation. Values of noisy
segments, regressed on the logged reward and cost to the end of the episode, guide the samples up the gradient of R - w
(C - b)+. They also choose among the samples: the largest R of those with C <= b, else the smallest C. The budget b is
an input, so one model serves all budgets.

Corrected against the authors' code (presets `legacy` and `legacy_config` keep its ways): costs count undiscounted and
the values know how much of the episode is left, so that b is the cost that may still be caused; values are computed of
the plan that is executed; a margin may be calibrated on held-out episodes.

In the order of training and of a decision (the paper's numbers are not given: its text was not at hand):

- the model of behaviour, p(segment): `model_loss`, weighted error of the clean segment
- R and C of noisy segments: `value_loss`, squared errors of reward and cost to the end of the episode
- the margin of C: `residual_quantiles`, split-conformal
- samples guided by R - w (C - b)+, and the choice among them: `make_plan`
- b towards the episode's end: `stretched`
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from surefoot.algorithms.trebi.config import TREBIConfig
from surefoot.algorithms.trebi.planner import Memory, Plan, empty_memory, make_plan, planning_policy, stretched
from surefoot.algorithms.trebi.segments import (
    TIME_BINS,
    Batch,
    Normalizer,
    SegmentData,
    Segments,
    prepare_segments,
    residual_quantiles,
    time_bin,
)
from surefoot.algorithms.trebi.state import TREBIState, init_state, step_averaged
from surefoot.data import Dataset
from surefoot.diffusion.policy import draw_noisy
from surefoot.diffusion.schedules import Schedule
from surefoot.errors import ConfigError
from surefoot.nn import TemporalUNet, TrajectoryValue
from surefoot.planning import fix_observation, with_fused_networks
from surefoot.protocols import Inputs
from surefoot.tasks import Task
from surefoot.types import DataSpec, Metrics, Policy

# --- losses ---


def model_loss(
    network: TemporalUNet,
    x: Float[Array, "B H d"],
    key: Key[Array, ""],
    *,
    schedule: Schedule,
    first_action_weight: float,
) -> tuple[Float[Array, ""], Metrics]:
    """Weighted squared error of the clean segment, predicted from a noisy one whose first observation is clean.

    Args:
        network: Predicts the clean segment.
        x: Normalized segments of actions and observations, [B, H, d].
        key: Random key of times and noise.
        schedule: Noise schedule.
        first_action_weight: Weight of the first action's error; all others are 1.

    Returns:
        `(loss, metrics)`: `model/loss`, and `model/first_action_error`, unweighted.
    """
    first = x[:, 0, network.action_dim :]
    noisy, _, t = draw_noisy(x, key, schedule)
    predicted = fix_observation(network(fix_observation(noisy, first), t), first)
    weights = jnp.ones(x.shape[1:]).at[0, : network.action_dim].set(first_action_weight)
    loss = jnp.mean(weights[None] * (predicted - x) ** 2)
    error = jnp.mean((predicted - x)[:, 0, : network.action_dim] ** 2)
    return loss, {"model/loss": loss, "model/first_action_error": error}


def value_outputs(
    networks: TrajectoryValue,
    x: Float[Array, "b H d"],
    t: Float[Array, " b"],
    share_left: Float[Array, " b"],
    *,
    know_time_left: bool,
) -> Float[Array, "2 ensemble b"]:
    """Outputs of the stacked value networks: reward (row 0) and cost (row 1) to come.

    Args:
        networks: Value networks with a leading member axis.
        x: Normalized, noisy segments, [b, H, d].
        t: Diffusion times in 0..T-1, [b] or [1].
        share_left: Share of the episode that is left, in [0, 1], [b].
        know_time_left: Give `share_left` to the networks.

    Returns:
        Outputs in the networks' own units, [2, ensemble, b].
    """
    condition = 2.0 * share_left[:, None] - 1.0 if know_time_left else None
    outputs = jax.vmap(lambda network: network(x, t, condition))(networks)
    if outputs.shape[-1] == 2:
        return jnp.moveaxis(outputs, -1, 0)
    return outputs[..., 0].reshape(2, -1, outputs.shape[1])


def value_loss(
    networks: TrajectoryValue,
    segments: Segments,
    key: Key[Array, ""],
    *,
    scales: tuple[Float[Array, " 2"], Float[Array, " 2"]],
    action_dim: int,
    schedule: Schedule,
    know_time_left: bool,
    clean_share: float = 0.0,
) -> tuple[Float[Array, ""], Metrics]:
    """Squared error of reward and cost to come, predicted from noisy segments whose first observation is clean.

    A share of the batch stays without noise, at time 0, like the finished segments of a decision. The losses of the
    networks are summed, so that each network moves as it would alone.

    Args:
        networks: Value networks with a leading member axis.
        segments: B segments with their reward and cost to come.
        key: Random key of times and noise.
        scales: Mean [2] and standard deviation [2] of the targets.
        action_dim: Dimensions of an action.
        schedule: Noise schedule.
        know_time_left: Give the networks the share of the episode that is left.
        clean_share: Share of the batch without noise, in [0, 1].

    Returns:
        `(loss, metrics)`: `values/reward_loss` and `values/cost_loss`, means over the ensemble.
    """
    noisy, _, t = draw_noisy(segments.x, key, schedule)
    # Rows are drawn at random: the first ones are as good as any.
    stays_clean = jnp.arange(len(t)) < round(clean_share * len(t))
    noisy = jnp.where(stays_clean[:, None, None], segments.x, noisy)
    t = jnp.where(stays_clean, 0.0, t)
    noisy = fix_observation(noisy, segments.x[:, 0, action_dim:])
    outputs = value_outputs(networks, noisy, t, segments.share_left, know_time_left=know_time_left)
    mean, deviation = scales
    target = ((segments.to_come - mean[None]) / deviation[None]).T[:, None]
    errors = jnp.mean((outputs - target) ** 2, -1)
    return errors.sum(), {"values/reward_loss": errors[0].mean(), "values/cost_loss": errors[1].mean()}


# --- the algorithm ---


@dataclass(frozen=True)
class TREBI(TREBIConfig):
    """TREBI (Lin et al., 2023) with these hyper-parameters."""

    inputs: ClassVar[Inputs] = Inputs(budget=True, windows=True)
    paper: ClassVar[str] = "Lin et al., ICML 2023, arXiv 2306.00603"

    def prepare(self, dataset: Dataset, task: Task) -> SegmentData:
        """Segments with reward and cost to come. Raises `DataError` where no episode is complete, or all are shorter
        than a plan."""
        return prepare_segments(
            dataset,
            plan_horizon=self.plan_horizon,
            longest=task.horizon,
            discounts=(self.targets.reward_discount, self.targets.cost_discount),
            at_termination=(self.targets.termination_reward, self.targets.termination_cost),
            held_out_share=self.margins.held_out_share if self.margins.calibration_segments else 0.0,
        )

    # --- init, update, policy ---

    def init(self, spec: DataSpec, key: Key[Array, ""], statistics: Normalizer | None = None) -> TREBIState:
        """Fresh networks and optimizers, with the normalization of the data. Raises `ConfigError` where a plan is
        longer than the longest episode."""
        return init_state(spec, key, self, statistics)

    def update(self, state: TREBIState, batch: Batch, key: Key[Array, ""], *, phase: str) -> tuple[TREBIState, Metrics]:
        """One update of the phase `model` or `values`, or the calibration of the margin on held-out segments.

        Returns:
            (state, metrics) under the phase's name.
        """
        action_dim = state.model.network.action_dim
        if phase == "model":
            gradient, metrics = jax.grad(model_loss, has_aux=True)(
                state.model.network,
                batch.segments.x,
                key,
                schedule=self.schedule,
                first_action_weight=self.first_action_weight,
            )
            return state._replace(
                model=step_averaged(state.model, gradient, self.training.model_updates, config=self.training)
            ), metrics
        if phase == "values":
            gradient, metrics = jax.grad(value_loss, has_aux=True)(
                state.values.network,
                batch.segments,
                key,
                scales=self._target_scales(state),
                action_dim=action_dim,
                schedule=self.schedule,
                know_time_left=self.values.know_time_left,
                clean_share=self.values.clean_value_share,
            )
            return state._replace(
                values=step_averaged(state.values, gradient, self.training.value_updates, config=self.training)
            ), metrics
        if phase == "calibration":
            held_out = batch.held_out
            _, cost = self.predict(state, held_out.x, jnp.zeros(1), held_out.share_left)
            residual = held_out.to_come[:, 1] - cost
            table = residual_quantiles(residual, held_out.share_left, bins=TIME_BINS)
            metrics = {"calibration/cost_bias": residual.mean(), "calibration/cost_error": jnp.abs(residual).mean()}
            return state._replace(residuals=table), metrics
        raise ConfigError(f"unknown phase '{phase}'; known: model, values, calibration.")

    def policy(self, state: TREBIState) -> Policy:
        """Policy that executes the first actions of the chosen plan.

        `PolicyInputs.remaining_budget` is required; steps are counted where `PolicyInputs.step` is None. `lax.map` over
        seeds is faster than `vmap`, which computes skipped plans.
        """
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
        """Plans for n environments, each under its own budget.

        Args:
            state: Training state.
            observation: Present observations, [n, obs].
            remaining_budget: Cost that may still be caused, [n]; inf is no limit.
            step: Environment steps since the reset, [n].
            key: One key, or one for each environment [n], with which a plan does not depend on the other environments.
            memory: Memory of the policy, from which a warm sampler starts; None: an empty one.

        Returns:
            (memory with the new plans, plans).
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
        if self.values.know_time_left and self.targets.cost_discount == 1.0:
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
                candidates=self.num_candidates,
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
        """Observations [n, H, obs] of the plans in the policy's memory, in the environment's units."""
        action_dim, scales = state.model.network.action_dim, state.normalizer
        observations = memory.segments[..., action_dim:]
        return observations * scales.deviation[None, None, action_dim:] + scales.mean[None, None, action_dim:]

    def predict(
        self, state: TREBIState, x: Float[Array, "b H d"], t: Float[Array, " b"], share_left: Float[Array, " b"]
    ) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
        """Reward and cost to come of normalized, noisy segments, in their own units.

        Args:
            state: Training state.
            x: Segments, [b, H, d].
            t: Diffusion times in 0..T-1, [b] or [1].
            share_left: Share of the episode that is left, in [0, 1], [b].

        Returns:
            (mean reward, largest cost of the ensemble), each [b].
        """
        outputs = value_outputs(state.values.average, x, t, share_left, know_time_left=self.values.know_time_left)
        mean, deviation = self._target_scales(state)
        raw = outputs * deviation[:, None, None] + mean[:, None, None]
        return raw[0].mean(0), raw[1].max(0)

    def margin(self, state: TREBIState, share_left: Float[Array, " n"]) -> Float[Array, " n"]:
        """Safety margin that is subtracted from budgets.

        Args:
            state: Training state.
            share_left: Share of the episode that is left, in [0, 1], [n].

        Returns:
            Margins [n] in units of the cost.
        """
        margin = jnp.full_like(share_left, self.margins.cost_margin)
        if self.margins.margin_level == 0.0:
            return margin
        quantile = state.residuals[:, round(100 * (1.0 - self.margins.margin_level))]
        return margin + quantile[time_bin(share_left, bins=TIME_BINS)]

    def _target_scales(self, state: TREBIState) -> tuple[Float[Array, " 2"], Float[Array, " 2"]]:
        if self.values.normalize_targets:
            return state.normalizer.target_mean, state.normalizer.target_deviation
        return jnp.zeros(2), jnp.ones(2)
