"""Rollouts for fine-tuning: a fixed number of steps in every environment, across episodes.

Environment i of n plays the episodes i, i + n, and so on. An episode's start and the key of each action are functions
of the round's keys, of the episode's number and of the step, so that a repeated round has equal results.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from surefoot.envs.pure import PureTask
from surefoot.envs.vector import VectorEnv
from surefoot.errors import SimulatorError, option
from surefoot.protocols import Acts
from surefoot.rollouts import scan
from surefoot.rollouts.acting import act, step_keys
from surefoot.rollouts.host import check_actions, walk
from surefoot.tasks.action_units import ActionUnits, AppliedActions
from surefoot.types import ActionBounds, Policy, PolicyInputs

_MOST_SEED = 2**31 - 1


class Stream(NamedTuple):
    """T steps of n environments, arrays [n, T, ...]; the last episode of each is cut."""

    observation: Array
    """Observations of the states left."""
    entered: Array
    """Observations of the states entered, before any reset."""
    action: Float[Array, "n t act"]
    reward: Float[Array, "n t"]
    cost: Float[Array, "n t"]
    terminated: Bool[Array, "n t"]
    last: Bool[Array, "n t"]
    """Whether the episode ends with this step: terminated, truncated, or cut."""
    memory: PyTree[Any]
    """Memory of the policy at the end of each environment's last episode, arrays [n, ...]."""


class OnlineSimulator(NamedTuple):
    """A simulator's task for fine-tuning, in place of a `PureTask`."""

    environment: VectorEnv
    shape: tuple[int, ...]
    """Shape of an observation, which the environment has flat."""
    horizon: int
    """Decisions after which an episode is truncated."""
    ends_early: bool = True
    """Whether an episode may end before the horizon, as where no place is left for the next goal."""
    units: ActionUnits | None = None
    """Units of actions where the environment limits their rates; its steps hold the applied actions."""


def _each(key: Key[Array, ""], episode: Int[Array, " n"]) -> Key[Array, " n"]:
    return jax.vmap(partial(jax.random.fold_in, key))(episode)


def roll_out_stream(
    policy: Policy, task: PureTask, start: Key[Array, ""], key: Key[Array, ""], *, num_envs: int, steps: int
) -> Stream:
    """Roll out a policy in a task of pure JAX. Pure.

    Args:
        policy: Policy.
        task: Task of pure JAX.
        start: Key of the episodes' first states.
        key: Key of the actions.
        num_envs: Environments n.
        steps: Steps T in each environment.

    Returns:
        Steps, arrays [n, T, ...].
    """

    def begin(episode: Int[Array, " n"]) -> tuple[PyTree[Any], Array]:
        return task.reset(_each(start, episode))

    def one(now: scan.Running, _: None) -> tuple[scan.Running, tuple[Array, ...]]:
        now, seen, row = scan.advance(policy, task, begin, partial(_each, key), now, count=None)
        result = seen.result
        observations = seen.observation, result.observation
        return now, (*observations, seen.action, result.reward, result.cost, result.terminated, row.ended)

    episode = jnp.arange(num_envs)
    now = scan.start(policy, scan.First(*begin(episode)), episode)
    last, rows = jax.lax.scan(one, now, length=steps)
    stream = Stream(*jax.tree.map(lambda values: jnp.swapaxes(values, 0, 1), rows), memory=last.memory)
    return stream._replace(last=stream.last.at[:, -1].set(True))


def roll_out_envs(
    algorithm: Acts, state: PyTree[Any], task: OnlineSimulator, start: Key[Array, ""], key: Key[Array, ""]
) -> Stream:
    """Roll out a policy in a simulator for `task.horizon` decisions. Images stay uint8.

    Args:
        algorithm: Algorithm that acts.
        state: Training state.
        task: Simulator.
        start: Key of the episodes' seeds.
        key: Key of the actions.

    Returns:
        Steps, arrays [n, horizon, ...].

    Raises:
        SimulatorError: A worker died; the round is played again as the command resumes.
    """
    env, everyone = task.environment, np.arange(task.environment.num_envs)
    numbers = jnp.arange((task.horizon + 1) * env.num_envs)
    drawn = jax.vmap(lambda one: jax.random.randint(one, (), 0, _MOST_SEED))(_each(start, numbers))
    seeds = np.asarray(drawn, np.int64).reshape(-1, env.num_envs)
    episode, length = np.zeros(env.num_envs, np.int32), np.zeros(env.num_envs, np.int32)
    memory = algorithm.policy(state).initial(env.num_envs)
    applied = None if task.units is None else AppliedActions(task.units, env.num_envs)

    def choose(_: int, observation: np.ndarray) -> np.ndarray:
        nonlocal memory
        seen = observation.reshape(-1, *task.shape)
        limits = None
        if applied is not None:
            limits = applied.normalized, ActionBounds(*map(jnp.asarray, applied.bounds(length == 0)))
        memory, action = _act(algorithm, state, memory, seen, limits, length, key, everyone + env.num_envs * episode)
        chosen = check_actions(np.asarray(action, np.float32), everyone >= 0)
        return chosen if applied is None else applied.take(chosen, length == 0)

    rows: list[tuple[np.ndarray, ...]] = []
    upcoming = (seeds[episode + 1, everyone] for _ in range(task.horizon))
    for moment in walk(env, env.reset(seeds[0]), upcoming, choose):
        step = moment.step
        if step.restarted.any():
            raise SimulatorError(
                f"a process of the simulator died ({env.deaths[-1].how}); start the same command with "
                f"{option('resume')} to go on from the last checkpoint."
            )
        over = step.terminated | step.truncated
        observations = (one.reshape(-1, *task.shape) for one in (moment.observation, step.observation))
        numbers32 = step.reward.astype(np.float32), step.cost.astype(np.float32)
        rows.append((*observations, moment.action, *numbers32, step.terminated, over))
        episode, length = episode + over, np.where(over, 0, length + 1).astype(np.int32)
    whole = [np.stack(values, 1) for values in zip(*rows, strict=True)]
    whole[-1][:, -1] = True
    return Stream(*map(jnp.asarray, whole), memory=memory)


@partial(jax.jit, static_argnames="algorithm")
def _act(
    algorithm: Acts, state: PyTree[Any], memory: PyTree[Any], observation: Array,
    limits: tuple[Array, ActionBounds] | None,
    length: Int[Array, " n"], key: Key[Array, ""], episode: Int[Array, " n"],
) -> tuple[PyTree[Any], Float[Array, "n act"]]:  # fmt: skip
    applied, within = (None, None) if limits is None else limits
    inputs = PolicyInputs(observation, jnp.full(length.shape, jnp.inf), length, applied=applied, within=within)
    return act(algorithm.policy(state), memory, inputs, step_keys(_each(key, episode), length))
