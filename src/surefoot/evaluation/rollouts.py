"""Batched rollouts of a policy on PointRobot: one policy call per step for all lanes, one dispatch for all episodes."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from surefoot.envs import point_robot
from surefoot.envs.pure import where_envs
from surefoot.types import Policy, PolicyInputs


class Records(NamedTuple):
    """What is kept of each episode; axes [episodes] or [episodes, HORIZON + 1, 2]."""

    episode_return: Float[Array, "*s n"]
    """Sum of rewards, metres plus 1 for the goal."""
    cost: Float[Array, "*s n"]
    """Violating steps."""
    length: Int[Array, "*s n"]
    """Environment steps."""
    max_constraint: Float[Array, "*s n"]
    """Largest h of the states entered, metres."""
    reached_goal: Bool[Array, "*s n"]
    path: Float[Array, "*s n t 2"]
    """Positions, the start first; NaN after the end. Metres."""


class _Lanes(NamedTuple):
    state: point_robot.RobotState
    observation: Float[Array, "w obs"]
    episode: Int[Array, " w"]  # == number of episodes where the lane has nothing left to do
    memory: PyTree[Any]


def roll_out(
    policy: Policy, poses: Float[Array, "n pose"], key: Key[Array, ""], *, lanes: int, lag: float = 0.0
) -> Records:
    """One episode of a robot with that lag (seconds) from every pose. A lane whose episode ends takes the next start at
    once, so that the cost is the sum of the lengths and not the longest times the number.

    Pure; jit and vmap it over seeds. The numbers depend on `lanes`, because the policy's noise is drawn per lane.
    """
    count = poses.shape[0]
    lanes = min(lanes, count)
    first_memory = policy.initial(lanes)

    def place(episode: Int[Array, " w"]) -> tuple[point_robot.RobotState, Float[Array, "w obs"]]:
        return point_robot.reset_to(poses[jnp.minimum(episode, count - 1)])

    def running(carry: tuple[_Lanes, Array, Array, Records]) -> Bool[Array, ""]:
        return jnp.any(carry[0].episode < count)

    def one_step(carry: tuple[_Lanes, Array, Array, Records]) -> tuple[_Lanes, Array, Array, Records]:
        current, waiting, tick, records = carry
        inputs = PolicyInputs(current.observation)
        memory, action = policy.act(current.memory, inputs, jax.random.fold_in(key, tick))
        entered, result = point_robot.step(current.state, action, lag=lag)
        records = _record(records, current.episode, entered, result)
        ended = (result.terminated | result.truncated) & (current.episode < count)
        upcoming = jnp.minimum(waiting + jnp.cumsum(ended) - 1, count)
        episode = jnp.where(ended, upcoming, current.episode)
        fresh_state, fresh_observation = place(episode)
        fresh = (fresh_state, fresh_observation, first_memory)
        state, observation, memory = where_envs(ended, fresh, (entered, result.observation, memory))
        return _Lanes(state, observation, episode, memory), waiting + ended.sum(), tick + 1, records

    episode = jnp.arange(lanes)
    start = (_Lanes(*place(episode), episode, first_memory), jnp.int32(lanes), jnp.int32(0), _empty(poses))
    records = jax.lax.while_loop(running, one_step, start)[3]
    return jax.tree.map(lambda values: values[:count], records)


def _empty(poses: Float[Array, "n pose"]) -> Records:
    """Room for n episodes and one more row that idle lanes write to."""
    rows = poses.shape[0] + 1
    path = jnp.full((rows, point_robot.HORIZON + 1, 2), jnp.nan).at[:-1, 0].set(poses[:, :2])
    return Records(
        episode_return=jnp.zeros(rows),
        cost=jnp.zeros(rows),
        length=jnp.zeros(rows, jnp.int32),
        max_constraint=jnp.full(rows, -jnp.inf),
        reached_goal=jnp.zeros(rows, bool),
        path=path,
    )


def _record(
    records: Records, episode: Int[Array, " w"], entered: point_robot.RobotState, result: point_robot.Step
) -> Records:
    position = entered.pose[:, :2]
    reached = point_robot.goal_distance(position) <= point_robot.GOAL_RADIUS
    return Records(
        episode_return=records.episode_return.at[episode].add(result.reward),
        cost=records.cost.at[episode].add(result.cost),
        length=records.length.at[episode].set(entered.step),
        max_constraint=records.max_constraint.at[episode].max(result.constraint),
        reached_goal=records.reached_goal.at[episode].set(reached),
        path=records.path.at[episode, entered.step].set(position),
    )
