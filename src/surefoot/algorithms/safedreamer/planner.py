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
    """Mean action sequence from which the next search starts."""
    safe_share: Float[Array, " n"]
    """Sum over the steps so far of the share of sequences with a cost below the limit."""
    steps: Float[Array, " n"]


def first_memory(count: int, *, horizon: int, action_dim: int) -> PlanMemory:
    """Memory before the first step: action sequences of 0.

    Args:
        count: Environments n.
        horizon: Actions H of a sequence.
        action_dim: Dimensions of an action.

    Returns:
        Memory of n episodes.
    """
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
    """Choice of actions by the cross-entropy method in the world model.

    Args:
        model: World model.
        critics: V of reward and cost at the end of each sequence.
        actor: Proposes sequences.
        multiplier: Worth of a unit of cost return (osrp-lag); None (osrp): nothing.
        episode_steps: Decisions in an episode, to which costs are scaled up.
        config: SafeDreamer's hyper-parameters.

    Returns:
        A function (memory, latent states, key) -> (memory, actions [n, act]).
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
    """Function that evaluates action sequences from given states.

    Its returns are G_0 - multiplier G^c_0. Its costs are (episode_steps / H) times the sum of the imagined costs, the
    cost of an episode at that rate.

    Args:
        model: World model.
        critics: V of reward and cost at the end of each sequence.
        latent: States to start from, [n, ...].
        multiplier: Worth of a unit of cost return; None: nothing.
        episode_steps: Decisions in an episode.
        config: SafeDreamer's hyper-parameters.

    Returns:
        A function (sequences [n, s, H, act], key) -> (returns, costs), each [n, s].
    """

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
    """Action sequences that the actor would execute in the world model.

    Args:
        model: World model.
        actor: Draws actions.
        latent: States to start from, [n, ...].
        key: Random key.
        config: `planner.num_policy_samples` is the number p of sequences a state.

    Returns:
        Sequences in [-1, 1], [n, p, H, act]; None where p is 0.
    """
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
