"""PointRobotPixels: PointRobot seen from above as a small RGB image; its exact feasible set is known.

The robot, its goal and its arena are those of `point_robot`. A decision holds for `REPEAT` of its steps (0.2 s), whose
rewards and costs are summed; an episode lasts at most 75 decisions. The image shows 6.4 m x 6.4 m, north up:

- red: the hazards;
- green: the goal at half brightness, and at full brightness a bar from the robot's center to its position in 0.6
  seconds at its present velocity. The bar shows the speed: longer is faster, and it points backwards where the robot
  drives backwards;
- blue: the robot, a disc with a nose of fixed length that shows its heading.

A task fixes the places of the hazards by a `Layout`. Everything is a pure function of JAX arrays with any leading axes.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from surefoot.envs import behaviors, point_robot
from surefoot.envs.behaviors import Traits
from surefoot.envs.entered import Entered
from surefoot.envs.point_robot import ARENA, GOAL, GOAL_BONUS, GOAL_RADIUS, HAZARD_RADIUS
from surefoot.ranges import Range, Ranged

REPEAT = 4
"""PointRobot's steps in a decision."""
HORIZON = point_robot.HORIZON // REPEAT
"""Decisions of the longest episode."""
SMALL, LARGE = 32, 64
"""Pixels along each side of the two images."""
VIEW = 3.2
"""Meters from the image's center to its edge."""
ROBOT_RADIUS, NOSE_LENGTH, NOSE_RADIUS = 0.4, 0.8, 0.16
"""Sizes of the drawn robot in meters; its position is its center."""
BAR_SECONDS, BAR_RADIUS = 0.6, 0.2
"""Length of the bar in seconds of driving, and its half width in meters."""


@dataclass(frozen=True)
class Layout(Ranged):
    """Places of the hazards."""

    hazards: Annotated[tuple[tuple[float, float], ...], Range("(-inf, inf)")]
    """Centers, in meters."""

    @property
    def centers(self) -> Float[np.ndarray, "hazards 2"]:
        return np.array(self.hazards, np.float32)


SEEN = Layout(((0.4, -1.2), (-0.4, 1.2)))
"""PointRobot's layout, and that of the data."""
MOVED = Layout(((-1.2, 0.4), (1.2, -0.4)))
"""Layout to fine-tune on: PointRobot's, mirrored at the diagonal through the goal."""


class PixelState(NamedTuple):
    """Robots: pose (x, y, v, theta) and the number of decisions since the reset."""

    pose: Float[Array, "*n 4"]
    step: Int[Array, "*n"]


def draw(pose: Float[Array, "*n 4"], *, layout: Layout = SEEN, size: int = SMALL) -> UInt8[Array, "*n size size 3"]:
    """Images of robots. Edges are a pixel wide, so that they show positions more finely than a pixel.

    Args:
        pose: (x, y, v, theta), [*n, 4].
        layout: Places of the hazards.
        size: Pixels along each side.

    Returns:
        uint8 images, [*n, size, size, 3].
    """
    ticks = ((np.arange(size) + 0.5) * (2 * VIEW / size) - VIEW).astype(np.float32)
    x, y = np.broadcast_to(ticks, (size, size)), np.broadcast_to(-ticks[:, None], (size, size))  # row 0 is the north
    goal = 0.5 * _cover(np.hypot(x - GOAL[0], y - GOAL[1]) - GOAL_RADIUS, size)
    hazard = _cover(np.min([np.hypot(x - cx, y - cy) for cx, cy in layout.centers], 0) - HAZARD_RADIUS, size)

    shape = (*pose.shape[:-1], size, size)
    offset_x = jnp.broadcast_to(x, shape) - pose[..., 0, None, None]
    offset_y = jnp.broadcast_to(y, shape) - pose[..., 1, None, None]
    cos, sin = jnp.cos(pose[..., 3])[..., None, None], jnp.sin(pose[..., 3])[..., None, None]
    along, across = offset_x * cos + offset_y * sin, offset_y * cos - offset_x * sin

    def bar(length: Float[Array, "*n 1 1"] | float) -> Float[Array, "*n size size"]:
        """Distance to the line from the robot's centre to `length` metres ahead of it."""
        nearest = jnp.clip(along, jnp.minimum(length, 0.0), jnp.maximum(length, 0.0))
        return jnp.hypot(along - nearest, across)

    speed = pose[..., 2, None, None]
    robot = jnp.minimum(jnp.hypot(offset_x, offset_y) - ROBOT_RADIUS, bar(NOSE_LENGTH) - NOSE_RADIUS)
    velocity = _cover(bar(BAR_SECONDS * speed) - BAR_RADIUS, size)
    goals = jnp.broadcast_to(goal, shape)
    layers = (jnp.broadcast_to(hazard, shape), jnp.maximum(goals, velocity), _cover(robot, size))
    return jnp.round(255.0 * jnp.stack(layers, -1)).astype(jnp.uint8)


def _cover(distance: Array | np.ndarray, size: int) -> Array:
    """How much of a pixel a shape covers whose border is `distance` metres away, negative inside."""
    return jnp.clip(0.5 - distance * (size / (2 * VIEW)), 0.0, 1.0)


def reset(
    key: Key[Array, ""], *, layout: Layout = SEEN, size: int = SMALL
) -> tuple[PixelState, UInt8[Array, "size size 3"]]:
    """First state drawn as PointRobot's, wherever the hazards lie.

    Args:
        key: Random key.
        layout: Places of the hazards.
        size: Pixels along each side.

    Returns:
        (state, image).
    """
    return reset_to(point_robot.reset(key)[0].pose, layout=layout, size=size)


def reset_to(
    pose: Float[Array, "*n 4"], *, layout: Layout = SEEN, size: int = SMALL
) -> tuple[PixelState, UInt8[Array, "*n size size 3"]]:
    """First states at given poses.

    Args:
        pose: (x, y, v, theta), [*n, 4].
        layout: Places of the hazards.
        size: Pixels along each side.

    Returns:
        (states, images).
    """
    return PixelState(pose, jnp.zeros(pose.shape[:-1], jnp.int32)), draw(pose, layout=layout, size=size)


def advance(
    state: PixelState, action: Float[Array, "*n 2"], *, layout: Layout = SEEN
) -> tuple[PixelState, tuple[Array, Array, Array, Array, Array]]:
    """One decision without its image.

    Args:
        state: Robots.
        action: (acceleration, turn rate), clipped to [-1, 1], [*n, 2].
        layout: Places of the hazards.

    Returns:
        (state entered, (reward, cost, constraint, terminated, truncated)). Reward is the decrease of the distance to
        the goal in meters, plus 1 on reaching it. Cost is the number of the decision's steps that violate, 0 to 4; the
        constraint is the largest h of these steps in meters. The goal and the arena's edge terminate, also between two
        decisions; decision 75 truncates.
    """
    pose = state.pose
    before = point_robot.goal_distance(pose[..., :2])
    running, cost = jnp.ones_like(state.step, bool), jnp.zeros(state.step.shape, jnp.float32)
    reached, worst = jnp.zeros_like(running), jnp.full(state.step.shape, -jnp.inf, jnp.float32)
    for _ in range(REPEAT):
        moved = point_robot.move(pose, action)
        pose = jnp.where(running[..., None], moved, pose)
        position = pose[..., :2]
        h = point_robot.constraint(position, layout.centers)
        cost += running & (h > 0)
        worst = jnp.where(running, jnp.maximum(worst, h), worst)
        reached |= running & (point_robot.goal_distance(position) <= GOAL_RADIUS)
        running &= ~reached & ~jnp.any(jnp.abs(position) > ARENA, -1)
    entered = PixelState(pose, state.step + 1)
    reward = before - point_robot.goal_distance(pose[..., :2]) + GOAL_BONUS * reached
    return entered, (reward, cost, worst, ~running, (entered.step >= HORIZON) & running)


def step(
    state: PixelState, action: Float[Array, "*n 2"], *, layout: Layout = SEEN, size: int = SMALL
) -> tuple[PixelState, Entered]:
    """Take one decision, as `advance`, and draw the entered state.

    Args:
        state: Present states, [*n].
        action: Actions, [*n, 2].
        layout: Places of hazards and goal.
        size: Pixels along a side of the image.

    Returns:
        (entered states, their images with rewards, costs, flags and signals).
    """
    entered, (reward, cost, constraint, terminated, truncated) = advance(state, action, layout=layout)
    image = draw(entered.pose, layout=layout, size=size)
    return entered, Entered(image, reward, cost, terminated, truncated, constraint)


def in_goal(state: PixelState) -> Bool[Array, "*n"]:
    """Whether each robot has reached the goal, [*n]."""
    return point_robot.goal_distance(state.pose[..., :2]) <= GOAL_RADIUS


class Variant(NamedTuple):
    """Variant of the task: places of the hazards, and pixels along each side of the image."""

    layout: Layout
    size: int


VARIANTS = {
    "PointRobotPixels": Variant(SEEN, SMALL),
    "PointRobotPixelsMoved": Variant(MOVED, SMALL),
    "PointRobotPixels64": Variant(SEEN, LARGE),
    "PointRobotPixels64Moved": Variant(MOVED, LARGE),
}
"""Name of the task -> its variant."""


# --- behaviours that collect data ------------------------------------------------------------------------------------

BEHAVIORS = ("random held actions", "careless goal-seekers", "careful goal-seekers")
"""Scripted behaviors, numbered in this order; only the last avoid hazards."""
HOLD_DECISIONS = (1, 8)
"""A random action is held for a number of decisions uniform in this range."""
RANDOM_SHARE = 0.15
"""Share of the goal-seekers' actions that are random: without them, policies cloned with memory repeat their last
action."""


class EpisodeBatch(NamedTuple):
    """n episodes of T decisions; rows after an episode's end repeat its last state."""

    pose: Float[Array, "n frames 4"]
    """T + 1 poses, the first of the reset. `draw` makes images of them."""
    action: Float[Array, "n t 2"]
    reward: Float[Array, "n t"]
    cost: Float[Array, "n t"]
    length: Int[Array, " n"]
    """Decisions until the episode's end."""
    terminated: Bool[Array, " n"]


def draw_traits(key: Key[Array, ""], behavior: Int[Array, ""]) -> Traits:
    """Random traits of one episode's goal-seeker.

    Args:
        key: Random key.
        behavior: Number of the behavior.

    Returns:
        The traits.
    """
    k_caution, k_speed, k_noise = jax.random.split(key, 3)
    careful = behavior == 2
    low, high = jnp.where(careful, jnp.array([0.7, 1.0]), jnp.array([0.0, 0.2]))
    return Traits(
        behavior > 0,
        caution=jax.random.uniform(k_caution, minval=low, maxval=high),
        cruise_speed=jax.random.uniform(k_speed, minval=0.6, maxval=jnp.where(careful, 1.6, 2.2)),
        noise=jax.random.uniform(k_noise, minval=0.05, maxval=jnp.where(careful, 0.3, 0.6)),
    )


def _episode(key: Key[Array, ""], behavior: Int[Array, ""], *, layout: Layout) -> EpisodeBatch:
    k_reset, k_traits, k_steps = jax.random.split(key, 3)
    first = PixelState(point_robot.reset(k_reset)[0].pose, jnp.int32(0))
    traits = draw_traits(k_traits, behavior)

    def one_step(carry, step_key):
        state, held, left, running = carry
        k_held, k_length, k_noise, k_choice = jax.random.split(step_key, 4)
        fresh = behaviors.random_action(k_held)
        held = jnp.where(left <= 0, fresh, held)
        left = jnp.where(left <= 0, jax.random.randint(k_length, (), *HOLD_DECISIONS), left) - 1
        sought = behaviors.seek_goal(state.pose, traits, layout.centers)
        sought = jnp.clip(sought + traits.noise * jax.random.normal(k_noise, (2,)), -1.0, 1.0)
        sought = jnp.where(jax.random.uniform(k_choice) < RANDOM_SHARE, fresh, sought)
        action = jnp.where(traits.seeks_goal, sought, held)
        entered, (reward, cost, _, terminated, truncated) = advance(state, action, layout=layout)
        entered = jax.tree.map(lambda new, old: jnp.where(running, new, old), entered, state)
        row = (entered.pose, action, reward, cost, running, running & terminated)
        return (entered, held, left, running & ~(terminated | truncated)), row

    start = (first, jnp.zeros(2), jnp.int32(0), jnp.bool_(True))
    _, (poses, action, reward, cost, valid, terminated) = jax.lax.scan(
        one_step, start, jax.random.split(k_steps, HORIZON)
    )
    poses = jnp.concatenate([first.pose[None], poses])
    return EpisodeBatch(poses, action, reward, cost, valid.sum(), terminated.any())


@partial(jax.jit, static_argnames="layout")
def roll_out(keys: Key[Array, " n"], kinds: Int[Array, " n"], *, layout: Layout = SEEN) -> EpisodeBatch:
    """One whole episode for each key.

    Args:
        keys: Random keys, [n].
        kinds: Numbers of the behaviors, [n].
        layout: Places of the hazards.

    Returns:
        Episodes, [n, HORIZON].
    """
    return jax.vmap(lambda key, kind: _episode(key, kind, layout=layout))(keys, kinds)
