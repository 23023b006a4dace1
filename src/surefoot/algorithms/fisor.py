"""FISOR: feasibility-guided safe offline reinforcement learning (Zheng et al., ICLR 2024, arXiv 2401.10700).

Three regressions, none of which needs another's result:
1. the largest feasible region: V_h, Q_h by lower expectiles of the Hamilton-Jacobi backup (equations 8 to 10);
2. reward values V_r, Q_r by upper expectiles, as in IQL (Kostrikov et al., 2022);
3. a diffusion policy that imitates the data with weights (equation 14): inside the region actions that stay inside,
   the better the heavier; outside it actions that lead back. Q_h and Q_r choose the executed one among candidates.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from surefoot import data
from surefoot.algorithms.fisor_checks import without_rewards
from surefoot.algorithms.fisor_fields import FISORFields
from surefoot.algorithms.fisor_returns import (
    STRETCH,
    Frozen,
    Pairs,
    Triple,
    bootstrapped,
    freeze,
    relief_of,
    return_weights,
    returns_of,
    step_critics,
    step_values,
    values_of,
)
from surefoot.algorithms.fisor_scales import (
    Scales,
    ScalingConfig,
    constraint_unit,
    init_scales,
    margin_of,
    measure,
    region_quantiles,
    scaled_batch,
    standardized,
)
from surefoot.algorithms.fisor_values import (
    ValueSettings,
    annealed_discount,
    step_constraint,
    step_recovery,
    step_reward,
    value_optimizer,
)
from surefoot.algorithms.fisor_weights import (
    Estimates,
    advantage_spreads,
    choose_candidate,
    in_blocks,
    pairs_of,
    transition_weights,
)
from surefoot.constraints import discounted_cost_limit
from surefoot.data import Dataset
from surefoot.diffusion.policy import (
    DiffusionPolicyState,
    init_policy,
    propose,
    update_policy,
)
from surefoot.errors import ConfigError
from surefoot.protocols import Inputs
from surefoot.tasks import Task
from surefoot.types import DataSpec, Decision, Labeled, Metrics, Phase, Policy, PolicyInputs, Transition
from surefoot.values import ValuePair, init_pair

_PHASES = ("joint", "constraint", "recovery", "reward", "values", "critics", "policy")


class FISORState(NamedTuple):
    """Everything that training changes."""

    reward: ValuePair
    constraint: ValuePair
    policy: DiffusionPolicyState
    scales: Scales | None = None
    """What was measured on the data; None where nothing is."""
    recovery: ValuePair | None = None
    """V_c and Q_c; None where they are not learned."""
    frozen: Frozen | None = None
    """What returns are bootstrapped from; None where values learn from backups."""


@dataclass(frozen=True)
class FISOR(FISORFields):
    """The algorithm of these hyper-parameters; their defaults are the paper's, presets change them."""

    inputs: ClassVar[Inputs] = Inputs()

    # --- data and phases ---

    def prepare(self, dataset: Dataset, task: Task) -> Transition:
        """The dataset as FISOR sees it: rewards scaled, actions clipped, h from costs where data carry no h."""
        scale = data.reward_scale_of(task) if self.reward_scaling == "reference" else 1.0
        return data.to_transitions(
            dataset,
            reward_scale=scale,
            violation_scale=self.violation_scale,
            # A walk through every row, which only the bounds read.
            constraint_discount=self.constraint_discount if self.trajectory_bound or self.value_bound else 1.0,
        )

    def without_rewards(self) -> tuple["FISOR", list[str]]:
        """The same without reward values, and what is chosen otherwise then."""
        return without_rewards(self)

    @property
    def phases(self) -> tuple[Phase, ...]:
        if self.schedule == "joint":
            return (Phase("joint", self.joint_updates, self.policy_batch_size * self.policy_steps),)
        size = self.value_batch_size
        if self.value_targets == "returns":
            phases = (Phase("values", self.value_updates, size), Phase("critics", self.critic_updates, size))
        else:
            phases = (
                Phase("constraint", self.constraint_updates, size),
                Phase("recovery", self.constraint_updates if self.recovery == "cost" else 0, size),
                Phase("reward", self.reward_updates if self.reward_values else 0, size),
            )
        phases = (*phases, Phase("policy", self.policy_updates, self.policy_batch_size))
        return tuple(phase for phase in phases if phase.updates > 0)

    @property
    def planned_over(self) -> dict[str, str]:
        """Numbers of updates on which training depends from the first update of their phase on -> how."""
        if self.schedule == "joint":
            return {}
        values = ("constraint_updates", "reward_updates")
        if self.value_targets == "returns":
            values = ("value_updates", "critic_updates")
        rate_falls = self.value_learning_rate != self.value_final_learning_rate
        falls = dict.fromkeys(values, "the learning rate falls over it") if rate_falls else {}
        moves = {values[0]: "the discount of the backup moves over it"}
        return falls | ({} if self.constraint_discount == self.constraint_discount_start else moves)

    @property
    def calibrated_phases(self) -> tuple[str, ...]:
        """The first phase begins with scales of the data, the policy's with quantiles of V_h."""
        names = tuple(phase.name for phase in self.phases)
        first = names[:1] if self._scaling.before_training else ()
        return first + (("policy",) if self.scaling.before_policy and "policy" in names[len(first) :] else ())

    def calibrate(self, state: FISORState, data: Transition, *, phase: str) -> FISORState:
        """The state with scales measured on `data` (first phase), or with quantiles of V_h (policy phase)."""
        scales = state.scales
        if scales is None:
            return state
        if phase == self.phases[0].name:
            scales = measure(scales, data)
            state = state._replace(scales=scales)
        if phase == "policy" and self.scaling.before_policy:
            v_h = in_blocks(lambda part: self._value(state, part.observation), data)
            safe, allowed = region_quantiles(v_h, data, cost_limit=self.cost_limit)
            scales = scales._replace(safe_quantiles=safe)
            if scales.allowed_quantiles is not None:
                scales = scales._replace(allowed_quantiles=allowed)
            state = state._replace(scales=scales)
        return state

    # --- init, update, policy ---

    def init(self, spec: DataSpec, key: Key[Array, ""], statistics: None = None) -> FISORState:
        k_reward, k_constraint, k_policy = jax.random.split(key, 3)
        k_recovery, ensemble = jax.random.fold_in(key, 3), self.constraint_value_ensemble

        together = self.value_targets == "returns"

        def pair(pair_key: Key[Array, ""], updates: int, value_ensemble: int | None) -> ValuePair:
            return init_pair(
                spec,
                pair_key,
                hidden=self.value_hidden,
                ensemble=self.ensemble,
                value_ensemble=value_ensemble,
                optimizer=value_optimizer(self.value_settings, self.value_updates if together else updates),
            )

        state = FISORState(
            reward=pair(k_reward, self.reward_updates, None),
            constraint=pair(k_constraint, self.constraint_updates, ensemble),
            policy=init_policy(spec, k_policy, config=self.diffusion),
            scales=init_scales(spec, self._scaling, allowed=self.margin_over == "allowed"),
            recovery=pair(k_recovery, self.constraint_updates, ensemble) if self.recovery == "cost" else None,
        )
        return state._replace(frozen=freeze(self._pairs(state))) if together else state

    def update(
        self, state: FISORState, batch: Transition, key: Key[Array, ""], *, phase: str
    ) -> tuple[FISORState, Metrics]:
        """One update of the given phase. The policy phase expects transitions drawn by `sample_weights`."""
        if phase == "joint":
            return self._update_joint(state, batch, key)
        if phase not in _PHASES:
            raise ConfigError(f"unknown phase '{phase}'; known: {', '.join(_PHASES)}.")
        if phase in ("values", "critics"):
            return self._update_on_returns(state, batch, phase=phase)
        batch = scaled_batch(state.scales, batch)
        if phase == "policy":
            weights = jnp.ones_like(batch.reward)
            policy, metrics = update_policy(
                state.policy, batch.observation, batch.action, weights, key, config=self.diffusion
            )
            return state._replace(policy=policy), metrics
        inputs = jnp.concatenate([batch.observation, batch.action], -1)
        if phase == "reward":
            q = state.reward.critic_target(inputs).min(0)
            reward, metrics = step_reward(state.reward, batch, inputs, q, config=self.value_settings)
            return state._replace(reward=reward), metrics
        if phase == "constraint":
            q = state.constraint.critic_target(inputs).max(0)
            constraint, metrics = step_constraint(state.constraint, batch, inputs, q, config=self.value_settings)
            return state._replace(constraint=constraint), metrics
        assert state.recovery is not None
        q = state.recovery.critic_target(inputs).max(0)
        recovery, metrics = step_recovery(state.recovery, batch, inputs, q, config=self.value_settings)
        return state._replace(recovery=recovery), metrics

    def sample_weights(self, state: FISORState, data: Transition, *, phase: str) -> Float[Array, " n"] | None:
        """Weights of all transitions for the policy phase, from values that this phase leaves frozen."""
        if phase != "policy":
            return None
        if self.advantage == "return":
            return self._return_weights(state, data)

        def said_of(part: Transition) -> tuple[Estimates, Float[Array, " b"] | None]:
            estimates = self.estimate(state, part.observation, part.action)
            if state.recovery is None:
                return estimates, None
            return estimates, relief_of(state.recovery, standardized(state.scales, part.observation), part.action)

        return self._weights(state, *in_blocks(said_of, data))

    def policy(self, state: FISORState) -> Policy:
        """Candidates from the moving average of the denoiser; one is chosen by the target critics."""

        def act(carry: Any, inputs: PolicyInputs, key: Key[Array, ""]) -> tuple[Any, Float[Array, "n act"]]:
            return carry, self.decide(state, inputs.observation, key).action

        return Policy(initial=lambda n: None, act=act)

    def decide(self, state: FISORState, observation: Float[Array, "n obs"], key: Key[Array, ""]) -> Decision:
        """The executed action, and whether any candidate counts as feasible; where none does the fallback acts."""
        seen = standardized(state.scales, observation)
        actions = propose(
            state.policy.network_ema, seen, key, num_candidates=self.num_candidates, config=self.diffusion
        )
        if self.safer_step > 0:
            actions = jnp.concatenate([actions, self.safer(state, observation, actions)], axis=1)
        q_r, q_h, q_c = self._candidate_values(state, observation, actions)
        chosen = self._choose(state, q_r, q_h, q_c)
        return Decision(
            action=jnp.take_along_axis(actions, chosen[:, None, None], axis=1)[:, 0],
            feasible=q_h.min(-1) <= -self._acting_margin(state),
        )

    @property
    def choice(self) -> dict[str, Any]:
        """How the executed action is chosen among candidates."""
        return {"extraction": self.extraction, "margin": self.margin, "num_candidates": self.num_candidates}

    @property
    def forbids_violations(self) -> bool:
        return self.critic == "hj"

    def feasible_margin(self, state: FISORState) -> Float[Array, ""]:
        """A state or an action counts as feasible where V_h or Q_h is at most minus this, in units of h."""
        return jnp.asarray(self._acting_margin(state) * constraint_unit(state.scales), jnp.float32)

    def _acting_margin(self, state: FISORState) -> float | Float[Array, ""]:
        """The same in units of scaled h."""
        if self.extraction not in ("feasible_first", "first_feasible"):
            return 0.0
        share = self.scaling.margin_quantile
        quantiles = None if state.scales is None else state.scales.safe_quantiles
        if state.scales is not None and state.scales.allowed_quantiles is not None:
            quantiles = state.scales.allowed_quantiles
        return margin_of(quantiles, share=share, least=-math.inf if share > 0 else self.margin)

    def _weight_margin(self, state: FISORState) -> float | Float[Array, ""]:
        """The margin of the weights, in units of scaled h."""
        quantiles = None if state.scales is None else state.scales.safe_quantiles
        return margin_of(quantiles, share=self.scaling.weight_quantile, least=self.weight_margin)

    # --- what the values say ---

    def feasible_value(self, state: FISORState, observation: Float[Array, "n obs"]) -> Float[Array, " n"]:
        """V_h [n], in the units of h (qc: discounted cost above the limit); <= 0 is feasible."""
        return self._value(state, observation) * constraint_unit(state.scales)

    def _value(self, state: FISORState, observation: Float[Array, "n obs"]) -> Float[Array, " n"]:
        """The same in units of scaled h."""
        return state.constraint.value(standardized(state.scales, observation)).max(0) - self._limit

    def estimate(
        self, state: FISORState, observation: Float[Array, "b obs"], action: Float[Array, "b act"]
    ) -> Estimates:
        """Minimum of the target Q_r, V_r, maximum of the target Q_h, V_h, in units of scaled h; with qc the limit is
        subtracted. Without reward values Q_r and V_r are 0."""
        observation = standardized(state.scales, observation)
        inputs = jnp.concatenate([observation, action], -1)
        no_rewards = jnp.zeros(inputs.shape[:-1])
        return Estimates(
            q_r=state.reward.critic_target(inputs).min(0) if self.reward_values else no_rewards,
            v_r=state.reward.value(observation) if self.reward_values else no_rewards,
            q_h=state.constraint.critic_target(inputs).max(0) - self._limit,
            v_h=state.constraint.value(observation).max(0) - self._limit,
        )

    def choose(
        self, state: FISORState, observation: Float[Array, "n obs"], actions: Float[Array, "n c act"]
    ) -> Int[Array, " n"]:
        """Index of the candidate that acts."""
        return self._choose(state, *self._candidate_values(state, observation, actions))

    def _candidate_values(
        self, state: FISORState, observation: Float[Array, "n obs"], actions: Float[Array, "n c act"]
    ) -> tuple[Float[Array, "n c"], Float[Array, "n c"], Float[Array, "n c"] | None]:
        """Q_r, Q_h and Q_c of every candidate; without reward values Q_r is 0, without recovery Q_c is None."""
        count, candidates, _ = actions.shape
        inputs = pairs_of(standardized(state.scales, observation), actions)
        q_h = state.constraint.critic_target(inputs).max(0).reshape(count, candidates) - self._limit
        q_r, q_c = jnp.zeros_like(q_h), None
        if self.reward_values:
            q_r = state.reward.critic_target(inputs).min(0).reshape(count, candidates)
        if state.recovery is not None:
            q_c = state.recovery.critic_target(inputs).max(0).reshape(count, candidates)
        return q_r, q_h, q_c

    def _choose(
        self, state: FISORState, q_r: Float[Array, "n c"], q_h: Float[Array, "n c"], q_c: Float[Array, "n c"] | None
    ) -> Int[Array, " n"]:
        return choose_candidate(
            q_r,
            q_h,
            q_c,
            extraction=self.extraction,
            margin=self._acting_margin(state),
            escape_slack=self.escape_slack,
            escape_above=self.escape_above,
        )

    def safer(
        self, state: FISORState, observation: Float[Array, "n obs"], actions: Float[Array, "n c act"]
    ) -> Float[Array, "n c act"]:
        """Each candidate moved by `safer_step` against the gradient of max Q_h, clipped to [-1, 1]."""
        seen = standardized(state.scales, observation)

        def total(moved: Float[Array, "n c act"]) -> Float[Array, ""]:
            return state.constraint.critic_target(pairs_of(seen, moved)).max(0).sum()

        gradient = jax.grad(total)(actions)
        length = jnp.linalg.norm(gradient, axis=-1, keepdims=True)
        return jnp.clip(actions - self.safer_step * gradient / jnp.maximum(length, 1e-8), -1.0, 1.0)

    # --- steps ---

    def _update_joint(self, state: FISORState, batch: Transition, key: Key[Array, ""]) -> tuple[FISORState, Metrics]:
        """Policy steps on consecutive parts of the batch, then V_r, Q_r, V_h, Q_h on its first rows.

        The critics' forward pass over the batch serves the weights and the values: none of its networks moves before.
        """
        estimates = self.estimate(state, batch.observation, batch.action)
        batch = scaled_batch(state.scales, batch)
        size = self.policy_batch_size
        policy, metrics = state.policy, {}
        for step, step_key in enumerate(jax.random.split(key, self.policy_steps)):
            part = slice(step * size, (step + 1) * size)
            weights = self._weights(state, Estimates(*(values[part] for values in estimates)))
            policy, metrics = update_policy(
                policy, batch.observation[part], batch.action[part], weights, step_key, config=self.diffusion
            )
        first = slice(0, self.value_batch_size)
        rows = Transition(*(values[first] for values in batch))
        inputs = jnp.concatenate([rows.observation, rows.action], -1)
        reward, reward_metrics = state.reward, {}
        if self.reward_values:
            reward, reward_metrics = step_reward(
                state.reward, rows, inputs, estimates.q_r[first], config=self.value_settings
            )
        constraint, constraint_metrics = step_constraint(
            state.constraint, rows, inputs, estimates.q_h[first] + self._limit, config=self.value_settings
        )
        state = state._replace(reward=reward, constraint=constraint, policy=policy)
        return state, metrics | reward_metrics | constraint_metrics

    # --- returns along trajectories ---

    def relabel_interval(self, phase: str) -> int:
        """Values learn from returns that are renewed, critics from the last of them."""
        return {"values": self.returns.refresh_interval, "critics": max(1, self.critic_updates)}.get(phase, 0)

    def refreeze(self, state: FISORState, *, phase: str) -> FISORState:
        """The state with a new copy of the values to bootstrap returns from."""
        return state._replace(frozen=freeze(self._pairs(state)))

    def labels(self, state: FISORState, data: Transition, *, phase: str) -> Triple:
        """The returns of all rows, which are in the order of the data, from the frozen values."""
        assert state.frozen is not None
        return self._returns(state, state.frozen, data)[0]

    def _update_on_returns(self, state: FISORState, batch: Any, *, phase: str) -> tuple[FISORState, Metrics]:
        assert isinstance(batch, Labeled)
        rows = scaled_batch(state.scales, batch.batch)
        if phase == "values":
            pairs, metrics = step_values(
                self._pairs(state), rows, batch.labels, config=self.value_settings, returns=self.returns
            )
        else:
            pairs, metrics = step_critics(self._pairs(state), rows, batch.labels, config=self.value_settings)
        reward = state.reward if pairs.reward is None else pairs.reward
        return state._replace(reward=reward, constraint=pairs.constraint, recovery=pairs.recovery), metrics

    def _returns(self, state: FISORState, frozen: Frozen, data: Transition) -> tuple[Triple, Triple]:
        """G of all rows, and V of the states they leave."""
        scales = state.scales

        def values_at(part: Transition) -> tuple[Triple, Triple]:
            part = scaled_batch(scales, part)
            return values_of(frozen, part.observation), values_of(frozen, part.next_observation)

        rows = scaled_batch(scales, data)
        values, following = in_blocks(values_at, data)
        following = bootstrapped(frozen, following, first_reward=rows.reward.mean() / (1.0 - self.discount))
        discount = annealed_discount(self.value_settings, frozen.updates)
        mixing = self.returns.mixing
        return returns_of(
            rows, following, STRETCH, config=self.value_settings, mixing=mixing, discount=discount
        ), values

    def _return_weights(self, state: FISORState, data: Transition) -> Float[Array, " n"]:
        """Weights of all transitions, which are in the order of the data, by their trajectories' returns."""
        if self.weighting == "behaviour_cloning":
            return jnp.ones_like(data.reward)
        returns, values = self._returns(state, freeze(self._pairs(state)), data)
        return return_weights(
            returns,
            values,
            margin=self._weight_margin(state),
            reward_temperature=self.reward_temperature,
            constraint_temperature=self.constraint_temperature,
            largest=self.returns.largest_weight,
            by_cost=state.recovery is not None,
        )

    def _pairs(self, state: FISORState) -> Pairs:
        return Pairs(state.constraint, state.recovery, state.reward if self.reward_values else None)

    def _weights(
        self, state: FISORState, estimates: Estimates, relief: Float[Array, " b"] | None = None
    ) -> Float[Array, " b"]:
        margin = self._weight_margin(state)
        reward_spread, constraint_spread = 1.0, 1.0
        if self.scaled_advantages:
            reward_spread, constraint_spread = advantage_spreads(estimates, margin=margin, relief=relief)
        return transition_weights(
            estimates,
            weighting=self.weighting,
            reward_temperature=self.reward_temperature / reward_spread,
            constraint_temperature=self.constraint_temperature / constraint_spread,
            margin=margin,
            relief=relief,
        )

    @property
    def _scaling(self) -> ScalingConfig:
        """Critics of costs read no h."""
        return self.scaling if self.critic == "hj" else replace(self.scaling, constraint=False)

    @property
    def _limit(self) -> float:
        """What critics of costs are compared with; 0 for the Hamilton-Jacobi form."""
        if self.critic == "hj":
            return 0.0
        return discounted_cost_limit(self.cost_limit, discount=self.discount, horizon=self.horizon)

    @property
    def value_settings(self) -> ValueSettings:
        """What the steps of the values read."""
        return ValueSettings(**{name: getattr(self, name) for name in ValueSettings._fields})
