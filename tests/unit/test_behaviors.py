"""The behaviours that collect data: in range, deterministic, safe and unsafe, held and smooth."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.envs import behaviors, point_robot
from surefoot.envs.behaviors import HOLD_STEPS, EpisodeBatch, Traits

EPISODES = 32  # of each kind; one shape, so that everything here compiles once


def roll_out(seed: int) -> EpisodeBatch:
    """32 random episodes, then 32 of goal-seekers."""
    keys = jax.random.split(jax.random.key(seed), 2 * EPISODES)
    return jax.tree.map(np.asarray, behaviors.roll_out(keys, jnp.arange(2 * EPISODES) >= EPISODES))


@pytest.fixture(scope="module")
def episodes() -> EpisodeBatch:
    return roll_out(0)


def test_the_same_keys_give_the_same_bits(episodes: EpisodeBatch) -> None:
    same = lambda other: [np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (episodes, other)), strict=True)]  # noqa: E731
    assert all(same(roll_out(0)))
    assert not all(same(roll_out(1)))


def test_actions_are_in_range_and_episodes_are_whole(episodes: EpisodeBatch) -> None:
    valid, step = episodes.valid, episodes.step
    assert (np.abs(episodes.action) <= 1).all()
    assert np.isfinite(episodes.observation).all()
    lengths = valid.sum(1)
    assert (valid == (np.arange(point_robot.HORIZON) < lengths[:, None])).all()  # valid rows come first
    ends = (step.terminated | step.truncated) & valid
    assert (ends.sum(1) == 1).all()
    assert (ends.argmax(1) == lengths - 1).all()
    # Each step starts where the one before ended.
    following = valid[:, 1:]
    np.testing.assert_array_equal(episodes.observation[:, 1:][following], step.observation[:, :-1][following])


def test_the_data_are_mixed(episodes: EpisodeBatch) -> None:
    """Both kinds have episodes with and without a violation; seekers reach the goal, random actions rarely."""
    cost = (episodes.step.cost * episodes.valid).sum(1)
    bonus = (episodes.step.reward * episodes.valid > 0.5).any(1)  # one step moves at most 0.2 m closer
    for kind in (slice(None, EPISODES), slice(EPISODES, None)):
        assert (cost[kind] > 0).any()
        assert (cost[kind] == 0).any()
    assert bonus[EPISODES:].mean() > 0.3
    assert bonus[:EPISODES].mean() < 0.2


def test_random_actions_are_held(episodes: EpisodeBatch) -> None:
    low, high = HOLD_STEPS
    for episode in range(8):
        action = episodes.action[episode][episodes.valid[episode]]
        changes = np.flatnonzero((np.diff(action, axis=0) != 0).any(1)) + 1
        held = np.diff(np.concatenate([[0], changes]))  # the last may be cut by the episode's end
        assert ((held >= low) & (held < high)).all()


def test_seekers_differ_in_caution() -> None:
    """Heading for a hazard at full speed: the cautious one brakes or turns, the careless one goes on."""
    pose = jnp.array([0.4, -2.8, 2.0, np.pi / 2])
    traits = partial(Traits, jnp.bool_(True), cruise_speed=jnp.float32(2.0), noise=jnp.float32(0.0))
    careless = behaviors.seek_goal(pose, traits(caution=jnp.float32(0.0)))
    cautious = behaviors.seek_goal(pose, traits(caution=jnp.float32(1.0)))
    # The gap is 1.6 - 0.8 = 0.8 m, the cautious limit 0.3 + 0.8 (3 - 2) = 1.1 m/s: 3 (1.1 - 2) = -2.7, clipped to -1
    assert float(cautious[0]) == -1.0
    assert float(careless[0]) == pytest.approx(0.0, abs=1e-5)  # it already goes at its cruising speed
