"""Scripted behaviors that collect PointRobot data: random held actions, and goal-seekers of varied caution.

Each episode draws its own traits, so that the data hold safe and unsafe, good and poor episodes.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from surefoot.envs import point_robot
from surefoot.envs.entered import Entered
from surefoot.envs.point_robot import POINT_ROBOT, Robot, RobotState

HOLD_STEPS = (4, 30)
"""A random action is held for a number of steps uniform in this range."""
NOISE_MEMORY = 0.9
"""Share of a goal-seeker's action noise that is kept from one step to the next."""


class Traits(NamedTuple):
    """Traits of one episode's behavior."""

    seeks_goal: Bool[Array, ""]
    caution: Float[Array, ""]
    """0 ignores hazards, 1 keeps well clear of them."""
    cruise_speed: Float[Array, ""]
    """Meters per second that a goal-seeker aims for."""
    noise: Float[Array, ""]
    """Standard deviation of the goal-seeker's action noise."""


class Memory(NamedTuple):
    """Memory of a behavior within an episode."""

    held_action: Float[Array, " 2"]
    steps_left: Float[Array, ""]
    noise: Float[Array, " 2"]


class EpisodeBatch(NamedTuple):
    """Rollouts [episodes, HORIZON]; rows after an episode's end are marked by `valid` = False."""

    observation: Float[Array, "n t obs"]
    action: Float[Array, "n t 2"]
    step: Entered
    valid: Bool[Array, "n t"]


def draw_traits(key: Key[Array, ""], seeks_goal: Bool[Array, ""]) -> Traits:
    """Random traits of one episode.

    Args:
        key: Random key.
        seeks_goal: Whether the behavior seeks the goal.

    Returns:
        The traits.
    """
    k_caution, k_speed, k_noise = jax.random.split(key, 3)
    return Traits(
        seeks_goal,
        caution=jax.random.uniform(k_caution),
        cruise_speed=jax.random.uniform(k_speed, minval=0.6, maxval=2.2),
        noise=jax.random.uniform(k_noise, minval=0.05, maxval=0.8),
    )


def random_action(key: Key[Array, ""]) -> Float[Array, " 2"]:
    """Action with each number uniform on [-2, 2], clipped to [-1, 1]: half of them lie at full control."""
    return jnp.clip(jax.random.uniform(key, (2,), minval=-2.0, maxval=2.0), -1.0, 1.0)


def seek_goal(
    pose: Float[Array, " pose"],
    traits: Traits,
    hazards: Float[np.ndarray, "hazards 2"] = point_robot.HAZARDS,
    *,
    lag: float = 0.0,
) -> Float[Array, " 2"]:
    """Action towards the goal, turned and slowed by hazards within a reach that grows with caution.

    With slow actuators it steers by the speed that the robot reaches if nothing more is commanded.

    Args:
        pose: (x, y, v, theta) in meters, m/s and radians; with slow actuators also a in m/s^2.
        traits: Traits of the behavior.
        hazards: Centers of the hazards, in meters, [hazards, 2].
        lag: Time constant of the acceleration, in seconds; 0: none.

    Returns:
        (acceleration, turn rate), [2], in [-1, 1] each.
    """
    position, speed, heading = pose[:2], pose[2], pose[3]
    speed = speed + lag * pose[4] if lag else speed
    to_goal = point_robot.GOAL - position
    direction = to_goal / jnp.linalg.norm(to_goal)
    slowest = traits.cruise_speed
    evades, turn_away = jnp.bool_(False), jnp.zeros(())
    for hazard in hazards:
        away = position - hazard
        distance = jnp.linalg.norm(away)
        outward = away / distance
        # The tangent on the goal's side leads around the hazard; the outward part keeps clear of it.
        tangent = jnp.array([-outward[1], outward[0]])
        tangent = tangent * jnp.where(tangent @ to_goal >= 0, 1.0, -1.0)
        gap = distance - point_robot.HAZARD_RADIUS
        blocking = outward @ direction < 0.2
        push = traits.caution * jnp.exp(-gap / (0.2 + 0.4 * traits.caution)) * blocking
        direction = direction + 2.0 * push * (tangent + 0.6 * outward)
        approaching = -(outward @ jnp.array([jnp.cos(heading), jnp.sin(heading)])) > 0.3
        limit = 0.3 + jnp.maximum(gap, 0.0) * (3.0 - 2.0 * traits.caution)
        slowest = jnp.where(approaching & (traits.caution > 0.2), jnp.minimum(slowest, limit), slowest)
        emergency, turn = _evasion(hazard, pose, lag)
        evades, turn_away = jnp.where(emergency, True, evades), jnp.where(emergency, turn, turn_away)
    wanted = jnp.arctan2(direction[1], direction[0])
    error = jnp.arctan2(jnp.sin(wanted - heading), jnp.cos(wanted - heading))
    slowest = jnp.where(jnp.abs(error) > 1.0, jnp.minimum(slowest, 0.5), slowest)
    steady = jnp.clip(jnp.stack([3.0 * (slowest - speed), 3.0 * error]), -1.0, 1.0)
    # Half of the goal-seekers evade at the last moment, so that the data shows what full control can still save.
    return jnp.where(evades & (traits.caution > 0.5), jnp.stack([-jnp.ones(()), turn_away]), steady)


def _evasion(
    hazard: Float[Array, " 2"], pose: Float[Array, " pose"], lag: float
) -> tuple[Bool[Array, ""], Float[Array, ""]]:
    """(whether a hazard lies ahead within little more than the braking distance, the turn away from it)."""
    position, speed, heading = pose[:2], pose[2], pose[3]
    offset = hazard - position
    ahead = offset @ jnp.array([jnp.cos(heading), jnp.sin(heading)])
    left = offset @ jnp.array([-jnp.sin(heading), jnp.cos(heading)])
    reach = 0.15 + 0.6 * jnp.square(jnp.maximum(speed, 0.0))
    reach = reach + lag * jnp.maximum(speed, 0.0) if lag else reach  # what it covers before it brakes
    gap = jnp.linalg.norm(offset) - point_robot.HAZARD_RADIUS
    emergency = (speed > 0) & (ahead > 0) & (jnp.abs(left) < point_robot.HAZARD_RADIUS + 0.1) & (gap < reach)
    return emergency, -jnp.sign(left)


def act(
    memory: Memory, pose: Float[Array, " pose"], traits: Traits, key: Key[Array, ""], *, lag: float = 0.0
) -> tuple[Memory, Float[Array, " 2"]]:
    """One step of a behavior.

    Args:
        memory: Memory of the behavior.
        pose: The robot's pose, as of `seek_goal`.
        traits: Traits of the behavior.
        key: Random key of the step.
        lag: Time constant of the acceleration, in seconds.

    Returns:
        (memory, action [2] in [-1, 1]).
    """
    k_hold, k_action, k_noise = jax.random.split(key, 3)
    expired = memory.steps_left <= 0
    held = jnp.where(expired, random_action(k_action), memory.held_action)
    length = jax.random.randint(k_hold, (), *HOLD_STEPS).astype(jnp.float32)
    steps_left = jnp.where(expired, length, memory.steps_left) - 1.0
    fresh = jnp.sqrt(1.0 - NOISE_MEMORY**2) * jax.random.normal(k_noise, (2,))
    noise = NOISE_MEMORY * memory.noise + fresh
    sought = jnp.clip(seek_goal(pose, traits, lag=lag) + traits.noise * noise, -1.0, 1.0)
    return Memory(held, steps_left, noise), jnp.where(traits.seeks_goal, sought, held)


def _episode(robot: Robot, key: Key[Array, ""], seeks_goal: Bool[Array, ""]) -> EpisodeBatch:
    k_reset, k_traits, k_steps = jax.random.split(key, 3)
    state, observation = point_robot.reset(k_reset, robot=robot)
    traits = draw_traits(k_traits, seeks_goal)
    memory = Memory(jnp.zeros(2), jnp.zeros(()), jnp.zeros(2))

    def one_step(carry, step_key):
        state, observation, memory, running = carry
        memory, action = act(memory, state.pose, traits, step_key, lag=robot.lag)
        entered, result = point_robot.step(state, action, lag=robot.lag)
        row = EpisodeBatch(observation, action, result, running)
        return (entered, result.observation, memory, running & ~(result.terminated | result.truncated)), row

    start: tuple[RobotState, Array, Memory, Array] = (state, observation, memory, jnp.bool_(True))
    _, rows = jax.lax.scan(one_step, start, jax.random.split(k_steps, point_robot.HORIZON))
    return rows


@partial(jax.jit, static_argnames="robot")
def roll_out(keys: Key[Array, " n"], seeks_goal: Bool[Array, " n"], robot: Robot = POINT_ROBOT) -> EpisodeBatch:
    """One episode for each key, by a goal-seeker or by random held actions.

    Args:
        keys: Random keys, [n].
        seeks_goal: Whether each episode's behavior seeks the goal, [n].
        robot: The robot.

    Returns:
        Episodes, [n, HORIZON].
    """
    return jax.vmap(partial(_episode, robot))(keys, seeks_goal)
