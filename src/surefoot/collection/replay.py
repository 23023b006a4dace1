"""A replay buffer as a tree of arrays, filled in rounds of n environments, each followed by updates of SAC.

On a pure-JAX task simulation and learning are one scan; a simulator's steps come from outside, one round at a time.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from surefoot.collection import sac
from surefoot.collection.sac import SAC, Batch, SACState
from surefoot.envs.pure import PureTask, where_envs
from surefoot.types import Metrics


class Rows(NamedTuple):
    """Steps of n environments, [n, ...] for one round or [rounds, n, ...] for the buffer; all float32, flags 0 or 1."""

    observation: Float[Array, "*r n obs"]
    action: Float[Array, "*r n act"]
    """The learner's actions, in [-1, 1]."""
    reward: Float[Array, "*r n"]
    cost: Float[Array, "*r n"]
    next_observation: Float[Array, "*r n obs"]
    terminated: Float[Array, "*r n"]
    truncated: Float[Array, "*r n"]


class PureState(NamedTuple):
    """Environments of a pure-JAX task: their states and next observations."""

    environment: PyTree[Any]
    observation: Float[Array, "n obs"]


class Collected(NamedTuple):
    """Learner, buffer, and the number of its filled rounds."""

    learner: SACState
    buffer: Rows
    rounds: Int[Array, ""]


def empty(rounds: int, lanes: int, observation_dim: int, action_dim: int) -> Rows:
    """A buffer of zeros.

    Args:
        rounds: Rounds of the buffer.
        lanes: Environments n.
        observation_dim: Numbers of an observation.
        action_dim: Numbers of an action.

    Returns:
        The buffer, [rounds, n, ...].
    """
    shape = (rounds, lanes)
    observation, action, number = (
        jnp.zeros((*shape, observation_dim)),
        jnp.zeros((*shape, action_dim)),
        jnp.zeros(shape),
    )
    # No two of them may share memory, or they could not be donated.
    return Rows(*map(jnp.copy, (observation, action, number, number, observation, number, number)))


def append(collected: Collected, rows: Rows) -> Collected:
    """Write a round of steps into the buffer.

    Args:
        collected: Learner and buffer.
        rows: The steps, [n, ...].

    Returns:
        Learner and buffer, with one more round.
    """
    buffer = jax.tree.map(lambda all_rows, new: all_rows.at[collected.rounds].set(new), collected.buffer, rows)
    return Collected(collected.learner, buffer, collected.rounds + 1)


def draw(collected: Collected, size: int, key: Key[Array, ""]) -> Batch:
    """Transitions drawn uniformly, with replacement, from the filled rounds.

    Args:
        collected: Buffer.
        size: Transitions B.
        key: Random key.

    Returns:
        A batch, [B, ...].
    """
    lanes = collected.buffer.reward.shape[1]
    index = jax.random.randint(key, (size,), 0, collected.rounds * lanes)
    chosen: Rows = jax.tree.map(lambda values: values[index // lanes, index % lanes], collected.buffer)
    return Batch(chosen.observation, chosen.action, chosen.reward, chosen.next_observation, chosen.terminated)


def learn(config: SAC, collected: Collected, key: Key[Array, ""], *, updates: int) -> tuple[Collected, Metrics]:
    """Updates of SAC on the buffer.

    Args:
        config: Hyper-parameters.
        collected: Learner and buffer.
        key: Random key.
        updates: Number of updates.

    Returns:
        (learner and buffer, means of the metrics).
    """

    def one(learner: SACState, step_key: Key[Array, ""]) -> tuple[SACState, Metrics]:
        k_draw, k_update = jax.random.split(step_key)
        return sac.update(config, learner, draw(collected, config.batch_size, k_draw), k_update)

    learner, metrics = jax.lax.scan(one, collected.learner, jax.random.split(key, updates))
    return collected._replace(learner=learner), {name: values.mean() for name, values in metrics.items()}


def random_actions(lanes: int, action_dim: int, key: Key[Array, ""]) -> Float[Array, "n act"]:
    """Actions uniform on [-1, 1], for steps before the first update.

    Args:
        lanes: Environments n.
        action_dim: Numbers of an action.
        key: Random key.

    Returns:
        Actions, [n, act].
    """
    return jax.random.uniform(key, (lanes, action_dim), minval=-1.0, maxval=1.0)


def executed(action: Float[Array, "*r n act"], gain: float) -> Float[Array, "*r n act"]:
    """Actions that the environment executes.

    Args:
        action: Actions of the learner, [*r, n, act], in [-1, 1].
        gain: Their factor.

    Returns:
        Scaled actions, clipped to [-1, 1], [*r, n, act].
    """
    return jnp.clip(gain * action, -1.0, 1.0)


@partial(jax.jit, static_argnames=("task", "lanes"))
def begin_pure(task: PureTask, key: Key[Array, ""], *, lanes: int) -> PureState:
    """Fresh episodes in all environments.

    Args:
        task: The task.
        key: Random key of the starts.
        lanes: Environments n.

    Returns:
        States and first observations.
    """
    return PureState(*task.reset(jax.random.split(key, lanes)))


@partial(jax.jit, static_argnames=("config", "task", "updates", "gain"), donate_argnames=("collected", "lanes"))
def run_pure(
    config: SAC,
    task: PureTask,
    collected: Collected,
    lanes: PureState,
    keys: Key[Array, " rounds"],
    *,
    updates: int,
    gain: float = 1.0,
) -> tuple[Collected, PureState, Metrics]:
    """Rounds of a pure-JAX task: one step of every environment, then updates.

    Args:
        config: Hyper-parameters.
        task: The task.
        collected: Learner and buffer; donated.
        lanes: Environments; donated.
        keys: A random key for each round, [rounds].
        updates: Updates after each round; with 0 actions are random.
        gain: Factor from the learner's actions to the executed ones.

    Returns:
        (learner and buffer, environments, metrics of the last round).
    """
    count, action_dim = collected.buffer.action.shape[1:]

    def one_round(carry: tuple[Collected, PureState], key: Key[Array, ""]) -> tuple[Any, Metrics]:
        collected, lanes = carry
        k_act, k_reset, k_learn = jax.random.split(key, 3)
        if updates:
            action = sac.act(collected.learner, lanes.observation, k_act)
        else:
            action = random_actions(count, action_dim, k_act)
        entered, step = task.step(lanes.environment, executed(action, gain))
        ended = step.terminated | step.truncated
        flags = (step.terminated.astype(jnp.float32), step.truncated.astype(jnp.float32))
        rows = Rows(lanes.observation, action, step.reward, step.cost, step.observation, *flags)
        collected = append(collected, rows)
        lanes = where_envs(ended, begin_pure(task, k_reset, lanes=count), PureState(entered, step.observation))
        if not updates:
            return (collected, lanes), {}
        collected, metrics = learn(config, collected, k_learn, updates=updates)
        return (collected, lanes), metrics

    (collected, lanes), metrics = jax.lax.scan(one_round, (collected, lanes), keys)
    return collected, lanes, {name: values[-1] for name, values in metrics.items()}


@partial(jax.jit, static_argnames=("config", "updates"), donate_argnames=("collected",))
def run_round(
    config: SAC, collected: Collected, rows: Rows, key: Key[Array, ""], *, updates: int
) -> tuple[Collected, Metrics]:
    """Append a simulator's round to the buffer, then update.

    Args:
        config: Hyper-parameters.
        collected: Learner and buffer; donated.
        rows: Steps of the round, [n, ...].
        key: Random key of the updates.
        updates: Number of updates.

    Returns:
        (learner and buffer, metrics).
    """
    collected = append(collected, rows)
    return learn(config, collected, key, updates=updates) if updates else (collected, {})
