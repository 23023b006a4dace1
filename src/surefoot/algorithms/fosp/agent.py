"""FOSP: safe policies from pixels, offline, then fine-tuned (ICLR 2025, arXiv 2407.04942), on a world model.

1. A world model (DreamerV3, with a head for the cost) learns from windows of episodes to predict the consequences of
   actions.
2. In its latent space critics learn from the data's steps and from imagined ones: Q and V of reward and cost by
   expectiles, and p, the probability that a violation cannot be avoided.
3. Where violations can be avoided, the actor takes the best of the actions that cost nothing; elsewhere those that cost
   least. It learns by weights on the data's actions (`awr`) or by gradients through the model (`backprop`).
4. Fine-tuning keeps a frozen offline actor beside the one that goes on learning; in every environment the critics
   choose between their actions (safe policy expansion).

In the order of an update and of a decision (the paper's numbers are not given: its text was not at hand):

- the world model, then actor and critics on its states: `FOSP.update`
- the actor and the constraint's excess on imagined rollouts: `actor_loss`
- the multiplier of the excess: `augmented_update`
- Q, V and p on data and imagined rollouts: `critics_loss`
- p of a state: `infeasibility`
- the choice between two actors: `online_probability`

The authors' code does otherwise in several places (`reference_code`); the preset `released` does as the code, the
defaults as the paper.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from surefoot.algorithms.fosp.config import FOSPConfig
from surefoot.algorithms.fosp.losses import actor_loss, critics_loss, infeasibility
from surefoot.algorithms.fosp.state import Critics, FOSPState, Slow, init_state, slow_of
from surefoot.algorithms.imagination import (
    pair,
    posterior_states,
    recurrent_policy,
    steps_of,
    update_spread,
    without_memory,
)
from surefoot.constraints import augmented_update
from surefoot.data.frames import Frames, ObservationScales, scaled
from surefoot.hyperparameters import change
from surefoot.nn import GaussianActor, apply_gradient, clip_each, move_towards
from surefoot.nn.two_hot import two_hot_mean
from surefoot.planning import choose_plan
from surefoot.types import DataSpec, Metrics, Policy
from surefoot.world_model import Latent

_ENCODED_AT_ONCE = 512
"""Frames whose activations are in memory together where whole episodes are judged."""


class Choices(NamedTuple):
    """Counts of the policy expansion's choices in n episodes."""

    online: Int[Array, " n"]
    """Steps that took the action of the learning actor."""
    steps: Int[Array, " n"]

    @staticmethod
    def none(count: int) -> "Choices":
        """Counts of 0 for `count` episodes."""
        return Choices(jnp.zeros(count, jnp.int32), jnp.zeros(count, jnp.int32))


@dataclass(frozen=True)
class FOSP(FOSPConfig):
    """FOSP with these hyper-parameters."""

    paper: ClassVar[str] = "ICLR 2025, arXiv 2407.04942"

    # --- init, update ---

    def init(self, spec: DataSpec, key: Key[Array, ""], statistics: ObservationScales | None = None) -> FOSPState:
        """Fresh networks and optimizers.

        Args:
            spec: Shapes of the data.
            key: Random key of the parameters.
            statistics: Scales of the observations; None: the identity where they are scaled.

        Returns:
            The state before the first update.
        """
        return init_state(spec, key, self, self.first_scales(spec, statistics))

    def update_policy(
        self, state: FOSPState, batch: Frames, latent: Latent, key: Key[Array, ""]
    ) -> tuple[FOSPState, Metrics]:
        """Update actor and multiplier on a fresh imagined rollout, then the critics on that rollout (section 3.3's
        order).

        Args:
            state: Training state.
            batch: B windows of T frames.
            latent: Posterior states of the windows, [B, T, ...].
            key: Random key of the rollout.

        Returns:
            (state, metrics) of `actor_loss` and `critics_loss`.
        """
        steps = steps_of(latent.features, batch)
        start, going_on = self.imagined_starts(batch, latent)
        gradient, (rollout, excess, metrics) = jax.grad(actor_loss, has_aux=True)(
            state.actor, state, steps, start, going_on, key, config=self
        )
        actor, actor_optimizer = apply_gradient(self.extraction.optimizer, gradient, state.actor_optimizer, state.actor)
        gradient, (critic_metrics, q_reward, q_cost) = jax.grad(critics_loss, has_aux=True)(
            state.critics, state.slow, steps, jax.lax.stop_gradient(rollout), config=self
        )
        gradient = clip_each(gradient, self.critics.critic_clip)
        critics, critics_optimizer = apply_gradient(
            self.critics.optimizer, gradient, state.critics_optimizer, state.critics
        )
        lagrangian = augmented_update(state.lagrangian, excess, config=self.cost.lagrangian)
        spread_rate = self.acting.spread_rate
        state = state._replace(
            critics=critics,
            slow=move_towards(state.slow, slow_of(critics), rate=self.target_rate),
            critics_optimizer=critics_optimizer,
            actor=actor,
            actor_optimizer=actor_optimizer,
            lagrangian=lagrangian if self.extraction.constrain else state.lagrangian,
            reward_spread=update_spread(state.reward_spread, q_reward, rate=spread_rate),
            cost_spread=update_spread(state.cost_spread, q_cost, rate=spread_rate),
        )
        return state, metrics | critic_metrics

    # --- policy ---

    def policy(self, state: FOSPState) -> Policy:
        """Policy that keeps a belief by the world model, and acts by the actor or by the choice between two actors."""

        def proposed(actor: GaussianActor, features: Array, key: Key[Array, ""]) -> Float[Array, "n act"]:
            distribution, by_mean = actor(features), self.acting.act_with == "mean"
            if self.num_candidates == 1:
                return distribution.mean if by_mean else distribution.sample(key)
            drawn = jax.vmap(distribution.sample)(jax.random.split(key, self.num_candidates))
            if by_mean:
                drawn = drawn.at[0].set(distribution.mean)
            return best_action(state.slow, features, jnp.clip(drawn, -1.0, 1.0), slack=self.extraction.cost_slack)

        def choose(choices: Choices, latent: Latent, key: Key[Array, ""]) -> tuple[Choices, Float[Array, "n act"]]:
            features = latent.features.astype(jnp.float32)
            k_online, k_offline, k_choice = jax.random.split(key, 3)
            online = jnp.clip(proposed(state.actor, features, k_online), -1.0, 1.0)
            offline = jnp.clip(proposed(state.offline_actor, features, k_offline), -1.0, 1.0)
            chance = online_probability(
                state.critics, features, online, offline,
                temperature=self.expanding.expansion_temperature, cost_weight=self.expanding.expansion_cost,
            )  # fmt: skip
            takes_online = jax.random.bernoulli(k_choice, chance)
            kept = Choices(choices.online + takes_online, choices.steps + 1)
            return kept, jnp.where(takes_online[:, None], online, offline)

        if self.expanding.expansion:
            return recurrent_policy(state.model, choose, Choices.none, config=self.world_model, scales=state.scales)
        alone = without_memory(lambda features, key: proposed(state.actor, features, key))
        return recurrent_policy(state.model, alone, lambda count: None, config=self.world_model, scales=state.scales)

    @property
    def choice(self) -> dict[str, Any]:
        """Number of candidate actions a decision, for summaries."""
        return {"num_candidates": self.num_candidates}

    def acting_metrics(self, state: FOSPState, carry: Any) -> Metrics:
        """Share of steps that took the online actor's action, `act/online_rate`.

        Args:
            state: Training state.
            carry: Memory of the policy at the end of each environment's last episode.

        Returns:
            Metrics; empty without policy expansion.
        """
        if not self.expanding.expansion:
            return {}
        choices: Choices = carry.memory
        return {"act/online_rate": choices.online.sum() / jnp.maximum(1, choices.steps.sum())}

    def window_infeasibility(self, state: FOSPState, frames: Frames, key: Key[Array, ""]) -> Float[Array, "b t"]:
        """p along windows: the probability that a violation cannot be avoided, by the critic.

        Args:
            state: Training state.
            frames: B windows of T frames.
            key: Random key of the posterior states.

        Returns:
            p in [0, 1], [B, T].
        """
        frames = frames._replace(observation=scaled(frames.observation, state.scales))
        latent = posterior_states(state.model, frames, key, config=self.world_model, encoded_at_once=_ENCODED_AT_ONCE)
        return infeasibility(state.critics.reach, latent.features, frames.action, form=self.reach.reachability)

    # --- fine-tuning ---

    def fine_tuning(self) -> "FOSP":
        """The algorithm for online fine-tuning.

        It updates model and policy jointly, trains critics on imagined rollouts (and on the replay where
        `online_data_branch`), and chooses between the online and the offline actor.
        """
        data_branch = self.critics.online_data_branch
        return change(self, schedule="joint", expansion=True, data_branch=data_branch, imagined_branch=True)

    def frozen(self, state: FOSPState) -> FOSPState:
        """State that fine-tuning begins with: a copy of the actor beside it, which no update changes."""
        return state._replace(offline_actor=jax.tree.map(jnp.copy, state.actor))


# --- choices between actions ---


def best_action(
    slow: Slow, features: Float[Array, "n features"], candidates: Float[Array, "c n act"], *, slack: float
) -> Float[Array, "n act"]:
    """Candidate with the largest Q_r among those with Q_c <= slack, else with the smallest Q_c; beyond the paper.

    Args:
        slow: Slow critics.
        features: Latent features, [n, features].
        candidates: c actions each, [c, n, act].
        slack: Largest Q_c of an action that costs nothing.

    Returns:
        Chosen actions, [n, act].
    """
    inputs = pair(jnp.broadcast_to(features, (len(candidates), *features.shape)), candidates)
    q_reward, q_cost = two_hot_mean(slow.q_reward(inputs)).T, two_hot_mean(slow.q_cost(inputs)).T
    chosen = choose_plan(q_reward, q_cost, jnp.full(len(features), slack))
    return jnp.take_along_axis(candidates, chosen[None, :, None], axis=0)[0]


def online_probability(
    critics: Critics,
    features: Float[Array, "n features"],
    online: Float[Array, "n act"],
    offline: Float[Array, "n act"],
    *,
    temperature: float,
    cost_weight: float,
) -> Float[Array, " n"]:
    """Probability of the online actor's action: P(i) is proportional to exp(temperature (Q_r - cost_weight Q_c)).

    Args:
        critics: Critics.
        features: Latent features, [n, features].
        online: Actions of the learning actor, [n, act].
        offline: Actions of the frozen actor, [n, act].
        temperature: Sharpness of the choice.
        cost_weight: Worth of a unit of Q_c, in units of Q_r.

    Returns:
        Probabilities, [n].
    """

    def score(action: Float[Array, "n act"]) -> Float[Array, " n"]:
        inputs = pair(features, action)
        return two_hot_mean(critics.q_reward(inputs)) - cost_weight * two_hot_mean(critics.q_cost(inputs))

    return jax.nn.sigmoid(temperature * (score(online) - score(offline)))
