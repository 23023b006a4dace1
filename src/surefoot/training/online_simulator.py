"""Acting in a simulator for fine-tuning: as `envs.pure_rollouts.roll_out_stream`, with the lanes of a vector simulator.

An episode is a function of its seed, and the seeds and the noise are functions of the round's key; so a round that is
played again brings the same.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree

from surefoot.envs.pure import where_envs
from surefoot.envs.pure_rollouts import Stream
from surefoot.envs.vector import VectorEnv
from surefoot.errors import SimulatorError
from surefoot.numerics import check_finite
from surefoot.protocols import Algorithm
from surefoot.types import PolicyInputs

_MOST_SEED = 2**31 - 1


class OnlineSimulator(NamedTuple):
    """A simulator's task as fine-tuning takes it, in place of a `PureTask`."""

    environment: VectorEnv
    shape: tuple[int, ...]
    """Of an observation, which the environment has flat."""
    horizon: int
    """Decisions after which an episode is truncated."""
    ends_early: bool = True
    """An episode may be over before: where no place is left for the next goal."""


def roll_out_lanes(
    algorithm: Algorithm, state: PyTree[Any], task: OnlineSimulator, starts: Key[Array, " n"], key: Key[Array, ""]
) -> Stream:
    """`task.horizon` decisions in every lane, one episode after the other. Images stay uint8.

    Raises `SimulatorError` where a worker died: the round is played again with --resume.
    """
    steps, count = task.horizon, task.environment.num_envs
    lane_seeds = jax.vmap(lambda start: jax.random.randint(start, (steps + 1,), 0, _MOST_SEED))(starts)
    seeds = np.asarray(lane_seeds, np.int64).T
    keys = jax.random.split(key, steps)
    observation = _shaped(task.environment.reset(seeds[0]), task.shape)
    memory, length = algorithm.policy(state).initial(count), np.zeros(count, np.int32)
    rows: list[tuple[np.ndarray, ...]] = []
    for number in range(steps):
        memory, chosen = _act(algorithm, state, memory, observation, length, keys[number])
        action = check_finite(
            "action (environment, number)", np.asarray(chosen, np.float32), "the policy cannot act on what it observes"
        )
        step = task.environment.step(action, seeds[number + 1])
        if step.restarted.any():
            raise SimulatorError(
                f"a process of the simulator died ({task.environment.deaths[-1].how}); start the same command with "
                f"--resume to go on from the last checkpoint."
            )
        over = step.terminated | step.truncated
        rows.append(
            (observation, _shaped(step.observation, task.shape), action, step.reward.astype(np.float32),
             step.cost.astype(np.float32), step.terminated, over)
        )  # fmt: skip
        observation, length = _shaped(step.start_observation, task.shape), np.where(over, 0, length + 1)
        length = length.astype(np.int32)
    whole = [np.stack(values, 1) for values in zip(*rows, strict=True)]
    whole[-1][:, -1] = True
    return Stream(*map(jnp.asarray, whole), memory=memory)


def _shaped(observation: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return observation.reshape(len(observation), *shape)


@partial(jax.jit, static_argnames="algorithm")
def _act(
    algorithm: Algorithm, state: PyTree[Any], memory: PyTree[Any], observation: Array, length: Int[Array, " n"],
    key: Key[Array, ""],
) -> tuple[PyTree[Any], Float[Array, "n act"]]:  # fmt: skip
    """One decision in every lane; where an episode begins, from a memory of nothing."""
    policy = algorithm.policy(state)
    memory = where_envs(length == 0, policy.initial(observation.shape[0]), memory)
    return policy.act(memory, PolicyInputs(observation, step=length), key)
