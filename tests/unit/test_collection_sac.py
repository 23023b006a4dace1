"""The learner of medium-replay data: its arithmetic by hand, its buffer, and collections that are killed."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.fake_simulators import LINE, LineSimulators

from surefoot.collection import replay, sac
from surefoot.collection.replay import Collected, Rows
from surefoot.collection.replay_collector import ReplayCollection, collect_replay, parts
from surefoot.collection.replay_recipes import REPLAY_RECIPES, ReplayRecipe, replay_recipe
from surefoot.collection.sac import SAC, Batch
from surefoot.collection.store import Store
from surefoot.errors import ConfigError, DataError, UnknownNameError
from surefoot.tasks import get_task

CONFIG = SAC(hidden=(8,), batch_size=16, learning_rate=3e-3, discount=0.5)
RECIPE = ReplayRecipe(steps=480, lanes=2, updates=1, warm_up=40, part=110, learner=CONFIG)
PENDULUM = get_task("SafePendulum")


def test_log_density_is_that_of_the_squashed_normal() -> None:
    """tanh of a normal: log N(x) - log(1 - tanh(x)^2), summed over dimensions, also where tanh is 1 to rounding."""
    state = sac.init(CONFIG, 3, 2, jax.random.key(0))
    observation = 5.0 * jax.random.normal(jax.random.key(1), (50, 3))
    action, found = sac.sample_action(state.actor, observation, jax.random.key(2))
    mean, log_deviation = (np.asarray(part, np.float64) for part in state.actor(observation))
    raw = mean + np.exp(log_deviation) * np.asarray(jax.random.normal(jax.random.key(2), (50, 2)), np.float64)
    normal = -0.5 * ((raw - mean) / np.exp(log_deviation)) ** 2 - log_deviation - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(action, np.tanh(raw), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found, (normal - np.log(1 - np.tanh(raw) ** 2)).sum(1), rtol=1e-3, atol=1e-3)
    # Twenty deviations out: 1 - tanh(20)^2 = 4 exp(-40) is 0 in float32, its log is -40 + log 4.
    far = jax.tree.map(jnp.zeros_like, state.actor)
    far = sac.Actor((*far.layers[:-1], replace(far.layers[-1], bias=jnp.array([20.0, 20.0, -20.0, -20.0]))))
    noise = np.asarray(jax.random.normal(jax.random.key(2), (1, 2)), np.float64)
    expected = (-0.5 * noise**2 + 20.0 - 0.5 * np.log(2 * np.pi) + 40.0 - np.log(4.0)).sum()
    assert float(sac.sample_action(far, observation[:1], jax.random.key(2))[1][0]) == pytest.approx(expected, rel=1e-4)


def test_the_critic_learns_rewards_and_values_of_states_that_go_on() -> None:
    """Reward 1 for ever at discount 0.5 is worth 1 / (1 - 0.5) = 2; where it terminates, 1. The temperature starts near
    0, so that entropy counts nothing."""
    config = replace(CONFIG, learning_rate=1e-2, target_rate=0.1)
    state = sac.init(config, 1, 1, jax.random.key(0))._replace(log_temperature=jnp.float32(-20.0))
    ends = jnp.arange(64) % 2
    observation = ends[:, None].astype(jnp.float32)
    action = jax.random.uniform(jax.random.key(1), (64, 1), minval=-1.0, maxval=1.0)
    batch = Batch(observation, action, jnp.ones(64), observation, ends.astype(jnp.float32))

    @jax.jit
    def train(state):
        return jax.lax.scan(
            lambda s, k: sac.update(config, s, batch, k), state, jax.random.split(jax.random.key(2), 400)
        )

    state, metrics = train(state)
    values = np.asarray(state.critics(jnp.concatenate([observation, action], -1)))
    np.testing.assert_allclose(values[:, 0::2], 2.0, atol=0.15)
    np.testing.assert_allclose(values[:, 1::2], 1.0, atol=0.15)
    assert metrics["critic/loss"][-1] < 0.01 * metrics["critic/loss"][0]


def test_the_temperature_falls_while_the_policy_is_too_random() -> None:
    state = sac.init(CONFIG, 1, 1, jax.random.key(0))
    batch = Batch(jnp.ones((8, 1)), jnp.zeros((8, 1)), jnp.zeros(8), jnp.ones((8, 1)), jnp.zeros(8))
    moved, metrics = sac.update(CONFIG, state, batch, jax.random.key(1))
    # The first policy's entropy, about 0.5 nats, is above the target of -1; Adam's first step is the learning rate.
    assert float(metrics["actor/entropy"]) > -1.0
    assert float(moved.log_temperature) == pytest.approx(-3e-3, rel=1e-3)


def test_a_batch_comes_from_the_filled_rounds_alone() -> None:
    buffer = replay.empty(5, 2, 3, 1)
    collected = Collected(sac.init(CONFIG, 3, 1, jax.random.key(0)), buffer, jnp.int32(0))
    for number in range(3):
        rows = jax.tree.map(lambda values, n=number: jnp.full(values.shape[1:], n + 1.0), buffer)
        collected = replay.append(collected, rows)
    drawn = replay.draw(collected, 300, jax.random.key(1))
    assert set(drawn.reward.tolist()) == {1.0, 2.0, 3.0}
    assert (drawn.observation == drawn.reward[:, None]).all()
    assert int(collected.rounds) == 3


def test_parts_cover_every_round_once() -> None:
    # 240 rounds of 2 lanes: 20 of warm-up, then two parts of 110.
    assert parts(RECIPE) == [(0, 20), (20, 130), (130, 240)]
    assert parts(replace(RECIPE, warm_up=0)) == [(0, 110), (110, 220), (220, 240)]
    assert parts(replace(RECIPE, steps=30)) == [(0, 15)]


def collection(path: Path, recipe: ReplayRecipe = RECIPE, task=PENDULUM, seed: int = 0) -> ReplayCollection:
    return ReplayCollection(task, recipe, seed, Store(path))


def test_a_killed_collection_of_a_pure_task_ends_with_the_same_bits(tmp_path: Path) -> None:
    def die(progress) -> None:
        if progress.done >= 260:
            raise RuntimeError("the process was killed")

    whole, card = collect_replay(collection(tmp_path / "whole"))
    with pytest.raises(RuntimeError):
        collect_replay(collection(tmp_path / "killed"), on_progress=die)
    resumed, again = collect_replay(collection(tmp_path / "killed"))
    assert resumed.fingerprint() == whole.fingerprint()
    # 240 steps in each of two lanes: an episode of 200 and a rest that is no whole one.
    assert whole.lengths.tolist() == [200, 200]
    assert (card["simulated_steps"], card["steps_of_episodes_that_were_broken_off"]) == (480, 80)
    assert (card["processes"], again["processes"]) == (1, 2)
    assert np.abs(whole.actions).max() <= 1.0
    assert whole.truncated.sum() == 2
    with pytest.raises(ConfigError, match=r"seed: expected 0, found 1|seed"):
        collect_replay(collection(tmp_path / "whole", seed=1))


def test_a_killed_collection_of_a_simulator_ends_with_the_same_bits(tmp_path: Path) -> None:
    """Episodes of 5 steps in 3 lanes: a warm-up of 10 rounds and three parts of 14, the last 4 rows of each part and
    lane belong to an episode that is broken off."""
    recipe = ReplayRecipe(steps=156, lanes=3, updates=1, warm_up=30, part=14, learner=CONFIG)
    assert parts(recipe) == [(0, 10), (10, 24), (24, 38), (38, 52)]
    whole, card = collect_replay(collection(tmp_path / "whole", recipe, LINE), lambda: LineSimulators(3))
    with pytest.raises(RuntimeError):
        collect_replay(collection(tmp_path / "killed", recipe, LINE), lambda: LineSimulators(3, fails=30))
    resumed, _ = collect_replay(collection(tmp_path / "killed", recipe, LINE), lambda: LineSimulators(3))
    assert resumed.fingerprint() == whole.fingerprint()
    assert whole.lengths.tolist() == [5] * (3 * (2 + 2 + 2 + 2))
    assert card["steps_of_episodes_that_were_broken_off"] == 3 * 3 * 4
    assert card["coverage"]["episodes"] == 24


def test_the_file_holds_what_the_environment_got(tmp_path: Path) -> None:
    """With a gain of 2, half of the uniform actions of a warm-up are cut at 1 and the rest lie evenly between."""
    recipe = ReplayRecipe(steps=400, lanes=1, warm_up=400, action_gain=2.0, learner=CONFIG)
    actions = collect_replay(collection(tmp_path, recipe))[0].actions[:, 0]
    assert np.mean(np.abs(actions) == 1.0) == pytest.approx(0.5, abs=0.1)
    assert np.mean(np.abs(actions) < 0.5) == pytest.approx(0.25, abs=0.1)


def test_a_lost_simulator_stops_the_collection(tmp_path: Path) -> None:
    recipe = ReplayRecipe(steps=150, lanes=3, warm_up=30, part=15, learner=CONFIG)
    with pytest.raises(DataError, match="a simulator was lost; start the same command again"):
        collect_replay(collection(tmp_path, recipe, LINE), lambda: LineSimulators(3, lost=4))


def test_too_few_steps_for_an_episode_are_refused_and_leave_room_for_more(tmp_path: Path) -> None:
    for steps in (100, 110):  # the store of the first would not go on with another recipe
        with pytest.raises(DataError, match=f"expected at least one whole episode, found none in {steps} steps"):
            collect_replay(collection(tmp_path, replace(RECIPE, steps=steps)))


def test_recipes_are_found_by_robot() -> None:
    assert replay_recipe(get_task("hopper-medium-replay-v2")) is REPLAY_RECIPES["Hopper"]
    assert replay_recipe(PENDULUM, steps=400).steps == 400
    with pytest.raises(UnknownNameError, match="unknown task with a medium-replay recipe 'BallRun'"):
        replay_recipe(get_task("BallRun"))
    with pytest.raises(ConfigError, match=r"^steps: expected at least 10, one for each lane, found 3"):
        replay_recipe(get_task("SafeReacher"), steps=3)


def test_rows_have_the_buffers_names() -> None:
    assert Rows._fields == replay.empty(1, 1, 3, 1)._fields
