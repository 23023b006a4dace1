"""PointRobotPixels: its rules are PointRobot's, its picture shows the pose, its exact set moves with the hazards."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.envs import point_robot
from surefoot.envs import point_robot_pixels as pixels
from surefoot.envs.point_robot_pixels import MOVED, SEEN, VARIANTS, PixelState
from surefoot.envs.pure import PURE_TASKS
from surefoot.errors import ConfigError
from surefoot.evaluation.collect import collect_point_robot_pixels
from surefoot.evaluation.point_robot_pixels import first_states
from surefoot.safety.exact import ExactSet, solve_point_robot
from surefoot.tasks import TASKS


def state_at(*pose: float, step: int = 0) -> PixelState:
    return PixelState(jnp.array(pose, jnp.float32), jnp.int32(step))


@pytest.fixture(scope="module")
def coarse() -> dict[str, ExactSet]:
    layouts = {"seen": SEEN, "moved": MOVED}
    return {
        name: solve_point_robot(spacing=0.2, headings=32, top_speed=2.0, hazards=layout.centers)
        for name, layout in layouts.items()
    }


def test_a_decision_is_four_steps_of_point_robot() -> None:
    """From (-2, 0) at 1 m/s to the east, speeding up at 1 m/s^2: 0.05 (1 + 1.05 + 1.1 + 1.15) = 0.215 m in 0.2 s."""
    entered, result = jax.jit(pixels.step)(state_at(-2.0, 0.0, 1.0, 0.0), jnp.array([3.0, 0.0]))  # cut to 1
    np.testing.assert_allclose(entered.pose, [-1.785, 0.0, 1.2, 0.0], rtol=1e-5)
    np.testing.assert_allclose(result.reward, np.hypot(4.2, 2.2) - np.hypot(3.985, 2.2), rtol=1e-4)
    state = point_robot.RobotState(jnp.array([-2.0, 0.0, 1.0, 0.0]), jnp.int32(0))
    rewards = 0.0
    for _ in range(4):
        state, one = point_robot.step(state, jnp.array([1.0, 0.0]))
        rewards += one.reward
    np.testing.assert_allclose(entered.pose, state.pose, rtol=1e-6)
    np.testing.assert_allclose(result.reward, rewards, rtol=1e-4)
    assert (result.cost, bool(result.terminated), bool(result.truncated)) == (0.0, False, False)


def test_cost_counts_violating_steps_and_ends_count_at_once() -> None:
    # 0.9 m left of a hazard's centre, 1 m/s towards it: 0.85, 0.8, 0.75, 0.7 m; below the radius of 0.8 it violates.
    _, result = pixels.advance(state_at(-0.5, -1.2, 1.0, 0.0), jnp.zeros(2))
    reward, cost, constraint, terminated, _ = result
    assert cost in (2.0, 3.0)  # the step at 0.8 m is rounded either way
    np.testing.assert_allclose(constraint, 0.1, atol=1e-5)
    assert not terminated
    # 0.33 m before the goal's centre at 1 m/s: inside its radius of 0.3 after one step, where the robot stays.
    entered, (reward, _, _, terminated, truncated) = pixels.advance(state_at(1.87, 2.2, 1.0, 0.0), jnp.zeros(2))
    np.testing.assert_allclose(entered.pose[0], 1.92, rtol=1e-5)
    np.testing.assert_allclose(reward, 1.05, rtol=1e-4)
    assert terminated
    assert pixels.in_goal(entered)
    # Over the arena's edge, in the last decision: terminated, not truncated.
    _, (_, _, _, terminated, truncated) = pixels.advance(state_at(2.95, 0.0, 2.0, 0.0, step=74), jnp.zeros(2))
    assert (bool(terminated), bool(truncated)) == (True, False)
    _, (_, _, _, terminated, truncated) = pixels.advance(state_at(0.0, 0.0, 0.0, 0.0, step=74), jnp.zeros(2))
    assert (bool(terminated), bool(truncated)) == (False, True)


@pytest.mark.parametrize("size", [32, 64])
def test_the_picture_shows_hazards_robot_heading_and_speed(size: int) -> None:
    """Pixels are 6.4 m / size; row 0 is the north. Centres of mass tell places."""
    poses = jnp.array(
        [[-2.0, -0.5, 0.0, 0.0], [-2.0, -0.5, 2.0, 0.0], [-2.0, -0.5, -2.0, 0.0], [-2.0, -0.5, 2.0, 1.57]]
    )
    images = np.asarray(pixels.draw(poses, size=size)) / 255.0
    assert images.shape == (4, size, size, 3)
    ticks = (np.arange(size) + 0.5) * (6.4 / size) - 3.2

    def center(image: np.ndarray) -> list[float]:
        return [float((image.sum(0) * ticks).sum() / image.sum()), float((image.sum(1) * -ticks).sum() / image.sum())]

    np.testing.assert_allclose(center(images[0, :, :, 0]), [0.0, 0.0], atol=0.02)  # two hazards around the centre
    np.testing.assert_allclose(images[0, :, :, 0].sum() * (6.4 / size) ** 2, 2 * np.pi * 0.8**2, rtol=0.03)
    # Of green only what is brighter than the goal: a bar of 2 m/s is 1.2 m long, its middle 0.6 m ahead.
    bars = [center(np.where(image[:, :, 1] > 0.55, image[:, :, 1], 0.0)) for image in images]
    np.testing.assert_allclose(bars, [[-2.0, -0.5], [-1.4, -0.5], [-2.6, -0.5], [-2.0, 0.1]], atol=0.12)
    # Blue: the nose makes the middle lie ahead, to the east, and to the north where the robot faces it.
    blue = [center(image[:, :, 2]) for image in images]
    assert blue[0][0] > -1.95
    assert abs(blue[0][1] + 0.5) < 0.05
    assert blue[3][1] > -0.45
    np.testing.assert_allclose(blue[0], blue[1], atol=1e-6)  # speed is not in it


def test_moving_the_hazards_moves_the_picture_and_the_costs() -> None:
    assert not np.array_equal(pixels.draw(jnp.zeros(4)), pixels.draw(jnp.zeros(4), layout=MOVED))
    start = state_at(-1.2, 0.4, 0.0, 0.0)  # the centre of a moved hazard, clear of the others
    costs = [pixels.advance(start, jnp.zeros(2), layout=layout)[1][1] for layout in (SEEN, MOVED)]
    assert costs == [0.0, 4.0]


def test_every_variant_is_a_task_of_its_size() -> None:
    for name, variant in VARIANTS.items():
        task, pure = TASKS[name], PURE_TASKS[name]
        shape = (variant.size, variant.size, 3)
        assert task.image_shape == shape
        assert task.horizon == pure.horizon == 75
        state, images = pure.reset(jax.random.split(jax.random.key(0), 2))
        assert images.shape == (2, *shape)
        entered, result = pure.step(state, jnp.zeros((2, 2)))
        np.testing.assert_array_equal(result.observation, pixels.draw(entered.pose, **variant._asdict()))


def test_the_exact_set_of_the_moved_hazards_is_the_mirrored_one(coarse: dict[str, ExactSet]) -> None:
    """Mirrored at the diagonal, (x, y) becomes (y, x) and a heading theta becomes pi / 2 - theta."""
    random = np.random.default_rng(0)
    poses = random.uniform([-2.9, -2.9, 0.0, -3.0], [2.9, 2.9, 2.0, 3.0], (500, 4))
    mirrored = np.stack([poses[:, 1], poses[:, 0], poses[:, 2], np.pi / 2 - poses[:, 3]], 1)
    np.testing.assert_allclose(coarse["seen"].value(poses), coarse["moved"].value(mirrored), atol=1e-4)
    assert (coarse["seen"].value(poses) - coarse["moved"].value(poses)).max() > 0.5


def test_decisions_can_keep_what_the_exact_set_calls_feasible(coarse: dict[str, ExactSet]) -> None:
    """Full braking with a turn held throughout, an action lasting four steps, saves nearly all feasible starts that can
    be saved at all: the exact set, whose actions last one step, is that of the decisions but for its border."""
    starts = first_states("PointRobotPixelsMoved", coarse["moved"], feasible=200, infeasible=50)
    feasible = np.array(starts.sets) == "feasible"
    saved = np.zeros(len(feasible), bool)
    advance = jax.jit(partial(pixels.advance, layout=MOVED))
    for turn in (-1.0, 0.0, 1.0):
        state, free = starts.first.state, np.ones(len(feasible), bool)
        for _ in range(11):
            speed = state.pose[:, 2]
            brake = jnp.clip(-speed / 0.2, -1.0, 0.0)  # stops, and does not drive backwards
            action = jnp.stack([brake, jnp.full_like(speed, turn)], -1)
            entered, (_, cost, _, terminated, _) = advance(state, action)
            free &= np.asarray(cost) == 0
            state = jax.tree.map(
                lambda new, old, over=terminated: jnp.where(over.reshape(-1, *[1] * (new.ndim - 1)), old, new),
                entered, state,
            )  # fmt: skip
        saved |= free
    assert saved[feasible].mean() > 0.97
    assert saved[~feasible].mean() < 0.2


def test_behaviours_differ_in_care() -> None:
    keys = jax.random.split(jax.random.key(0), 200)
    found = [pixels.roll_out(keys, jnp.full(200, kind)) for kind in range(3)]
    returns = [
        float(jnp.where(jnp.arange(75)[None] < one.length[:, None], one.reward, 0.0).sum(1).mean()) for one in found
    ]
    assert returns[0] < 1.5 < min(returns[1:])
    free = [
        float((jnp.where(jnp.arange(75)[None] < one.length[:, None], one.cost, 0.0).sum(1) == 0).mean())
        for one in found
    ]
    assert free[2] > free[1] + 0.05


def test_the_same_seed_collects_the_same() -> None:
    found = collect_point_robot_pixels(transitions=900, seed=0)
    names, counts = zip(*found.behaviors, strict=True)
    assert names == pixels.BEHAVIORS
    frames = found.frames
    assert sum(counts) == len(frames.lengths)
    ends = np.cumsum(counts)
    steps = [part.sum() for part in np.split(frames.lengths, ends[:-1])]
    assert all(300 <= taken < 300 + 75 for taken in steps)
    # Poses lie beside the frames that show them.
    np.testing.assert_array_equal(pixels.draw(jnp.asarray(found.poses[:40])), frames.observations[:40])
    assert frames.terminated.sum() + frames.truncated.sum() == len(frames.lengths)
    again = collect_point_robot_pixels(transitions=900, seed=0)
    assert again.frames.fingerprint() == frames.fingerprint()
    with pytest.raises(ConfigError, match="at least 1"):
        collect_point_robot_pixels(transitions=0, seed=0)
