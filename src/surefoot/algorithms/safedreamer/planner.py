"""Planning of SafeDreamer's forms OSRP and OSRP-Lag in the world model, safe sequences first (arXiv 2307.07176, section
4)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot.algorithms.imagination import ChooseWithMemory, imagine_actions, imagine_rollout
from surefoot.algorithms.safedreamer.config import SafeDreamerConfig
from surefoot.nn import GaussianActor, NormedMLP
from surefoot.planning import Evaluate, plan_actions, shifted
from surefoot.world_model import Latent, WorldModel


class PlanMemory(NamedTuple):
    """Memory of planning in n episodes."""

    mean: Float[Array, "n H act"]
    """Where it starts at the next step."""
    safe_share: Float[Array, " n"]
    """Sum over the steps so far of the share of sequences whose cost was below the limit."""
    steps: Float[Array, " n"]


def first_memory(count: int, *, horizon: int, action_dim: int) -> PlanMemory:
    """Before the first step: no action ahead."""
    return PlanMemory(jnp.zeros((count, horizon, action_dim)), jnp.zeros(count), jnp.zeros(count))


def planning_policy(
    model: WorldModel,
    critics: Any,
    actor: GaussianActor,
    multiplier: Float[Array, ""] | None,
    episode_steps: Float[Array, ""],
    *,
    config: SafeDreamerConfig,
) -> ChooseWithMemory:
    """Choose by planning on the model, with the critics (`reward`, `cost`) of states at the end of each sequence.

    `multiplier` is what a unit of the cost's return takes off (None, for OSRP: nothing), `episode_steps` what costs
    are scaled up to.
    """

    def choose(memory: PlanMemory, latent: Latent, key: Key[Array, ""]) -> tuple[PlanMemory, Float[Array, "n act"]]:
        k_propose, k_plan = jax.random.split(key)
        evaluate = evaluation(model, critics, latent, multiplier, episode_steps, config=config)
        plan = plan_actions(
            evaluate, memory.mean, k_plan,
            limit=config.episode_cost_limit, config=config.planner,
            proposals=proposals(model, actor, latent, k_propose, config=config),
        )  # fmt: skip
        kept = PlanMemory(shifted(plan.mean), memory.safe_share + plan.safe_share, memory.steps + 1.0)
        return kept, plan.mean[:, 0]

    return choose


def evaluation(
    model: WorldModel,
    critics: Any,
    latent: Latent,
    multiplier: Float[Array, ""] | None,
    episode_steps: Float[Array, ""],
    *,
    config: SafeDreamerConfig,
) -> Evaluate:
    """Returns of action sequences from the states `latent` [n, ...]: G_0 - multiplier G^c_0, and (episode_steps / H)
    times the sum of the imagined costs, the cost of an episode at that rate."""

    def evaluate(sequences: Float[Array, "n s H act"], key: Key[Array, ""]) -> tuple[Array, Array]:
        count, samples, horizon, _ = sequences.shape
        action = jnp.moveaxis(sequences.reshape(count * samples, horizon, -1), 1, 0)
        rollout = imagine_actions(
            model,
            _repeated(latent, samples),
            action,
            key,
            discount=config.imagination.discount,
            config=config.world_model,
        )

        def start_value(earned: Array, critic: NormedMLP) -> Float[Array, "n s"]:
            return rollout.returns(earned, critic, mixing=config.imagination.mixing)[0].reshape(count, samples)

        returns = start_value(rollout.reward, critics.reward)
        if multiplier is not None:
            returns = returns - multiplier * start_value(rollout.cost, critics.cost)
        return returns, episode_steps / horizon * rollout.cost.sum(0).reshape(count, samples)

    return evaluate


def proposals(
    model: WorldModel, actor: GaussianActor, latent: Latent, key: Key[Array, ""], *, config: SafeDreamerConfig
) -> Float[Array, "n p H act"] | None:
    """`policy_samples` sequences that the actor would go through from each of the states, or None of them."""
    samples, count = config.planner.num_policy_samples, latent.deterministic.shape[0]
    if samples == 0:
        return None
    rollout = imagine_rollout(
        model, _repeated(latent, samples), jnp.ones(count * samples),
        lambda features, one: actor(features).sample(one), key,
        horizon=config.imagination.horizon, discount=config.imagination.discount, config=config.world_model,
    )  # fmt: skip
    action = jnp.moveaxis(jnp.clip(rollout.action, -1.0, 1.0), 0, 1)
    return action.reshape(count, samples, config.imagination.horizon, -1)


def _repeated(latent: Latent, samples: int) -> Latent:
    """The states, each `samples` times in a row, [n * samples, ...]."""
    return jax.tree.map(lambda leaf: jnp.repeat(leaf, samples, 0), latent)
