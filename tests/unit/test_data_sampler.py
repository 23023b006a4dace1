"""Drawing batches: which rows, how often, and inside a scan."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))
from tests.data_fixtures import make_dataset

from surefoot.data import cumulative_weights, sample_batch, to_transitions
from surefoot.errors import DataError
from surefoot.types import Transition

draw = jax.jit(sample_batch, static_argnames="batch_size")


def numbered(rows: int) -> Transition:
    """Transitions whose every leaf holds the row's number."""
    column = np.arange(rows, dtype=np.float32)
    return Transition(*[jnp.asarray(column)] * len(Transition._fields))


def test_a_batch_keeps_rows_together() -> None:
    data = to_transitions(make_dataset(), reward_scale=1.0)
    batch = draw(data, jax.random.key(0), batch_size=16)
    assert batch.observation.shape == (16, 11)
    assert batch.reward.shape == (16,)
    rows = [int(np.flatnonzero(data.reward == reward)[0]) for reward in np.asarray(batch.reward)]
    for drawn, whole in zip(batch, data, strict=True):
        np.testing.assert_array_equal(drawn, whole[rows])


def test_uniform_draws_reach_every_row_alike() -> None:
    drawn = draw(numbered(10), jax.random.key(1), batch_size=40_000).reward
    counts = np.bincount(np.asarray(drawn, int), minlength=10)
    # Each row: binomial(40000, 0.1), mean 4000, standard deviation sqrt(40000 * 0.1 * 0.9) = 60; five of them.
    assert np.abs(counts - 4000).max() < 300


def test_weighted_draws_follow_the_weights() -> None:
    cumulative = jnp.asarray(cumulative_weights([0.0, 1.0, 0.0, 3.0, 0.0]))
    drawn = draw(numbered(5), jax.random.key(2), batch_size=40_000, cumulative=cumulative).reward
    counts = np.bincount(np.asarray(drawn, int), minlength=5)
    assert counts[[0, 2, 4]].tolist() == [0, 0, 0]
    # Row 1: binomial(40000, 1 / 4), mean 10000, standard deviation sqrt(40000 * 3 / 16) = 86.6; five of them.
    assert abs(counts[1] - 10_000) < 433


def test_a_million_rows_with_weight_on_few_draw_only_those() -> None:
    # Every third row has weight, the last 1000 have none; the mean share, 3e-6, is near float32's step of 6e-8.
    weights = np.random.default_rng(0).exponential(size=1_000_000)
    weights[np.arange(1_000_000) % 3 != 0] = 0.0
    weights[-1000:] = 0.0
    cumulative = jnp.asarray(cumulative_weights(weights))
    drawn = draw(numbered(1_000_000), jax.random.key(3), batch_size=1_000_000, cumulative=cumulative).reward
    rows = np.asarray(drawn, int)
    assert (weights[rows] > 0).all()
    # The drawn weights' mean is E[w^2] / E[w] = 2 for exponential weights; one row's deviation is sqrt(2), so the mean
    # of a million draws deviates by 0.0014, and the 333,000 weights' own moments by 0.005: five of the latter.
    assert abs(weights[rows].mean() - 2.0) < 0.025


def test_a_scan_draws_what_single_calls_draw() -> None:
    data = numbered(50)
    cumulative = jnp.asarray(cumulative_weights(np.arange(50.0)))
    keys = jax.random.split(jax.random.key(4), 6)

    @jax.jit
    def scanned(data: Transition) -> jax.Array:
        def step(carry: None, key: jax.Array) -> tuple[None, jax.Array]:
            return carry, sample_batch(data, key, batch_size=8, cumulative=cumulative).reward

        return jax.lax.scan(step, None, keys)[1]

    single = [draw(data, key, batch_size=8, cumulative=cumulative).reward for key in keys]
    np.testing.assert_array_equal(scanned(data), np.stack(single))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.0, 0.0, 0.0], "weights: expected at least one above 0, found 3 zeros."),
        ([1.0, np.nan, np.inf], "weights: expected finite numbers >= 0, found nan in row 1."),
        ([1.0, 2.0, np.inf], "weights: expected finite numbers >= 0, found inf in row 2."),
        ([1.0, -0.5], "weights: expected finite numbers >= 0, found -0.5 in row 1."),
        ([], "weights: expected shape [N], found [0]."),
        ([[1.0]], "weights: expected shape [N], found [1, 1]."),
    ],
)
def test_weights_that_cannot_be_drawn_by_are_refused(weights: list, message: str) -> None:
    with pytest.raises(DataError) as refusal:
        cumulative_weights(weights)
    assert str(refusal.value) == message


def test_a_cumulative_sum_of_other_data_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected shape \(5,\), found \(4,\)"):
        sample_batch(numbered(5), jax.random.key(0), batch_size=2, cumulative=jnp.ones(4))
