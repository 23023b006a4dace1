"""A row of no weight is never drawn, whatever the weights and whatever the number drawn."""

import jax.numpy as jnp
import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from surefoot.data import cumulative_weights
from surefoot.data.sampler import rows_at

LARGEST_DRAW = np.float32(1) - np.float32(2) ** -24
"""The largest float32 below 1; `jax.random.uniform` itself stops at 1 - 2^-23."""

weight = st.just(0.0) | st.floats(0, 1e308, allow_nan=False) | st.sampled_from([5e-324, 1e-45, 1e-12, 1.0, 150.0])
weights = st.lists(weight, min_size=1, max_size=40).filter(any)


@settings(max_examples=200, deadline=None)
@given(weights)
@example([0.0, 5e-324, 0.0])
@example([1e308] * 5 + [0.0])
@example([1.0, 5e-324, 0.0])
@example([0.0, 0.0, 1e-300, 1.0, 0.0])
def test_a_row_of_no_weight_is_never_drawn(weights: list[float]) -> None:
    cumulative = cumulative_weights(weights)
    assert cumulative.dtype == np.float32
    assert cumulative[-1] == 1.0
    assert (np.diff(cumulative) >= 0).all()
    # The draws where a rounding could go wrong: 0, the largest, each border and its neighbours on both sides.
    borders = np.concatenate(
        [cumulative, np.nextafter(cumulative, np.float32(0)), np.nextafter(cumulative, np.float32(2))]
    )
    draws = np.append(borders[borders < 1], [np.float32(0), LARGEST_DRAW]).astype(np.float32)
    draws = np.resize(draws, 128)  # one shape, so that JAX compiles once per length
    padded = np.append(cumulative, np.full(40 - len(cumulative), np.float32(1)))
    rows = np.asarray(rows_at(jnp.asarray(padded), jnp.asarray(draws)))
    assert (np.asarray(weights)[rows] > 0).all()


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.001, 0.999), st.floats(0.1, 12.0), st.integers(1, 1000))
def test_a_million_rows_give_no_weight_no_room(seed: int, share: float, spread: float, zeros_at_end: int) -> None:
    rng = np.random.default_rng(seed)
    weights = np.exp(spread * rng.standard_normal(1_000_000)) * (rng.random(1_000_000) < share)
    weights[-zeros_at_end:] = 0.0
    weights[0] = weights[0] + (not weights.any())
    cumulative = cumulative_weights(weights)
    # Row i is drawn where cumulative[i - 1] <= u < cumulative[i], and u is in [0, 1): so these four say it all.
    room = np.diff(cumulative, prepend=np.float32(0))
    assert cumulative[-1] == 1.0
    assert (room >= 0).all()
    assert (room[weights == 0] == 0).all()
    # Each of two borders is rounded by half a float32 step below 1, 2^-25 each; the float64 sum adds far less.
    assert np.abs(room - weights / weights.sum()).max() <= 2 * 2.0**-25 + 1e-9
