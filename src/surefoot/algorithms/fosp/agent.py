"""FOSP: safe policies from pixels, offline, then fine-tuned (ICLR 2025, arXiv 2407.04942), on a world model.

1. A world model learns from windows of episodes to imagine what actions lead to (DreamerV3, with a head for the cost).
2. In its latent space critics learn from the data's steps and from dreams: Q and V of reward and cost by expectiles,
   and p, the probability that a violation cannot be avoided.
3. The actor takes the best of the actions that cost nothing where violations can be avoided, elsewhere those that cost
   least: by weights on the data's actions (`awr`) or by gradients through the model (`backprop`).
4. Fine-tuning keeps the offline actor frozen beside the one that goes on learning; the critics choose between their
   actions, in every environment by itself (safe policy expansion).

In the order of an update and of a decision (the paper's numbers are not given: its text was not at hand):

- the world model: `world_model.update`
- the actor and the constraint's excess on a dream: `actor_loss`
- the multiplier of the excess: `augmented_update`
- Q, V and p on data and dreams: `critics_loss`
- p of a state: `infeasibility`
- the choice between two actors: `online_probability`

The authors' code does otherwise in several places; the preset `released` does as the code, the defaults as the paper.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from surefoot import world_model
from surefoot.algorithms.dreamer import Dreamer
from surefoot.algorithms.fosp.actor import ActorSettings, Weighting, actor_loss, best_action, online_probability
from surefoot.algorithms.fosp.losses import Critics, CriticSettings, Reachability, Slow, critics_loss, infeasibility
from surefoot.algorithms.imagination import posterior_states, recurrent_policy, steps_of, without_memory
from surefoot.constraints import (
    AugmentedState,
    augmented_init,
    augmented_update,
)
from surefoot.data.frames import Frames
from surefoot.nn import GaussianActor, NormedMLP, apply_gradient, clip_each, init_optimizer, move_towards
from surefoot.ranges import Range, Relations
from surefoot.types import DataSpec, Metrics, Policy
from surefoot.values import Spread, init_spread, update_spread
from surefoot.world_model import Latent, WorldModel

_ENCODED_AT_ONCE = 512
"""Frames whose activations are in memory together where whole episodes are judged."""


class FOSPState(NamedTuple):
    """Everything that training changes."""

    model: WorldModel
    model_optimizer: optax.OptState
    critics: Critics
    slow: Slow
    critics_optimizer: optax.OptState
    actor: GaussianActor
    actor_optimizer: optax.OptState
    offline_actor: GaussianActor
    """The frozen one of fine-tuning; before that nobody reads it."""
    lagrangian: AugmentedState
    reward_spread: Spread
    cost_spread: Spread


class Choices(NamedTuple):
    """How often the expansion chose, in n episodes."""

    online: Int[Array, " n"]
    """Steps that took the action of the actor that learns."""
    steps: Int[Array, " n"]

    @staticmethod
    def none(count: int) -> "Choices":
        """Before the first step."""
        return Choices(jnp.zeros(count, jnp.int32), jnp.zeros(count, jnp.int32))


@dataclass(frozen=True)
class FOSP(Dreamer):
    """Hyper-parameters, beside those of every dreamer; the values here are the full preset's."""

    paper: ClassVar[str] = "ICLR 2025, arXiv 2407.04942"

    # --- critics ---
    expectile: Annotated[float, Range("(0, 1)")] = 0.8
    """Upper expectile of V of the reward."""
    cost_expectile: Annotated[float, Range("(0, 1)")] = 0.8
    """Lower expectile of V of the cost: weight of the errors where V is above Q."""
    critic_learning_rate: Annotated[float, Range("(0, inf)")] = 3e-5
    """Of Adam."""
    critic_clip: Annotated[float, Range("(0, inf)")] = 100.0
    """Largest norm of the gradient of each critic."""
    data_branch: bool = True
    """Train the critics on the data's steps, too."""
    dream_branch: bool = True
    """Train the critics on imagined steps, too."""
    online_data_branch: bool = False
    """Train the critics on the replay's steps in fine-tuning, too; False: on dreams alone, as the authors."""
    reachability: Reachability = "ref"
    """ref: p of a violation ahead. hj: worst constraint signal ahead. released: as the authors' code."""
    reach_discount: Annotated[float, Range("(0, 1)")] = 0.99
    """Discount of p (or of the constraint signal) per decision."""
    reach_expectile: Annotated[float, Range("(0, 1)")] = 0.9
    """Lower expectile over the data's actions (hj only)."""
    released: bool = False
    """Values as the authors' code: V follows the online Q of dreams alone, the reward's by the lower expectile."""

    # --- actor ---
    actor_mode: Literal["awr", "backprop"] = "awr"
    """awr: the data's actions, weighted. backprop: gradients through the model."""
    weighting: Weighting = "feasibility"
    """feasibility: FOSP. reward: blind to cost. cloning: every action of the data alike (awr). For comparison."""
    reward_temperature: Annotated[float, Range("[0, inf)")] = 1.0
    """b_r: weight of scaled reward advantages (awr)."""
    cost_temperature: Annotated[float, Range("[0, inf)")] = 1.0
    """b_c: weight of scaled cost advantages (awr)."""
    cost_slack: Annotated[float, Range("[0, inf)")] = 0.1
    """An action costs nothing where Q of the cost is at most this; a fitted Q is never exactly 0 (awr)."""
    actor_learning_rate: Annotated[float, Range("(0, inf)")] = 3e-5
    """Of Adam."""
    actor_clip: Annotated[float, Range("(0, inf)")] = 100.0
    """Largest norm of the actor's gradient."""
    constrain: bool = True
    """Add the augmented Lagrangian of the imagined cost from feasible states; costs a gradient through the model."""

    # --- acting ---
    num_candidates: Annotated[int, Range("[1, 2^20]")] = 1
    """Beyond the paper: so many actions compete for each decision, the actor's own and draws from it: the largest Q of
    the reward among those that cost nothing (`cost_slack`) acts, else the smallest Q of the cost. 1: only its own."""
    expansion: bool = False
    """Choose between the actor and the frozen offline one: set by fine-tuning."""
    expansion_temperature: Annotated[float, Range("[0, inf)")] = 5.0
    """P(i) is proportional to exp of this times Q_r - expansion_cost Q_c of action i."""
    expansion_cost: Annotated[float, Range("[0, inf)")] = 0.1
    """What a unit of cost counts there."""

    def __post_init__(self) -> None:
        super().__post_init__()
        with Relations() as relations:
            branches = self.data_branch or self.dream_branch
            sentence = "expected it or dream_branch, at least one of them, found neither"
            relations.check(self, branches, "data_branch", sentence, others=["dream_branch"])
            cloning_works = self.weighting != "cloning" or self.actor_mode == "awr"
            sentence = "expected feasibility or reward with actor_mode backprop, found cloning"
            relations.check(self, cloning_works, "weighting", sentence, others=["actor_mode"])
            dreams = self.reachability != "released" or self.dream_branch
            sentence = "expected True with reachability released, found False"
            relations.check(self, dreams, "dream_branch", sentence, others=["reachability"])

    # --- init, policy ---

    def init(self, spec: DataSpec, key: Key[Array, ""], statistics: None = None) -> FOSPState:
        k_model, k_critics, k_actor = jax.random.split(key, 3)
        model = world_model.make_world_model(
            k_model, self.world_model, shape=spec.observation_shape, action_dim=spec.action_dim
        )
        critics = self._make_critics(k_critics, spec.action_dim)
        actor = GaussianActor.create(k_actor, self.world_model.features, self.actor_hidden, spec.action_dim)
        return FOSPState(
            model=model,
            model_optimizer=init_optimizer(world_model.optimizer(self.world_model), model),
            critics=critics,
            slow=jax.tree.map(jnp.copy, _slow_of(critics)),
            critics_optimizer=init_optimizer(self._critic_optimizer, critics),
            actor=actor,
            actor_optimizer=init_optimizer(self._actor_optimizer, actor),
            offline_actor=jax.tree.map(jnp.copy, actor),
            lagrangian=augmented_init(self.lagrangian),
            reward_spread=init_spread(),
            cost_spread=init_spread(),
        )

    def policy(self, state: FOSPState) -> Policy:
        """Belief by the world model, action by the actor or by the choice between two."""

        def proposed(actor: GaussianActor, features: Array, key: Key[Array, ""]) -> Float[Array, "n act"]:
            distribution = actor(features)
            if self.num_candidates == 1:
                return distribution.mean if self.act_with == "mean" else distribution.sample(key)
            drawn = jax.vmap(distribution.sample)(jax.random.split(key, self.num_candidates))
            if self.act_with == "mean":
                drawn = drawn.at[0].set(distribution.mean)
            return best_action(state.slow, features, jnp.clip(drawn, -1.0, 1.0), slack=self.cost_slack)

        def choose(choices: Choices, latent: Latent, key: Key[Array, ""]) -> tuple[Choices, Float[Array, "n act"]]:
            features = latent.features.astype(jnp.float32)
            k_online, k_offline, k_choice = jax.random.split(key, 3)
            online = jnp.clip(proposed(state.actor, features, k_online), -1.0, 1.0)
            offline = jnp.clip(proposed(state.offline_actor, features, k_offline), -1.0, 1.0)
            chance = online_probability(
                state.critics, features, online, offline,
                temperature=self.expansion_temperature, cost_weight=self.expansion_cost,
            )  # fmt: skip
            takes_online = jax.random.bernoulli(k_choice, chance)
            kept = Choices(choices.online + takes_online, choices.steps + 1)
            return kept, jnp.where(takes_online[:, None], online, offline)

        if self.expansion:
            return recurrent_policy(state.model, choose, Choices.none, config=self.world_model)
        alone = without_memory(lambda features, key: proposed(state.actor, features, key))
        return recurrent_policy(state.model, alone, lambda count: None, config=self.world_model)

    @property
    def choice(self) -> dict[str, Any]:
        """How many actions compete for a decision."""
        return {"num_candidates": self.num_candidates}

    def acting_metrics(self, state: FOSPState, carry: Any) -> Metrics:
        """What acting was like up to the policy's memory `carry`: the share of steps that took the online action."""
        if not self.expansion:
            return {}
        choices: Choices = carry.memory
        return {"act/online_rate": choices.online.sum() / jnp.maximum(1, choices.steps.sum())}

    def fine_tuning(self) -> "FOSP":
        """The algorithm that goes on online: everything learns in every update, the critics from dreams (alone, unless
        `online_data_branch`), and acts by the choice between two actors."""
        return replace(self, schedule="joint", expansion=True, data_branch=self.online_data_branch, dream_branch=True)

    def frozen(self, state: FOSPState) -> FOSPState:
        """The state that fine-tuning begins with: a copy of the actor beside it, which no update changes."""
        return state._replace(offline_actor=jax.tree.map(jnp.copy, state.actor))

    def window_infeasibility(self, state: FOSPState, frames: Frames, key: Key[Array, ""]) -> Float[Array, "b t"]:
        """p along windows [B, T, ...]: the probability that a violation cannot be avoided, as the critic sees it."""
        latent = posterior_states(state.model, frames, key, config=self.world_model, encoded_at_once=_ENCODED_AT_ONCE)
        return infeasibility(state.critics.reach, latent.features, frames.action, form=self.reachability)

    # --- steps ---

    def update_policy(
        self, state: FOSPState, batch: Frames, latent: Latent, key: Key[Array, ""]
    ) -> tuple[FOSPState, Metrics]:
        """Actor and multiplier on a fresh dream, then the critics on the same one (section 3.3's order)."""
        steps = steps_of(latent.features, batch)
        start, going_on = self.dream_starts(batch, latent)
        gradient, (dreamt, excess, metrics) = jax.grad(actor_loss, has_aux=True)(
            state.actor, state, steps, start, going_on, key, config=self._actor_settings
        )
        actor, actor_optimizer = apply_gradient(self._actor_optimizer, gradient, state.actor_optimizer, state.actor)
        gradient, (critic_metrics, q_reward, q_cost) = jax.grad(critics_loss, has_aux=True)(
            state.critics, state.slow, steps, jax.lax.stop_gradient(dreamt), config=self._critic_settings
        )
        critics, critics_optimizer = apply_gradient(
            self._critic_optimizer, clip_each(gradient, self.critic_clip), state.critics_optimizer, state.critics
        )
        lagrangian = augmented_update(state.lagrangian, excess, config=self.lagrangian)
        state = state._replace(
            critics=critics,
            slow=move_towards(state.slow, _slow_of(critics), rate=self.slow_rate),
            critics_optimizer=critics_optimizer,
            actor=actor,
            actor_optimizer=actor_optimizer,
            lagrangian=lagrangian if self.constrain else state.lagrangian,
            reward_spread=update_spread(state.reward_spread, q_reward, rate=self.spread_rate),
            cost_spread=update_spread(state.cost_spread, q_cost, rate=self.spread_rate),
        )
        return state, metrics | critic_metrics

    # --- parts ---

    def _make_critics(self, key: Key[Array, ""], action_dim: int) -> Critics:
        features, bins = self.world_model.features, self.world_model.bins
        keys = iter(jax.random.split(key, 5))

        def critic(size_in: int, size_out: int) -> NormedMLP:
            return NormedMLP.create(next(keys), size_in, self.hidden, size_out, out_scale=0.0)

        of_action = features + action_dim
        reach = (of_action, bins) if self.reachability == "released" else (features, 1)
        return Critics(
            critic(of_action, bins), critic(features, bins), critic(of_action, bins), critic(features, bins),
            critic(*reach),
        )  # fmt: skip

    @property
    def _critic_settings(self) -> CriticSettings:
        return CriticSettings(**{name: getattr(self, name) for name in CriticSettings._fields})

    @property
    def _actor_settings(self) -> ActorSettings:
        return ActorSettings(**{name: getattr(self, name) for name in ActorSettings._fields})

    @property
    def _critic_optimizer(self) -> optax.GradientTransformation:
        return optax.adam(self.critic_learning_rate, eps=1e-5)

    @property
    def _actor_optimizer(self) -> optax.GradientTransformation:
        return optax.chain(optax.clip_by_global_norm(self.actor_clip), optax.adam(self.actor_learning_rate, eps=1e-5))


def _slow_of(critics: Critics) -> Slow:
    return Slow(critics.q_reward, critics.q_cost, critics.reach)
