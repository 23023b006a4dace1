"""Arrays of different rank never broadcast by accident here; where it is meant, the code adds the axis itself.

Strict dtypes ("jax_numpy_dtype_promotion") are out of reach: optax computes `decay**count` with an int32 count.
"""

from collections.abc import Iterator

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")

_FOREIGN = {"test_exact_set"}
"""Tests that run the package hj_reachability, which broadcasts as NumPy does, or our benchmark beside it."""


@pytest.fixture(autouse=True)
def _ranks(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.path.stem not in _FOREIGN:
        yield
        return
    with jax.numpy_rank_promotion("allow"):
        yield
