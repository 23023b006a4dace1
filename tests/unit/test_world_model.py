"""The world model: what its losses weigh, what a first frame forgets, that windows and single steps agree."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot import world_model
from surefoot.data.frames import Frames
from surefoot.errors import ConfigError
from surefoot.nn import init_optimizer
from surefoot.world_model import WorldModelConfig
from surefoot.world_model.encoders import make_decoder, make_encoder
from surefoot.world_model.model import encode

TINY = WorldModelConfig(
    encoder="mlp", channels=(8,), deterministic=8, hidden=8, groups=2, classes=4, head_hidden=(8,), bins=21
)
ROWS, LENGTH = 2, 4


def frames(seed: int = 0) -> Frames:
    rng = np.random.default_rng(seed)
    flags = jnp.zeros((ROWS, LENGTH), bool)
    return Frames(
        observation=jnp.asarray(rng.normal(size=(ROWS, LENGTH, 3)), jnp.float32),
        action=jnp.asarray(rng.uniform(-1, 1, (ROWS, LENGTH, 2)), jnp.float32),
        reward=jnp.asarray(rng.normal(size=(ROWS, LENGTH)), jnp.float32),
        cost=jnp.zeros((ROWS, LENGTH)),
        is_first=flags.at[:, 0].set(True),
        terminated=flags,
    )


@pytest.fixture(scope="module")
def model() -> world_model.WorldModel:
    return jax.jit(lambda key: world_model.make_world_model(key, TINY, shape=(3,), action_dim=2))(jax.random.key(0))


@partial(jax.jit, static_argnames="config")
def losses(model: world_model.WorldModel, batch: Frames, *, config: WorldModelConfig) -> dict[str, jax.Array]:
    return world_model.loss(model, batch, jax.random.key(1), config=config)[1][0]


@partial(jax.jit, static_argnames="config")
def slope(model: world_model.WorldModel, batch: Frames, *, config: WorldModelConfig) -> world_model.WorldModel:
    return jax.grad(lambda one: world_model.loss(one, batch, jax.random.key(1), config=config)[0])(model)


observe = jax.jit(world_model.observe)


def largest(tree: object) -> float:
    return max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


NOTHING = replace(
    TINY, observation_scale=0.0, reward_scale=0.0, cost_scale=0.0, continue_scale=0.0, free_nats=0.0,
    prior_scale=0.0, posterior_scale=0.0,
)  # fmt: skip


def test_the_two_kl_losses_move_what_they_are_for(model: world_model.WorldModel) -> None:
    """dyn moves the prior and not the posterior, rep the other way round. With a single frame: in a longer window both
    reach earlier frames through h."""
    one = jax.tree.map(lambda leaf: leaf[:, :1], frames())
    prior = slope(model, one, config=replace(NOTHING, prior_scale=0.5)).rssm
    posterior = slope(model, one, config=replace(NOTHING, posterior_scale=0.1)).rssm
    assert largest(prior.prior_out) > 1e-4
    assert largest(prior.posterior_out) == 0.0
    assert largest(posterior.posterior_out) > 1e-5
    assert largest(posterior.prior_out) == 0.0


def test_free_nats_are_of_the_sum_over_variables(model: world_model.WorldModel) -> None:
    found = losses(model, frames(), config=TINY)["model/kl"]
    assert 0.0 < found < 2.0
    silent = replace(NOTHING, prior_scale=0.5, posterior_scale=0.1, free_nats=10.0)
    # Below 10 nats the loss is flat: 0.5 * 10 + 0.1 * 10.
    np.testing.assert_allclose(losses(model, frames(), config=silent)["model/loss"], 6.0, rtol=1e-6)
    assert largest(slope(model, frames(), config=silent)) == 0.0


def test_steps_that_cost_weigh_ten_times_as_much(model: world_model.WorldModel) -> None:
    batch = frames()
    costly = batch._replace(cost=jnp.ones((ROWS, LENGTH)))
    plain = losses(model, costly, config=replace(TINY, cost_emphasis=1.0))["model/cost_loss"]
    np.testing.assert_allclose(losses(model, costly, config=TINY)["model/cost_loss"], 10 * plain, rtol=1e-5)
    free = losses(model, batch, config=replace(TINY, cost_emphasis=1.0))["model/cost_loss"]
    np.testing.assert_allclose(losses(model, batch, config=TINY)["model/cost_loss"], free, rtol=1e-6)


def test_the_whole_is_the_weighted_sum(model: world_model.WorldModel) -> None:
    config = replace(TINY, observation_scale=2.0, reward_scale=3.0, cost_scale=5.0, continue_scale=7.0, free_nats=0.0)
    found = losses(model, frames(), config=config)
    parts = {"observation": 2, "reward": 3, "cost": 5, "continue": 7}
    expected = sum(weight * found[f"model/{name}_loss"] for name, weight in parts.items()) + 0.6 * found["model/kl"]
    np.testing.assert_allclose(found["model/loss"], expected, rtol=1e-5)
    # The reward's head starts at 0: uniform over 21 bins, log 21 = 3.0445.
    np.testing.assert_allclose(found["model/reward_loss"], np.log(21), rtol=1e-5)


def test_a_first_frame_forgets_what_came_before(model: world_model.WorldModel) -> None:
    batch = frames()
    batch = batch._replace(is_first=batch.is_first.at[:, 2].set(True))
    other = batch._replace(
        observation=batch.observation.at[:, :2].add(1.0), action=batch.action.at[:, :2].multiply(-1.0)
    )
    one, two = (observe(model, each, jax.random.key(2)).latent for each in (batch, other))
    np.testing.assert_array_equal(one.features[:, 2:], two.features[:, 2:])
    assert np.abs(one.features[:, :2] - two.features[:, :2]).max() > 0.01
    # Without the flag the past counts.
    plain = [each._replace(is_first=frames().is_first) for each in (batch, other)]
    one, two = (observe(model, each, jax.random.key(2)).latent for each in plain)
    assert np.abs(one.features[:, 2:] - two.features[:, 2:]).max() > 1e-3


def test_the_action_before_counts_and_the_last_one_does_not(model: world_model.WorldModel) -> None:
    batch = frames()
    last = batch._replace(action=batch.action.at[:, -1].add(0.5))
    one, two = (observe(model, each, jax.random.key(2)).prior for each in (batch, last))
    np.testing.assert_array_equal(one, two)
    first = batch._replace(action=batch.action.at[:, 0].add(-0.5))
    three = observe(model, first, jax.random.key(2)).prior
    np.testing.assert_array_equal(one[:, 0], three[:, 0])
    assert np.abs(one[:, 1] - three[:, 1]).max() > 1e-4


def test_observing_step_by_step_has_the_beliefs_of_a_window(model: world_model.WorldModel) -> None:
    """h of the next frame follows from the state and the action alone, so given the window's states it is the same."""
    batch = frames()
    seen = observe(model, batch, jax.random.key(2))
    for t in range(1, LENGTH):
        before = jax.tree.map(lambda leaf, t=t: leaf[:, t - 1], seen.latent)
        after = world_model.observe_step(
            model, before, batch.action[:, t - 1], batch.observation[:, t], jnp.zeros(ROWS, bool), jax.random.key(t)
        )
        np.testing.assert_allclose(after.deterministic, seen.latent.deterministic[:, t], atol=1e-6)
    start = world_model.initial(model, ROWS)
    first = world_model.observe_step(
        model, start, jnp.ones((ROWS, 2)), batch.observation[:, 0], jnp.ones(ROWS, bool), jax.random.key(0)
    )
    np.testing.assert_allclose(first.deterministic, seen.latent.deterministic[:, 0], atol=1e-6)


def test_imagining_starts_where_it_is_told_and_acts_on_what_it_imagines(model: world_model.WorldModel) -> None:
    start = jax.tree.map(lambda leaf: leaf[:, -1], observe(model, frames(), jax.random.key(2)).latent)
    dreamt = world_model.imagine(
        model, start, lambda features, _: jnp.tanh(features[:, :2]), jax.random.key(3), horizon=3
    )
    assert dreamt.latent.features.shape == (4, ROWS, 16)
    np.testing.assert_array_equal(dreamt.latent.features[0], start.features)
    np.testing.assert_allclose(dreamt.action, jnp.tanh(dreamt.latent.features[:-1, :, :2]), rtol=1e-6)
    sums = dreamt.latent.random.reshape(4, ROWS, 2, 4).sum(-1)
    np.testing.assert_allclose(sums, np.ones((4, ROWS, 2)), atol=1e-5)


@pytest.mark.parametrize("kind", ["cnn", "patch"])
def test_images_go_in_and_come_out(kind: str) -> None:
    config = replace(TINY, encoder=kind, channels=(4, 8))
    encoder = make_encoder(jax.random.key(0), config, (8, 8, 3))
    decoder = make_decoder(jax.random.key(1), config, (8, 8, 3))
    image = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    embedding = encoder(jnp.asarray(image))
    assert embedding.shape == (2, 2 * 2 * 8)
    assert np.abs(embedding[0] - embedding[1]).max() > 0.01
    drawn = decoder(jnp.zeros((2, 16)))
    np.testing.assert_allclose(drawn, np.full((2, 8, 8, 3), 0.5), atol=1e-6)  # nothing in, 0.5 out


def test_encoding_a_few_windows_at_a_time_gives_the_same_in_less_memory() -> None:
    encoder = make_encoder(jax.random.key(0), replace(TINY, encoder="patch", channels=(4, 8)), (8, 8, 3))
    images = jnp.asarray(np.random.default_rng(0).integers(0, 256, (12, 20, 8, 8, 3), np.uint8))
    programs = [
        jax.jit(partial(encode, encoder, at_once=at_once)).lower(images).compile()
        for at_once in (60, None)  # three windows of twenty frames
    ]
    few, whole = (program(images) for program in programs)
    assert few.shape == (12, 20, 2 * 2 * 8)
    np.testing.assert_allclose(few, whole, rtol=1e-5, atol=1e-6)
    analyses: list[Any] = [program.memory_analysis() for program in programs]
    few_bytes, whole_bytes = (analysis.temp_size_in_bytes for analysis in analyses)
    assert few_bytes < 0.5 * whole_bytes


def test_observations_that_do_not_fit_the_encoder_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"encoder cnn: expected images whose sides can be halved 2 times, found"):
        make_encoder(jax.random.key(0), replace(TINY, encoder="cnn", channels=(4, 8)), (10, 8, 3))
    with pytest.raises(ConfigError, match=r"encoder mlp: expected observations of one axis, found shape \[8, 8, 3\]"):
        make_encoder(jax.random.key(0), TINY, (8, 8, 3))
    with pytest.raises(ConfigError, match="bins: expected an odd number, found 4"):
        replace(TINY, bins=4)


def test_bfloat16_computes_nearly_the_same_from_float32_parameters(model: world_model.WorldModel) -> None:
    narrow = replace(TINY, compute="bfloat16")
    exact, rough = losses(model, frames(), config=TINY), losses(model, frames(), config=narrow)
    np.testing.assert_allclose(rough["model/reward_loss"], exact["model/reward_loss"], rtol=0.05)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(slope(model, frames(), config=narrow)))


def test_fifty_updates_learn(model: world_model.WorldModel) -> None:
    config, batch = replace(TINY, learning_rate=3e-3), frames()

    @jax.jit
    def train(model: world_model.WorldModel) -> jax.Array:
        def one(carry: Any, key: jax.Array) -> tuple[Any, jax.Array]:
            moved, state, metrics, _ = world_model.update(carry[0], carry[1], batch, key, config=config)
            return (moved, state), metrics["model/loss"]

        start = (model, init_optimizer(world_model.optimizer(config), model))
        return jax.lax.scan(one, start, jax.random.split(jax.random.key(0), 50))[1]

    found = np.asarray(train(model))
    assert np.isfinite(found).all()
    assert found[-5:].mean() < 0.8 * found[:5].mean()
