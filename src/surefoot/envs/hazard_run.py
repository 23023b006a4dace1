"""HazardRun: run past a round hazard that is seen only as pixels; the smallest task for policies on images.

The arena is [-1, 1]^2, without units. The observation is an image from above, 16 x 16 pixels: red the hazard, green the
strip of the goal, blue the agent. The hazard's place changes from episode to episode. Everything is a pure function of
JAX arrays with any leading axes.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from surefoot.envs.entered import Entered
from surefoot.ranges import Range, Ranged

SIZE = 16
"""Pixels along each side of the image."""
HORIZON = 30
"""Environment steps; an episode never terminates."""
STEP_LENGTH = 0.12
"""Distance of a step at action 1, along each axis."""
HAZARD_RADIUS = 0.4
AGENT_RADIUS = 0.2
"""Radius of the drawn agent; it is in the hazard where its center is."""
GOAL_LINE = 0.8
"""Everything right of this x is the goal."""
START_X = -0.85


@dataclass(frozen=True)
class Layout(Ranged):
    """Independent uniform ranges (low, high) of an episode's start."""

    hazard_x: Annotated[tuple[float, float], Range("(-inf, inf)")] = (-0.2, 0.3)
    hazard_y: Annotated[tuple[float, float], Range("(-inf, inf)")] = (-0.5, 0.5)
    start_y: Annotated[tuple[float, float], Range("(-inf, inf)")] = (-0.6, 0.6)


SEEN = Layout()
"""Layout of the data."""
SHIFTED = Layout(hazard_x=(-0.35, -0.25))
"""Layout to fine-tune on: the hazard is nearer to the start than in any episode of the data."""


class RunState(NamedTuple):
    """Agents, their hazards, and the number of steps taken since the reset."""

    position: Float[Array, "*n 2"]
    hazard: Float[Array, "*n 2"]
    step: Int[Array, "*n"]


def hazard_distance(state: RunState) -> Float[Array, "*n"]:
    """Distance [*n] from the agent's center to the hazard's; below `HAZARD_RADIUS` is a violation."""
    return jnp.linalg.norm(state.position - state.hazard, axis=-1)


def in_goal(state: RunState) -> Bool[Array, "*n"]:
    """Whether each agent stands in the goal, [*n]."""
    return state.position[..., 0] > GOAL_LINE


def draw(state: RunState) -> UInt8[Array, "*n 16 16 3"]:
    """Images of states, uint8 [*n, 16, 16, 3]. Edges are a pixel wide, so that they show positions more finely than a
    pixel."""
    centers = (np.arange(SIZE, dtype=np.float32) + 0.5) * (2.0 / SIZE) - 1.0
    batch = state.step.shape
    # Row 0 is the top, y = 1.
    x = jnp.broadcast_to(centers, (*batch, SIZE, SIZE))
    y = jnp.broadcast_to(-centers[:, None], (*batch, SIZE, SIZE))

    def disc(center: Float[Array, "*n 2"], radius: float) -> Float[Array, "*n 16 16"]:
        offset_x, offset_y = x - center[..., 0, None, None], y - center[..., 1, None, None]
        return jnp.clip((radius - jnp.hypot(offset_x, offset_y)) * (SIZE / 2.0) + 0.5, 0.0, 1.0)

    layers = (
        disc(state.hazard, HAZARD_RADIUS),
        (x > GOAL_LINE).astype(jnp.float32),
        disc(state.position, AGENT_RADIUS),
    )
    return jnp.round(255.0 * jnp.stack(layers, -1)).astype(jnp.uint8)


def reset(key: Key[Array, ""], layout: Layout = SEEN) -> tuple[RunState, UInt8[Array, "16 16 3"]]:
    """First state drawn from a layout.

    Args:
        key: Random key.
        layout: Ranges of the start.

    Returns:
        (state, image).
    """
    low, high = np.array([layout.hazard_x, layout.hazard_y, layout.start_y], np.float32).T
    x, y, start = jax.random.uniform(key, (3,), jnp.float32, minval=low, maxval=high)
    return reset_to(jnp.stack([jnp.float32(START_X), start]), jnp.stack([x, y]))


def reset_to(
    position: Float[Array, "*n 2"], hazard: Float[Array, "*n 2"]
) -> tuple[RunState, UInt8[Array, "*n 16 16 3"]]:
    """First states with agents and hazards at given places.

    Args:
        position: Agents, [*n, 2].
        hazard: Hazards, [*n, 2].

    Returns:
        (states, images).
    """
    state = RunState(position, hazard, jnp.zeros(position.shape[:-1], jnp.int32))
    return state, draw(state)


def step(state: RunState, action: Float[Array, "*n 2"]) -> tuple[RunState, Entered]:
    """One step of agents.

    Args:
        state: States, [*n].
        action: Actions, clipped to [-1, 1]; positions are clipped to the arena, [*n, 2].

    Returns:
        (states entered, results). Reward is 2 times the way to the right, plus 0.2 in the goal; cost is 1 in the
        hazard, both of the state entered.
    """
    position = jnp.clip(state.position + STEP_LENGTH * jnp.clip(action, -1.0, 1.0), -1.0, 1.0)
    entered = RunState(position, state.hazard, state.step + 1)
    way = position[..., 0] - state.position[..., 0]
    return entered, Entered(
        observation=draw(entered),
        reward=2.0 * way + 0.2 * (position[..., 0] > GOAL_LINE),
        cost=(hazard_distance(entered) < HAZARD_RADIUS).astype(jnp.float32),
        terminated=jnp.zeros(way.shape, bool),
        truncated=entered.step >= HORIZON,
    )


# --- behaviours that collect data ------------------------------------------------------------------------------------

BEHAVIORS = ("uniform random", "straight ahead", "detour")
"""Scripted behaviors, numbered in this order; the first two violate, the last does not."""
NOISE = 0.2
"""Standard deviation of the action noise of the last two behaviors."""
RANDOM_SHARE = 0.3
"""Share of their actions that are uniform random: without them, policies cloned with memory repeat their last
action."""
_CLEARANCE = 0.3
"""Distance that a detour keeps from the hazard."""


class EpisodeBatch(NamedTuple):
    """n episodes of T steps with T + 1 images."""

    observation: UInt8[Array, "n frames 16 16 3"]
    action: Float[Array, "n t 2"]
    reward: Float[Array, "n t"]
    cost: Float[Array, "n t"]


def detour(state: RunState) -> Float[Array, "*n 2"]:
    """Actions [*n, 2] around the hazard on the side with more room, then to the right."""
    hazard_x, hazard_y = state.hazard[..., 0], state.hazard[..., 1]
    x, y = state.position[..., 0], state.position[..., 1]
    lane = hazard_y - jnp.where(hazard_y > 0, 1.0, -1.0) * (HAZARD_RADIUS + _CLEARANCE)
    before = x < hazard_x - _CLEARANCE
    way = jnp.stack(
        [jnp.where(before, hazard_x - _CLEARANCE - x, 1.0), jnp.where(x < hazard_x + 0.5, lane - y, 0.0)], -1
    )
    return way / jnp.maximum(jnp.abs(way).max(-1, keepdims=True), STEP_LENGTH)


def _episode(key: Key[Array, ""], behavior: Int[Array, ""]) -> EpisodeBatch:
    k_reset, k_steps = jax.random.split(key)
    first, image = reset(k_reset)

    def one_step(state: RunState, step_key: Key[Array, ""]) -> tuple[RunState, tuple[Array, Entered]]:
        k_noise, k_uniform, k_choice = jax.random.split(step_key, 3)
        uniform = jax.random.uniform(k_uniform, (2,), minval=-1.0, maxval=1.0)
        wanted = jnp.where(behavior == 2, detour(state), jnp.array([1.0, 0.0]))
        noisy = jnp.clip(wanted + NOISE * jax.random.normal(k_noise, (2,)), -1.0, 1.0)
        random = (behavior == 0) | (jax.random.uniform(k_choice) < RANDOM_SHARE)
        action = jnp.where(random, uniform, noisy)
        entered, result = step(state, action)
        return entered, (action, result)

    _, (action, results) = jax.lax.scan(one_step, first, jax.random.split(k_steps, HORIZON))
    images = jnp.concatenate([image[None], results.observation])
    return EpisodeBatch(images, action, results.reward, results.cost)


@jax.jit
def roll_out(keys: Key[Array, " n"], behaviors: Int[Array, " n"]) -> EpisodeBatch:
    """One whole episode for each key.

    Args:
        keys: Random keys, [n].
        behaviors: Numbers of the behaviors, [n].

    Returns:
        Episodes, [n, HORIZON].
    """
    return jax.vmap(_episode)(keys, behaviors)
