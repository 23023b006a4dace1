"""HazardRun: its rules, its picture, its behaviours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.envs import hazard_run
from surefoot.envs.hazard_run import SHIFTED, RunState
from surefoot.envs.pure import PURE_TASKS
from surefoot.errors import ConfigError
from surefoot.evaluation.collect import collect_hazard_run


def state_at(position: tuple[float, float], hazard: tuple[float, float] = (0.0, 0.0), step: int = 0) -> RunState:
    return RunState(jnp.array(position), jnp.array(hazard), jnp.int32(step))


def test_a_step_moves_by_0_12_and_pays_twice_the_way_to_the_right() -> None:
    entered, result = hazard_run.step(state_at((-0.8, 0.9)), jnp.array([1.0, 3.0]))
    np.testing.assert_allclose(entered.position, [-0.68, 1.0], rtol=1e-6)  # the action is cut to 1, then the arena
    np.testing.assert_allclose(result.reward, 0.24, rtol=1e-5)
    assert result.cost == 0


def test_the_goal_pays_and_the_hazard_costs() -> None:
    _, there = hazard_run.step(state_at((0.78, 0.9)), jnp.array([0.5, 0.0]))
    np.testing.assert_allclose(there.reward, 2 * 0.06 + 0.2, rtol=1e-5)
    # Distance 0.45 to the hazard's centre before, 0.39 after half a step: inside its radius of 0.4.
    entered, inside = hazard_run.step(state_at((-0.45, 0.0)), jnp.array([0.5, 0.0]))
    assert inside.cost == 1
    assert not hazard_run.in_goal(entered)


def test_step_30_truncates_and_nothing_terminates() -> None:
    _, before = hazard_run.step(state_at((0.0, 0.9), step=28), jnp.zeros(2))
    _, last = hazard_run.step(state_at((0.0, 0.9), step=29), jnp.zeros(2))
    assert not before.truncated
    assert last.truncated
    assert not last.terminated


def test_the_picture_shows_hazard_goal_and_agent() -> None:
    image = np.asarray(hazard_run.draw(state_at((-0.5, 0.5), hazard=(0.25, -0.25))))
    assert image.shape == (16, 16, 3)
    assert image.dtype == np.uint8
    # Columns of 0.125: x = 0.8125 and 0.9375 lie right of 0.8.
    np.testing.assert_array_equal(image[:, :, 1].any(0), [False] * 14 + [True] * 2)
    # Centres of mass: (row + 0.5) * 0.125 - 1 is -y.
    for channel, (x, y), area in ((0, (0.25, -0.25), np.pi * 0.4**2), (2, (-0.5, 0.5), np.pi * 0.2**2)):
        mass = image[:, :, channel] / 255.0
        rows, columns = np.mgrid[:16, :16]
        np.testing.assert_allclose((mass * columns).sum() / mass.sum() * 0.125 - 1 + 0.0625, x, atol=0.01)
        np.testing.assert_allclose(1 - 0.0625 - (mass * rows).sum() / mass.sum() * 0.125, y, atol=0.01)
        np.testing.assert_allclose(mass.sum() * 0.125**2, area, rtol=0.05)


@pytest.mark.parametrize(("name", "low", "high"), [("HazardRun", -0.2, 0.3), ("HazardRunShifted", -0.35, -0.25)])
def test_layouts_draw_the_hazard_from_their_ranges(name: str, low: float, high: float) -> None:
    state, images = PURE_TASKS[name].reset(jax.random.split(jax.random.key(0), 200))
    x, y = np.asarray(state.hazard).T
    assert images.shape == (200, 16, 16, 3)
    assert low <= x.min() < low + 0.1 * (high - low)
    assert high - 0.1 * (high - low) < x.max() <= high
    assert -0.5 <= y.min() < y.max() <= 0.5
    np.testing.assert_allclose(state.position[:, 0], -0.85)
    assert SHIFTED.hazard_x[1] < -0.2  # never in the data


def test_careless_episodes_violate_and_careful_ones_do_not() -> None:
    frames = collect_hazard_run(transitions=3 * 60 * 30, seed=0)
    assert len(frames.lengths) == 180
    returns, costs = (values.reshape(3, 60).mean(1) for values in (frames.returns, frames.cost_returns))
    # A prototype of the task had returns 0.4, 5.4 and 4.8, costs 0.5, 5.3 and 0.0.
    assert returns[0] < 1.2
    assert returns[1] > 4.9
    assert returns[2] > 4.4
    assert costs[1] > 3
    assert costs[2] < 0.3


def test_the_same_seed_collects_the_same_frames() -> None:
    once = collect_hazard_run(transitions=90, seed=1)
    assert once.fingerprint() == collect_hazard_run(transitions=90, seed=1).fingerprint()
    assert once.fingerprint() != collect_hazard_run(transitions=90, seed=2).fingerprint()
    with pytest.raises(ConfigError, match="at least 1"):
        collect_hazard_run(transitions=0, seed=0)
