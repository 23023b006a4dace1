"""Whole episodes of a policy on a pure task, all lanes in step: for short episodes of one length, images or vectors."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from surefoot.envs.pure import PureTask
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


def roll_out_whole(
    policy: Policy, task: PureTask, starts: Key[Array, " n"], key: Key[Array, ""], *, keep: bool = False
) -> Episodes:
    """One episode from each start, which is a function of its key alone; with `keep` every step, too. Pure."""
    state, observation = task.reset(starts)
    count = starts.shape[0]
    lane = lambda mask, values: mask.reshape(-1, *[1] * (values.ndim - 1))  # noqa: E731

    def one_step(carry: Any, step_key: Key[Array, ""]) -> tuple[Any, Any]:
        state, observation, memory, running, sums = carry
        memory, action = policy.act(memory, PolicyInputs(observation, step=sums.length), step_key)
        entered, result = task.step(state, action)
        reward, cost = jnp.where(running, result.reward, 0.0), jnp.where(running, result.cost, 0.0)
        sums = EpisodeSums(
            sums.episode_return + reward, sums.cost + cost, sums.violating_steps + (cost > 0), sums.length + running
        )
        kept = (observation, action, reward, cost) if keep else None
        state, observation = jax.tree.map(
            lambda new, old: jnp.where(lane(running, new), new, old),
            (entered, result.observation),
            (state, observation),
        )
        running = running & ~(result.terminated | result.truncated)
        return (state, observation, memory, running, sums), kept

    none = jnp.zeros(count, jnp.int32)
    sums = EpisodeSums(jnp.zeros(count), jnp.zeros(count), none, none)
    first = (state, observation, policy.initial(count), jnp.ones(count, bool), sums)
    last, kept = jax.lax.scan(one_step, first, jax.random.split(key, task.horizon))
    if kept is None:
        return Episodes(last[-1], last[0], None, last[2])
    steps = (jnp.swapaxes(values, 0, 1) for values in kept)
    return Episodes(last[-1], last[0], Visited(*steps, last_observation=last[1]), last[2])
