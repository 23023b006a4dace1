"""A policy on a pure task, all lanes in step: whole episodes from given starts, or one after the other."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from surefoot.envs.pure import PureTask, where_envs
from surefoot.types import Policy, PolicyInputs


class EpisodeSums(NamedTuple):
    """What is kept of n episodes."""

    episode_return: Float[Array, " n"]
    cost: Float[Array, " n"]
    violating_steps: Int[Array, " n"]
    """Steps that cost something."""
    length: Int[Array, " n"]
    """Environment steps."""


class Episodes(NamedTuple):
    """n episodes: their sums, and how they ended."""

    sums: EpisodeSums
    last_state: PyTree[Any]
    """The task's own record of the states entered last."""
    terminated: Bool[Array, " n"]
    """Whether the task ended the episode, not the horizon."""
    visited: "Visited | None"
    """Every step, where asked for."""
    memory: PyTree[Any]
    """What the policy remembers at the end of each."""


class Visited(NamedTuple):
    """Every step of n episodes [n, T, ...]; rows after an episode's end repeat its last state and count nothing."""

    observation: Array
    """Of the states left; the first is the reset's."""
    action: Float[Array, "n t act"]
    reward: Float[Array, "n t"]
    cost: Float[Array, "n t"]
    last_observation: Array
    """Of the state entered last, [n, ...]."""
    state: PyTree[Any]
    """The task's own record of the states left, [n, T, ...]."""


def roll_out_whole(
    policy: Policy, task: PureTask, starts: Key[Array, " n"], key: Key[Array, ""], *, keep: bool = False
) -> Episodes:
    """One episode from each start, which is a function of its key alone; with `keep` every step, too. Pure."""
    return roll_out_from(policy, task, *task.reset(starts), key, keep=keep)


def roll_out_from(
    policy: Policy, task: PureTask, state: PyTree[Any], observation: Array, key: Key[Array, ""], *, keep: bool = False
) -> Episodes:
    """The same from given first states and their observations."""
    count = observation.shape[0]

    def one_step(carry: Any, step_key: Key[Array, ""]) -> tuple[Any, Any]:
        sums, state, observation, memory, running, terminated = carry
        memory, action = policy.act(memory, PolicyInputs(observation, step=sums.length), step_key)
        entered, result = task.step(state, action)
        reward, cost = jnp.where(running, result.reward, 0.0), jnp.where(running, result.cost, 0.0)
        sums = EpisodeSums(
            sums.episode_return + reward, sums.cost + cost, sums.violating_steps + (cost > 0), sums.length + running
        )
        kept = (observation, action, reward, cost, state) if keep else None
        state, observation = where_envs(running, (entered, result.observation), (state, observation))
        terminated = terminated | (running & result.terminated)
        running = running & ~(result.terminated | result.truncated)
        return (sums, state, observation, memory, running, terminated), kept

    none = jnp.zeros(count, jnp.int32)
    sums = EpisodeSums(jnp.zeros(count), jnp.zeros(count), none, none)
    first = (sums, state, observation, policy.initial(count), jnp.ones(count, bool), jnp.zeros(count, bool))
    last, kept = jax.lax.scan(one_step, first, jax.random.split(key, task.horizon))
    if kept is None:
        return Episodes(last[0], last[1], last[-1], None, last[3])
    *steps, states = jax.tree.map(_swap, kept)
    visited = Visited(*steps, last_observation=last[2], state=states)
    return Episodes(last[0], last[1], last[-1], visited, last[3])


class Stream(NamedTuple):
    """n lanes that act for T steps, one episode after the other [n, T, ...]; the last episode of each is cut."""

    observation: Array
    """Of the states left."""
    entered: Array
    """Observations of the states entered, before any reset."""
    action: Float[Array, "n t act"]
    reward: Float[Array, "n t"]
    cost: Float[Array, "n t"]
    terminated: Bool[Array, "n t"]
    last: Bool[Array, "n t"]
    """Whether the episode ends with this step: terminated, truncated, or cut."""
    memory: PyTree[Any]
    """What the policy remembers at the end of the last episode of each lane, [n, ...]."""


def roll_out_stream(
    policy: Policy, task: PureTask, starts: Key[Array, " n"], key: Key[Array, ""], *, steps: int
) -> Stream:
    """`steps` steps in every lane, the first episodes from `starts`; where one ends, the next begins. Pure."""
    count = starts.shape[0]

    def one_step(carry: Any, inputs: tuple[Key[Array, ""], Int[Array, ""]]) -> tuple[Any, Any]:
        state, observation, memory, length, _ = carry
        step_key, number = inputs
        memory, action = policy.act(memory, PolicyInputs(observation, step=length), step_key)
        entered, result = task.step(state, action)
        over = result.terminated | result.truncated
        row = (observation, result.observation, action, result.reward, result.cost, result.terminated, over)
        fresh_keys = jax.vmap(lambda one: jax.random.fold_in(one, number))(starts)
        fresh = (*task.reset(fresh_keys), policy.initial(count), jnp.zeros_like(length))
        return (*where_envs(over, fresh, (entered, result.observation, memory, length + 1)), memory), row

    memory = policy.initial(count)
    first = (*task.reset(starts), memory, jnp.zeros(count, jnp.int32), memory)
    last, rows = jax.lax.scan(one_step, first, (jax.random.split(key, steps), jnp.arange(steps)))
    stream = Stream(*jax.tree.map(_swap, rows), memory=last[-1])
    return stream._replace(last=stream.last.at[:, -1].set(True))


def _swap(values: Array) -> Array:
    """Time and lanes change places."""
    return jnp.swapaxes(values, 0, 1)
