"""SafeDreamer: safe policies through a world model (Huang et al., ICLR 2024, arXiv 2307.07176); FOSP's baseline.

DreamerV3's actor learns by gradients through imagined trajectories. In the form BSRP-Lag an augmented Lagrangian holds
the imagined cost below its limit. In OSRP and OSRP-Lag the actor knows no cost, and planning in the world model acts,
safe sequences first. The critics learn from imagined trajectories only: nothing in it is made for fixed data.

In the order of an update and of a decision:

- the actor on an imagined rollout, with the augmented Lagrangian: `SafeDreamer.actor_loss`
- the multiplier: `augmented_update`
- V of reward and cost on lambda-returns: `critics_loss`
- safe sequences first, by the cross-entropy method: `planning_policy`
- the multiplier of OSRP-Lag from the costs of episodes: `episode_pid_update`
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from surefoot import world_model
from surefoot.algorithms.imagination import (
    ImaginedRollout,
    Spread,
    imagine_rollout,
    init_spread,
    masked_mean,
    recurrent_policy,
    scale_of,
    update_spread,
    without_memory,
)
from surefoot.algorithms.safedreamer.config import SafeDreamerConfig
from surefoot.algorithms.safedreamer.planner import PlanMemory, first_memory, planning_policy
from surefoot.constraints import (
    AugmentedState,
    EpisodePIDState,
    augmented_init,
    augmented_penalty,
    augmented_update,
    episode_pid_init,
    episode_pid_update,
)
from surefoot.data.frames import Frames, ObservationScales
from surefoot.nn import GaussianActor, NormedMLP, apply_gradient, clip_each, init_optimizer, move_towards
from surefoot.nn.two_hot import two_hot_loss, two_hot_mean
from surefoot.types import DataSpec, Metrics, Policy
from surefoot.world_model import Latent, WorldModel


class StateCritics(NamedTuple):
    """V of latent states, for reward and cost, as two-hot logits."""

    reward: NormedMLP
    cost: NormedMLP


class RolloutReturns(NamedTuple):
    """Lambda-returns of reward and cost along an imagined rollout of H steps."""

    reward: Float[Array, "h n"]
    cost: Float[Array, "h n"]


class SafeDreamerState(NamedTuple):
    """Training state of SafeDreamer: world model, critics, actor, multipliers, optimizers."""

    model: WorldModel
    model_optimizer: optax.OptState
    critics: StateCritics
    slow: StateCritics
    critics_optimizer: optax.OptState
    actor: GaussianActor
    actor_optimizer: optax.OptState
    lagrangian: AugmentedState
    reward_spread: Spread
    pid: EpisodePIDState
    """Multiplier of osrp-lag's planner; it stays at 0 offline."""
    episode_steps: Float[Array, ""]
    """Decisions in an episode of the task."""
    scales: ObservationScales | None = None
    """Scales of the observations; None where they are not scaled."""


@dataclass(frozen=True)
class SafeDreamer(SafeDreamerConfig):
    """SafeDreamer with these hyper-parameters."""

    paper: ClassVar[str] = "Huang et al., ICLR 2024, arXiv 2307.07176"

    # --- init, policy ---

    def init(
        self, spec: DataSpec, key: Key[Array, ""], statistics: ObservationScales | None = None
    ) -> SafeDreamerState:
        """Fresh networks and optimizers.

        Args:
            spec: Shapes of the data.
            key: Random key of the parameters.
            statistics: Scales of the observations; None: the identity where they are scaled.

        Returns:
            The state before the first update.
        """
        k_model, k_reward, k_cost, k_actor = jax.random.split(key, 4)
        model = world_model.make_world_model(
            k_model, self.world_model, shape=spec.observation_shape, action_dim=spec.action_dim
        )
        features, bins = self.world_model.features, self.world_model.bins
        critics = StateCritics(
            NormedMLP.create(k_reward, features, self.hidden, bins, out_scale=0.0),
            NormedMLP.create(k_cost, features, self.hidden, bins, out_scale=0.0),
        )
        actor = GaussianActor.create(k_actor, features, self.acting.actor_hidden, spec.action_dim)
        return SafeDreamerState(
            model=model,
            model_optimizer=init_optimizer(world_model.optimizer(self.world_model), model),
            critics=critics,
            slow=jax.tree.map(jnp.copy, critics),
            critics_optimizer=init_optimizer(self.optimizer, critics),
            actor=actor,
            actor_optimizer=init_optimizer(self.optimizer, actor),
            lagrangian=augmented_init(self.cost.lagrangian),
            reward_spread=init_spread(),
            pid=episode_pid_init(self.pid),
            episode_steps=jnp.float32(spec.horizon if self.episode_steps is None else self.episode_steps),
            scales=self.first_scales(spec, statistics),
        )

    @property
    def search(self) -> str:
        """Name of the search behind a decision; empty where the actor decides."""
        return "" if self.form == "bsrp-lag" else "sequences of actions in the world model"

    def policy(self, state: SafeDreamerState) -> Policy:
        """Policy that keeps a belief by the world model, and acts by the actor or by planning."""
        policy_of = partial(recurrent_policy, state.model, config=self.world_model, scales=state.scales)
        if self.form == "bsrp-lag":

            def choose(features: Array, key: Key[Array, ""]) -> Float[Array, "n act"]:
                distribution = state.actor(features)
                return distribution.mean if self.acting.act_with == "mean" else distribution.sample(key)

            return policy_of(without_memory(choose), lambda count: None)
        multiplier = state.pid.multiplier if self.form == "osrp-lag" else None
        choose_plan = planning_policy(
            state.model, state.critics, state.actor, multiplier, state.episode_steps, config=self
        )
        action_dim = state.model.rssm.action_kernel.shape[0]
        return policy_of(choose_plan, partial(first_memory, horizon=self.imagination.horizon, action_dim=action_dim))

    def fine_tuning(self) -> "SafeDreamer":
        """The algorithm for online fine-tuning: model and policy learn in every update."""
        return replace(self, schedule="joint")

    def after_episodes(
        self, state: SafeDreamerState, costs: Float[Array, " n"], lengths: Float[Array, " n"]
    ) -> SafeDreamerState:
        """State after n episodes online; their costs move the multiplier of OSRP-Lag one after the other.

        Args:
            state: Training state.
            costs: Costs of the episodes, [n].
            lengths: Decisions of the episodes, [n].

        Returns:
            The state.
        """
        if self.form != "osrp-lag":
            return state

        def one(pid: EpisodePIDState, episode: tuple[Array, Array]) -> tuple[EpisodePIDState, None]:
            return episode_pid_update(pid, *episode, limit=self.episode_cost_limit, config=self.pid), None

        return state._replace(pid=jax.lax.scan(one, state.pid, (costs, lengths))[0])

    def acting_metrics(self, state: SafeDreamerState, carry: Any) -> Metrics:
        """Metrics of planning: the share of safe sequences `plan/safe_share`, for osrp-lag also `plan/multiplier`.

        Args:
            state: Training state.
            carry: Memory of the policy at the end of each environment's last episode.

        Returns:
            Metrics; empty for bsrp-lag.
        """
        if self.form == "bsrp-lag":
            return {}
        memory: PlanMemory = carry.memory
        share = (memory.safe_share / jnp.maximum(memory.steps, 1.0)).mean()
        multiplier = {"plan/multiplier": state.pid.multiplier} if self.form == "osrp-lag" else {}
        return {"plan/safe_share": share, **multiplier}

    # --- steps ---

    def update_policy(
        self, state: SafeDreamerState, batch: Frames, latent: Latent, key: Key[Array, ""]
    ) -> tuple[SafeDreamerState, Metrics]:
        """Update actor and multiplier on a fresh imagined rollout, then the critics on that rollout.

        Args:
            state: Training state.
            batch: B windows of T frames.
            latent: Posterior states of the windows, [B, T, ...].
            key: Random key of the rollout.

        Returns:
            (state, metrics) under `actor/` and `critic/`.
        """
        start, going_on = self.imagined_starts(batch, latent)
        gradient, (rollout, excess, metrics) = jax.grad(self.actor_loss, has_aux=True)(
            state.actor, state, start, going_on, key
        )
        (gradient,) = clip_each((gradient,), self.clip)
        actor, actor_optimizer = apply_gradient(self.optimizer, gradient, state.actor_optimizer, state.actor)
        rollout = jax.lax.stop_gradient(rollout)
        returns = RolloutReturns(
            rollout.returns(rollout.reward, state.critics.reward, mixing=self.imagination.mixing)[:-1],
            rollout.returns(rollout.cost, state.critics.cost, mixing=self.imagination.mixing)[:-1],
        )
        gradient, critic_metrics = jax.grad(critics_loss, has_aux=True)(state.critics, state.slow, rollout, returns)
        critics, critics_optimizer = apply_gradient(
            self.optimizer, clip_each(gradient, self.clip), state.critics_optimizer, state.critics
        )
        lagrangian = augmented_update(state.lagrangian, excess, config=self.cost.lagrangian)
        state = state._replace(
            critics=critics,
            slow=move_towards(state.slow, critics, rate=self.target_rate),
            critics_optimizer=critics_optimizer,
            actor=actor,
            actor_optimizer=actor_optimizer,
            lagrangian=lagrangian if self.form == "bsrp-lag" else state.lagrangian,
            reward_spread=update_spread(state.reward_spread, returns.reward, rate=self.acting.spread_rate),
        )
        return state, metrics | critic_metrics

    def actor_loss(
        self,
        actor: GaussianActor,
        state: SafeDreamerState,
        start: Latent,
        going_on: Float[Array, " n"],
        key: Key[Array, ""],
    ) -> tuple[Float[Array, ""], tuple[ImaginedRollout, Float[Array, ""], Metrics]]:
        """-mean (G - V) / S of an imagined rollout, with the augmented Lagrangian of its cost returns (bsrp-lag) and an
        entropy bonus; gradients go through the model.

        Args:
            actor: The actor, whose gradient is taken.
            state: Training state.
            start: States to imagine from, [n, ...].
            going_on: 0 where such a state is terminal, else 1, [n].
            key: Random key of the rollout.

        Returns:
            `(loss, (imagined rollout, excess g of the constraint, metrics))`: `actor/loss`, `actor/entropy` in nats,
            `actor/excess`, for bsrp-lag also `actor/multiplier`.
        """

        def act(features: Array, step_key: Key[Array, ""]) -> Float[Array, "n act"]:
            return actor(jax.lax.stop_gradient(features)).sample(step_key)

        rollout = imagine_rollout(
            state.model, start, going_on, act, key,
            horizon=self.imagination.horizon, discount=self.imagination.discount, config=self.world_model,
        )  # fmt: skip
        features, weight = rollout.features[:-1], rollout.weight[:-1]
        reward_returns = rollout.returns(rollout.reward, state.critics.reward, mixing=self.imagination.mixing)[:-1]
        cost_returns = rollout.returns(rollout.cost, state.critics.cost, mixing=self.imagination.mixing)[:-1]
        advantage = (reward_returns - two_hot_mean(state.critics.reward(features))) / scale_of(state.reward_spread)
        entropy = masked_mean(actor(jax.lax.stop_gradient(features)).entropy(), weight)
        excess = self.cost.excess(cost_returns)
        loss = -masked_mean(advantage, weight)
        metrics = {"actor/entropy": entropy, "actor/excess": excess}
        if self.form == "bsrp-lag":
            loss = loss + augmented_penalty(state.lagrangian, excess)
            metrics = {**metrics, "actor/multiplier": state.lagrangian.multiplier}
        metrics = {**metrics, "actor/loss": loss}
        return loss - self.acting.entropy * entropy, (rollout, excess, metrics)


def critics_loss(
    critics: StateCritics, slow: StateCritics, rollout: ImaginedRollout, returns: RolloutReturns
) -> tuple[Float[Array, ""], Metrics]:
    """Two-hot cross-entropy of each critic with its lambda-returns and with its slow copy, weighted along the rollout.

    Args:
        critics: The critics, whose gradient is taken.
        slow: Their slow copies.
        rollout: Imagined rollout of H steps from N states.
        returns: Lambda-returns, each [H, N].

    Returns:
        `(loss, metrics)`: `critic/reward_loss`, `critic/cost_loss`.
    """
    features, weight = rollout.features[:-1], rollout.weight[:-1]

    def one(critic: NormedMLP, slow_critic: NormedMLP, target: Array) -> Float[Array, ""]:
        logits = critic(features)
        near = jax.lax.stop_gradient(two_hot_mean(slow_critic(features)))
        return masked_mean(two_hot_loss(logits, target) + two_hot_loss(logits, near), weight)

    reward = one(critics.reward, slow.reward, returns.reward)
    cost = one(critics.cost, slow.cost, returns.cost)
    return reward + cost, {"critic/reward_loss": reward, "critic/cost_loss": cost}
