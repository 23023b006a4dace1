"""FISOR: feasibility-guided safe offline reinforcement learning (Zheng et al., ICLR 2024, arXiv 2401.10700).

Three regressions, none of which needs another's result. The paper's equations, in the order of an update:

- equation 9: `step_constraint`, V_h to the lower expectile tau of the largest Q_h
- equation 10: `reachability_target`, (1 - gamma) h + gamma max(h, V_h(s')), on which `step_constraint` regresses Q_h
- IQL's equations 5 and 6 (Kostrikov et al., 2022): `step_reward`, V_r to an upper expectile of the smallest Q_r, then
  Q_r to r + gamma V_r(s')
- equation 14: `transition_weights`, inside 1[Q_h <= 0] exp(alpha_1 A_r), outside exp(-alpha_2 A_h)
- theorem 3: `update_policy`, weighted noise prediction, which is exact guidance by the weights

Q_h and Q_r choose the executed action among candidates (`acting`). What is beyond the paper stands apart: returns along
trajectories in `returns`, measured units in `scales`, and conditions on `config.beyond`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot import data
from surefoot.algorithms.fisor import acting
from surefoot.algorithms.fisor.acting import Estimates, estimate
from surefoot.algorithms.fisor.config import FISORConfig, Weighting, without_rewards
from surefoot.algorithms.fisor.returns import (
    Triple,
    all_returns,
    freeze,
    relief_of,
    return_weights,
    step_critics,
    step_recovery,
    step_values,
)
from surefoot.algorithms.fisor.scales import (
    advantage_spreads,
    constraint_unit,
    in_blocks,
    margin_of,
    measure,
    region_quantiles,
    scaled_batch,
    standardized,
)
from surefoot.algorithms.fisor.state import FISORState, init_state, pairs_of
from surefoot.data import Dataset
from surefoot.diffusion.policy import update_policy
from surefoot.errors import ConfigError
from surefoot.protocols import Inputs
from surefoot.tasks import Task
from surefoot.types import DataSpec, Decision, Labeled, Metrics, Policy, PolicyInputs, Transition
from surefoot.values import ValuePair, reachability_target, reward_target, step_critic, step_value

_PHASES = ("joint", "constraint", "recovery", "reward", "values", "critics", "policy")


# --- the paper's regressions ---


def step_constraint(
    pair: ValuePair, batch: Transition, inputs: Float[Array, "b in"], q: Float[Array, " b"], *, config: FISORConfig
) -> tuple[ValuePair, Metrics]:
    """Equations 9 and 10: one step of V_h, then of Q_h on the Hamilton-Jacobi backup (qc: on the discounted cost).
    `inputs` are (s, a) [b, in], `q` the largest target Q_h [b]; metrics are under `constraint/`."""
    optimizer, beyond = config.value_optimizer(config.training.constraint_updates), config.beyond
    discount, h = config.annealed_discount(pair.updates), config.constraint.signal(batch)
    hj = config.constraint.critic == "hj"
    bound = jnp.maximum(h, batch.constraint_ahead)
    pair, value_metrics = step_value(
        pair,
        batch.observation,
        jnp.minimum(q, bound) if beyond.value_bound and hj else q,
        expectile=config.constraint_expectile,
        lower=True,
        optimizer=optimizer,
        prefix="constraint",
    )
    next_value = pair.value(batch.next_observation).max(0)
    continues = config.constraint.continues(batch)
    if hj:
        target = reachability_target(h, next_value, continues, discount=discount)
        target = jnp.minimum(target, bound) if beyond.trajectory_bound else target
    else:
        target = reward_target(batch.cost, next_value, continues, discount=config.discount)
    pair, critic_metrics = step_critic(
        pair, inputs, target, target_rate=config.values.target_rate, optimizer=optimizer, prefix="constraint",
        quantile=config.constraint.backup_quantile)  # fmt: skip
    return pair, value_metrics | critic_metrics


def step_reward(
    pair: ValuePair, batch: Transition, inputs: Float[Array, "b in"], q: Float[Array, " b"], *, config: FISORConfig
) -> tuple[ValuePair, Metrics]:
    """IQL, equations 5 and 6: one step of V_r, then Q_r on r + gamma m V_r(s'). `q` is the smallest target Q_r [b]."""
    optimizer = config.value_optimizer(config.training.reward_updates)
    pair, value_metrics = step_value(
        pair, batch.observation, q, expectile=config.expectile, lower=False, optimizer=optimizer, prefix="reward"
    )
    next_value, continues = pair.value(batch.next_observation), config.constraint.continues(batch)
    target = reward_target(batch.reward, next_value, continues, discount=config.discount)
    pair, critic_metrics = step_critic(
        pair, inputs, target, target_rate=config.values.target_rate, optimizer=optimizer, prefix="reward"
    )
    return pair, value_metrics | critic_metrics


def transition_weights(
    estimates: Estimates,
    *,
    weighting: Weighting,
    reward_temperature: float | Float[Array, ""],
    constraint_temperature: float | Float[Array, ""],
    margin: float | Float[Array, ""] = 0.0,
    relief: Float[Array, " b"] | None = None,
) -> Float[Array, " b"]:
    """Equation 14: weights w(s, a) >= 0 [b] of the policy's regression.

    feasibility: inside (V_h <= 0) 1[Q_h <= 0] min(exp(alpha_r (Q_r - V_r)), 100); outside min(exp(alpha_h (V_h - Q_h)),
    150). imitation (no rewards): inside 1[Q_h <= 0] alpha_r; outside 1[Q_h < V_h] clip(exp(alpha_h (V_h - Q_h)), 1,
    150). behaviour_cloning: 1.

    Beyond the paper: a `relief` [b] (V_c - Q_c, violations that an action avoids) replaces V_h - Q_h. With a `margin`
    (units of V_h) the inside is V_h <= -margin and asks for Q_h <= -margin, so that the policy learns ways back from
    the border.
    """
    q_r, v_r, q_h, v_h = estimates
    better = v_h - q_h if relief is None else relief
    escape = jnp.exp(constraint_temperature * better)
    if weighting == "feasibility":
        inside = (q_h <= -margin) * jnp.minimum(jnp.exp(reward_temperature * (q_r - v_r)), 100.0)
        outside = jnp.minimum(escape, 150.0)
    elif weighting == "imitation":
        inside = (q_h <= -margin) * jnp.asarray(reward_temperature, jnp.float32)
        outside = (better > 0) * jnp.clip(escape, 1.0, 150.0)
    elif weighting == "behaviour_cloning":
        return jnp.ones_like(v_h)
    else:
        raise ConfigError(f"unknown weighting '{weighting}'; known: feasibility, imitation, behaviour_cloning.")
    return jnp.where(v_h <= -margin, inside, outside)


@dataclass(frozen=True)
class FISOR(FISORConfig):
    """FISOR (Zheng et al., 2024) with these hyper-parameters."""

    inputs: ClassVar[Inputs] = Inputs()
    paper: ClassVar[str] = "Zheng et al., ICLR 2024, arXiv 2401.10700"

    def prepare(self, dataset: Dataset, task: Task) -> Transition:
        """Transitions with scaled rewards, clipped actions, and h from costs where the data carry no h."""
        scale = data.reward_scale_of(task) if self.values.reward_scaling == "reference" else 1.0
        bounds = self.beyond.trajectory_bound or self.beyond.value_bound
        return data.to_transitions(
            dataset,
            reward_scale=scale,
            violation_scale=self.constraint.violation_scale,
            # A walk through every row, which only the bounds read.
            constraint_discount=self.constraint_discount if bounds else 1.0,
        )

    def without_rewards(self) -> tuple["FISOR", list[str]]:
        """FISOR without reward values, and remarks on the options that differ then."""
        return without_rewards(self)

    def calibrate(self, state: FISORState, data: Transition, *, phase: str) -> FISORState:
        """State with scales measured on `data` (first phase), or with quantiles of V_h (policy phase)."""
        if (scales := state.scales) is None:
            return state
        if phase == self.phases[0].name:
            scales = measure(scales, data)
            state = state._replace(scales=scales)
        if phase == "policy" and self.scaling.before_policy:
            v_h = in_blocks(lambda part: acting.scaled_value(state, part.observation, self), data)
            safe, allowed = region_quantiles(v_h, data, cost_limit=self.constraint.cost_limit)
            scales = scales._replace(safe_quantiles=safe)
            if scales.allowed_quantiles is not None:
                scales = scales._replace(allowed_quantiles=allowed)
            state = state._replace(scales=scales)
        return state

    def init(self, spec: DataSpec, key: Key[Array, ""], statistics: None = None) -> FISORState:
        """Fresh networks and optimizers; scales are measured on the data as the first phase begins."""
        return init_state(spec, key, self)

    def update(
        self, state: FISORState, batch: Transition, key: Key[Array, ""], *, phase: str
    ) -> tuple[FISORState, Metrics]:
        """One update of `phase`, and its metrics. The policy phase expects transitions drawn by `sample_weights`."""
        if phase == "joint":
            return self._update_joint(state, batch, key)
        if phase not in _PHASES:
            raise ConfigError(f"unknown phase '{phase}'; known: {', '.join(_PHASES)}.")
        if phase in ("values", "critics"):
            return self._update_on_returns(state, batch, phase=phase)
        batch = scaled_batch(state.scales, batch)
        if phase == "policy":
            rows = batch.observation, batch.action, jnp.ones_like(batch.reward)
            policy, metrics = update_policy(state.policy, *rows, key, config=self.diffusion)
            return state._replace(policy=policy), metrics
        inputs = jnp.concatenate([batch.observation, batch.action], -1)
        if phase == "reward":
            q = state.reward.critic_target(inputs).min(0)
            reward, metrics = step_reward(state.reward, batch, inputs, q, config=self)
            return state._replace(reward=reward), metrics
        if phase == "constraint":
            q = state.constraint.critic_target(inputs).max(0)
            constraint, metrics = step_constraint(state.constraint, batch, inputs, q, config=self)
            return state._replace(constraint=constraint), metrics
        assert state.recovery is not None
        q = state.recovery.critic_target(inputs).max(0)
        recovery, metrics = step_recovery(state.recovery, batch, inputs, q, config=self)
        return state._replace(recovery=recovery), metrics

    def _update_joint(self, state: FISORState, batch: Transition, key: Key[Array, ""]) -> tuple[FISORState, Metrics]:
        """Policy steps on consecutive parts of the batch, then V_r, Q_r, V_h, Q_h on its first rows. The critics'
        forward pass over the batch serves the weights and the values: none of its networks moves before."""
        estimates = estimate(state, batch.observation, batch.action, self)
        batch = scaled_batch(state.scales, batch)
        size = self.training.policy_batch_size
        policy, metrics = state.policy, {}
        for step, step_key in enumerate(jax.random.split(key, self.training.policy_steps)):
            part = slice(step * size, (step + 1) * size)
            weights = self._weights(state, Estimates(*(values[part] for values in estimates)))
            policy, metrics = update_policy(
                policy, batch.observation[part], batch.action[part], weights, step_key, config=self.diffusion
            )
        first = slice(0, self.training.value_batch_size)
        rows = Transition(*(values[first] for values in batch))
        inputs = jnp.concatenate([rows.observation, rows.action], -1)
        reward, reward_metrics = state.reward, {}
        if self.values.reward_values:
            reward, reward_metrics = step_reward(state.reward, rows, inputs, estimates.q_r[first], config=self)
        q_h = estimates.q_h[first] + self.limit
        constraint, constraint_metrics = step_constraint(state.constraint, rows, inputs, q_h, config=self)
        state = state._replace(reward=reward, constraint=constraint, policy=policy)
        return state, metrics | reward_metrics | constraint_metrics

    def sample_weights(self, state: FISORState, data: Transition, *, phase: str) -> Float[Array, " n"] | None:
        """Weights [n] of all transitions in the policy phase, from values that it leaves frozen; None in other
        phases."""
        if phase != "policy":
            return None
        if self.by_returns.advantage == "return":
            return self._return_weights(state, data)

        def said_of(part: Transition) -> tuple[Estimates, Float[Array, " b"] | None]:
            estimates = estimate(state, part.observation, part.action, self)
            if state.recovery is None:
                return estimates, None
            return estimates, relief_of(state.recovery, standardized(state.scales, part.observation), part.action)

        return self._weights(state, *in_blocks(said_of, data))

    def _weights(
        self, state: FISORState, estimates: Estimates, relief: Float[Array, " b"] | None = None
    ) -> Float[Array, " b"]:
        margin, spreads = self._weight_margin(state), (1.0, 1.0)
        if self.beyond.scaled_advantages:
            spreads = advantage_spreads(estimates, margin=margin, relief=relief)
        return transition_weights(
            estimates,
            weighting=self.weighting,
            reward_temperature=self.reward_temperature / spreads[0],
            constraint_temperature=self.constraint_temperature / spreads[1],
            margin=margin,
            relief=relief,
        )

    def _weight_margin(self, state: FISORState) -> float | Float[Array, ""]:
        """The margin of the weights, in units of scaled h."""
        quantiles = None if state.scales is None else state.scales.safe_quantiles
        return margin_of(quantiles, share=self.scaling.weight_quantile, least=self.beyond.weight_margin)

    def policy(self, state: FISORState) -> Policy:
        """Policy that samples candidates from the denoiser's moving average and executes one by the target critics."""

        def act(carry: Any, inputs: PolicyInputs, key: Key[Array, ""]) -> tuple[Any, Float[Array, "n act"]]:
            return carry, acting.decide(state, inputs.observation, key, self, inputs.within).action

        return Policy(initial=lambda n: None, act=act)

    def decide(self, state: FISORState, observation: Float[Array, "n obs"], key: Key[Array, ""]) -> Decision:
        """Executed actions [n, act] in [-1, 1], and whether any candidate is feasible [n]; elsewhere the fallback
        acts."""
        return acting.decide(state, observation, key, self)

    def action_value(self, state: Any, observation: Float[Array, "n obs"], action: Any) -> Float[Array, " n"]:
        """Q_r [n], in units of the scaled rewards."""
        return estimate(state, observation, action, self).q_r

    def feasible_action_value(self, state: Any, observation: Float[Array, "n obs"], action: Any) -> Float[Array, " n"]:
        """Q_h of actions, by which feasible actions are chosen.

        Args:
            state: Training state.
            observation: States [n, obs].
            action: Actions [n, act].

        Returns:
            Values [n] in units of h; <= 0 is feasible.
        """
        return estimate(state, observation, action, self).q_h * constraint_unit(state.scales)

    def feasible_margin(self, state: FISORState) -> Float[Array, ""]:
        """Margin m in units of h: a state or an action is feasible where V_h or Q_h is at most -m."""
        return acting.feasible_margin(state, self)

    def feasible_value(self, state: FISORState, observation: Float[Array, "n obs"]) -> Float[Array, " n"]:
        """V_h [n], in units of h (qc: discounted cost above the limit); <= 0 is feasible."""
        return acting.scaled_value(state, observation, self) * constraint_unit(state.scales)

    # --- returns along trajectories, beyond the paper ---

    def relabel_interval(self, phase: str) -> int:
        """Updates of `phase` between two computations of the returns of all rows; 0 where it reads none."""
        values, critics = self.by_returns.returns.refresh_interval, max(1, self.by_returns.critic_updates)
        return {"values": values, "critics": critics}.get(phase, 0)

    def refreeze(self, state: FISORState, *, phase: str) -> FISORState:
        """State with a new copy of the values to bootstrap returns from."""
        return state._replace(frozen=freeze(pairs_of(state, self)))

    def labels(self, state: FISORState, data: Transition, *, phase: str) -> Triple:
        """Returns [N] of all rows, in the order of the data, bootstrapped from the frozen values."""
        assert state.frozen is not None
        return all_returns(data, state.frozen, state.scales, config=self)[0]

    def _update_on_returns(self, state: FISORState, batch: Any, *, phase: str) -> tuple[FISORState, Metrics]:
        assert isinstance(batch, Labeled)
        rows = scaled_batch(state.scales, batch.batch)
        step = step_values if phase == "values" else step_critics
        pairs, metrics = step(pairs_of(state, self), rows, batch.labels, config=self)
        reward = state.reward if pairs.reward is None else pairs.reward
        return state._replace(reward=reward, constraint=pairs.constraint, recovery=pairs.recovery), metrics

    def _return_weights(self, state: FISORState, data: Transition) -> Float[Array, " n"]:
        """Weights of all transitions, which are in the order of the data, by their trajectories' returns."""
        returns, values = all_returns(data, freeze(pairs_of(state, self)), state.scales, config=self)
        return return_weights(
            returns,
            values,
            weighting=self.weighting,
            margin=self._weight_margin(state),
            reward_temperature=self.reward_temperature,
            constraint_temperature=self.constraint_temperature,
            largest=self.by_returns.returns.largest_weight,
            by_cost=state.recovery is not None,
        )
