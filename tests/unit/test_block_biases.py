"""What the diffusion time adds in all blocks of a network, at once."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.kernels.activations import mish
from surefoot.nn import TemporalConfig, TrajectoryValue
from surefoot.planning.block_biases import BlockBiases

TIMES = 20


def normal(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape), jnp.float32)


@pytest.mark.parametrize("conditions", [0, 1])
def test_what_the_time_adds_in_all_blocks(conditions: int) -> None:
    """Two stacked values of blocks 8 and 16 wide: each block's own layer of the embedding, then columns of 0."""
    config = TemporalConfig(8, (1, 2))
    create = lambda key: TrajectoryValue.create(key, 4, 8, config, conditions=conditions)  # noqa: E731
    stacked = jax.vmap(create)(jax.random.split(jax.random.key(1), 2))
    stacked = jax.tree.map(lambda leaf: leaf + 0.1 * normal(*leaf.shape), stacked)
    blocks = lambda network: [block for first, second, _ in network.levels for block in (first, second)]  # noqa: E731
    rows = 1 if conditions == 0 else 3
    condition = normal(rows, 1) if conditions else None

    def both(network: TrajectoryValue, t: jax.Array) -> Any:
        biases = BlockBiases.of(network.time, blocks(network), times=TIMES)
        assert (biases.table is None) == bool(conditions)
        embedding = network.time(t, condition)
        own = [block.bias(mish(embedding)) for block in blocks(network)]
        padded = [jnp.pad(bias, ((0, 0), (0, 16 - bias.shape[1]))) for bias in own]
        return biases(t, condition), (embedding, jnp.concatenate(padded, -1))

    for t in ([0.0], [7.0], [19.0]) if conditions else ([0.0], [7.0], [19.0], [3.0, 0.0]):
        found, expected = jax.jit(jax.vmap(both, in_axes=(0, None)))(stacked, jnp.array(t))
        for a, b in zip(found, expected, strict=True):
            assert a.shape == b.shape == (2, max(len(t), rows), b.shape[-1])
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
