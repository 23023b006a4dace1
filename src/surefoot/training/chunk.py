"""The compiled part of training: some hundred updates in one `lax.scan`, for all seeds in one `vmap`.

Every random number is a pure function of (seed, phase index, update index), so a run can stop after any update and go
on, and a seed draws the same alone as beside others.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, Key

from surefoot.data.sampler import cumulative_weights, draw_rows
from surefoot.errors import ConfigError, DataError, DivergenceError
from surefoot.protocols import Algorithm, Calibrates, Relabels, WeighsRows
from surefoot.types import DataSpec, Labeled, Metrics, Phase, Transition

INIT_STREAM, UPDATE_STREAM, ACT_STREAM = 0, 1, 2
"""Numbers folded into a seed's key first: for the first state, for training, for acting after training."""


def seed_keys(seeds: Sequence[int], *, stream: int) -> Key[Array, " S"]:
    """One random key for each seed.

    Args:
        seeds: Seeds, S.
        stream: Number of the stream, such as `UPDATE_STREAM`.

    Returns:
        Keys, [S].
    """
    return jnp.stack([jax.random.fold_in(jax.random.key(seed), stream) for seed in seeds])


def init_states(algorithm: Algorithm, spec: DataSpec, seeds: Sequence[int], statistics: Any = None) -> Any:
    """First states of all seeds, in buffers of their own.

    A target network that shared the buffers of its online twin could not be donated. Weak types are made strong: the
    compiled chunk takes one type, which its results must have, too.

    Args:
        algorithm: Algorithm to train.
        spec: Shapes of the data.
        seeds: Seeds, S.
        statistics: Statistics of the data, as `Algorithm.init` takes them.

    Returns:
        States with a leading seed axis.
    """
    return jax.tree.map(_own, _init(algorithm, spec, seed_keys(seeds, stream=INIT_STREAM), statistics))


def state_template(algorithm: Algorithm, spec: DataSpec, seeds: Sequence[int]) -> Any:
    """Shapes and dtypes of the states of all seeds, without computing them.

    Args:
        algorithm: Algorithm to train.
        spec: Shapes of the data.
        seeds: Seeds, S.

    Returns:
        A tree of `jax.ShapeDtypeStruct` with a leading seed axis.
    """
    return jax.eval_shape(partial(_init, algorithm, spec), seed_keys(seeds, stream=INIT_STREAM))


@partial(jax.jit, static_argnames=("algorithm", "spec"))
def _init(algorithm: Algorithm, spec: DataSpec, keys: Key[Array, " S"], statistics: Any = None) -> Any:
    return jax.vmap(lambda key: algorithm.init(spec, key, statistics))(keys)


def seed_mesh(seeds: Sequence[int]) -> Mesh:
    """Mesh of devices that share the seeds: all devices, at most one a seed."""
    devices = jax.devices()[: len(seeds)]
    return jax.make_mesh((len(devices),), ("seed",), devices=devices, axis_types=(jax.sharding.AxisType.Auto,))


def batch_mesh(algorithm: Algorithm) -> Mesh:
    """Mesh of all devices, which share each batch.

    Args:
        algorithm: Algorithm to train, for its batch sizes.

    Returns:
        The mesh.

    Raises:
        ConfigError: A batch cannot be shared evenly.
    """
    devices = jax.devices()
    for phase in algorithm.phases:
        if phase.batch_size % len(devices):
            raise ConfigError(
                f"batch_size of phase '{phase.name}': expected a multiple of the {len(devices)} devices that share a "
                f"batch, found {phase.batch_size}."
            )
    return jax.make_mesh((len(devices),), ("batch",), devices=devices, axis_types=(jax.sharding.AxisType.Auto,))


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Copy a tree of arrays to every device of a mesh, as `run_chunk` takes and returns it.

    Args:
        tree: The arrays.
        mesh: The devices.

    Returns:
        The copies.
    """
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


@partial(jax.jit, static_argnames=("algorithm", "mesh", "phase_index", "length"), donate_argnames="states")
def run_chunk(
    algorithm: Algorithm,
    states: Any,
    *,
    mesh: Mesh,
    keys: Key[Array, " S"],
    data: Any,
    cumulative: Float[Array, "S N"] | None,
    batches: Any = None,
    labels: Any = None,
    first: Int[Array, ""],
    phase_index: int,
    length: int,
) -> tuple[Any, dict[str, Float[Array, " S"]]]:
    """Run consecutive updates of a phase for all seeds.

    Each device of a mesh of seeds trains its share of the seeds. Where they do not divide evenly the last seed is
    trained more than once, which costs no time, and one copy is kept. Each device of a mesh of batches computes its
    share of every batch, and XLA sums gradients over devices: results equal those of one device but for the order of
    sums. All arguments and results lie on all devices.

    Args:
        algorithm: Algorithm to train.
        states: States of S seeds; donated.
        mesh: Devices, by seed or by batch.
        keys: Keys of the update stream, [S].
        data: Data from which each update draws its batch; None where `batches` holds them.
        cumulative: Cumulative sampling weights, [S, N]; None: rows are drawn uniformly.
        batches: Batches drawn beforehand, [S, length, batch, ...], for data that do not fit on the device.
        labels: Labels of all rows of `data`, [S, N], or None.
        first: First update of the chunk, counted in its phase.
        phase_index: Number of the phase.
        length: Updates in the chunk.

    Returns:
        `(states, metrics [S])`: means over the chunk. A metric that is not finite in any update has a mean that is not
        finite.
    """
    phase, by_batch = algorithm.phases[phase_index], mesh.axis_names == ("batch",)

    def one_seed(
        state: Any,
        key: Key[Array, ""],
        cumulative: Float[Array, " N"] | None,
        batches: Any,
        labels: Any,
        data: Any,
        first: Int[Array, ""],
    ) -> tuple[Any, Metrics]:
        def one_update(
            carry: tuple[Any, Metrics], inputs: tuple[Key[Array, " 2"], Any]
        ) -> tuple[tuple[Any, Metrics], None]:
            (state, sums), (keys, batch) = carry, inputs
            if batch is None:
                assert data is not None
                rows = draw_rows(keys[0], rows=data.num_rows, batch_size=phase.batch_size, cumulative=cumulative)
                batch = data.take(rows)
                if labels is not None:
                    batch = Labeled(batch, jax.tree.map(lambda leaf: leaf[rows], labels))
            if by_batch:
                batch = jax.lax.with_sharding_constraint(batch, NamedSharding(mesh, PartitionSpec("batch")))
            state, metrics = algorithm.update(state, batch, keys[1], phase=phase.name)
            return (state, jax.tree.map(jnp.add, sums, metrics)), None

        sums = _zero_metrics(algorithm, state, _batch_like(data, batches, labels, phase), phase)
        keys = update_keys(jax.random.fold_in(key, phase_index), first + jnp.arange(length))
        (state, sums), _ = jax.lax.scan(one_update, (state, sums), (keys, batches))
        return state, {name: total / length for name, total in sums.items()}

    train_seeds: Any = jax.vmap(one_seed, in_axes=(0, 0, 0, 0, 0, None, None))
    count, shared, whole = len(keys), PartitionSpec("seed"), PartitionSpec()
    if by_batch:
        results = train_seeds(states, keys, cumulative, batches, labels, data, first)
        return jax.lax.with_sharding_constraint(results, NamedSharding(mesh, whole))
    filled = np.minimum(np.arange(-(-count // mesh.size) * mesh.size), count - 1)
    per_seed = jax.tree.map(lambda values: values[filled], (states, keys, cumulative, batches, labels))
    train: Any = jax.shard_map(
        train_seeds,
        mesh=mesh,
        in_specs=(shared, shared, shared, shared, shared, whole, whole),
        out_specs=shared,
        check_vma=False,  # no device needs another's numbers
    )
    results = jax.tree.map(lambda values: values[:count], train(*per_seed, data, first))
    return jax.lax.with_sharding_constraint(results, NamedSharding(mesh, whole))


def phase_cumulative(
    algorithm: Algorithm, states: Any, *, data: Any, phase: Phase, seeds: Sequence[int]
) -> Float[Array, "S N"] | None:
    """Cumulative sampling weights of a phase.

    Args:
        algorithm: Algorithm to train.
        states: States of S seeds.
        data: Data with N rows.
        phase: The phase.
        seeds: Seeds, for errors.

    Returns:
        Weights, [S, N]; None where rows are drawn uniformly.

    Raises:
        DivergenceError: A seed's weights cannot be drawn from.
    """
    weights = all_weights(algorithm, states, data, phase=phase.name)
    if weights is None:
        return None
    return jnp.asarray(np.stack(accumulate(np.asarray(weights), cumulative_weights, phase=phase, seeds=seeds)))


def accumulate(
    weights: Iterable[np.ndarray],
    cumulate: Callable[[np.ndarray], np.ndarray],
    *,
    phase: Phase,
    seeds: Sequence[int],
) -> list[np.ndarray]:
    """Cumulate each seed's sampling weights.

    Args:
        weights: Weights [N] of each seed.
        cumulate: From weights to cumulative weights; raises `DataError` for weights that cannot be drawn from.
        phase: The phase, for errors.
        seeds: Seeds, for errors.

    Returns:
        Cumulative weights of each seed.

    Raises:
        DivergenceError: A seed's weights cannot be drawn from.
    """
    rows = []
    for seed, row in zip(seeds, weights, strict=True):
        try:
            rows.append(cumulate(row))
        except DataError as error:
            raise DivergenceError(
                f"training diverged: the sampling weights of seed {seed} in phase '{phase.name}' are of no use; {error}"
            ) from error
    return rows


@jax.jit
def all_finite(states: Any) -> Array:
    """Whether every number of each seed's state is finite, [S]."""
    leaves = [leaf for leaf in jax.tree.leaves(states) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    if not leaves:
        return jnp.ones(jax.tree.leaves(states)[0].shape[0], bool)
    return jnp.stack([jnp.isfinite(leaf).reshape(leaf.shape[0], -1).all(1) for leaf in leaves]).all(0)


@partial(jax.jit, static_argnames=("algorithm", "phase"))
def all_weights(algorithm: Algorithm, states: Any, data: Any, *, phase: str) -> Float[Array, "S N"] | None:
    """Sampling weights of all rows, computed for one seed after the other to bound memory.

    Args:
        algorithm: Algorithm to train.
        states: States of S seeds.
        data: Data with N rows.
        phase: Name of the phase.

    Returns:
        Weights, [S, N]; None where rows are drawn uniformly.
    """
    if not isinstance(algorithm, WeighsRows):
        return None
    # One seed after the other: this runs once a phase over all data, and its activations should be in memory once.
    return jax.lax.map(lambda state: algorithm.sample_weights(state, data, phase=phase), states)


@partial(jax.jit, static_argnames=("algorithm", "phase"))
def refrozen(algorithm: Relabels, states: Any, *, phase: str) -> Any:
    """States of all seeds with a new copy of the part that labels depend on."""
    return jax.vmap(lambda state: algorithm.refreeze(state, phase=phase))(states)


@partial(jax.jit, static_argnames=("algorithm", "phase"))
def all_labels(algorithm: Relabels, states: Any, data: Any, *, phase: str) -> Any:
    """Labels of all rows, a tree of [S, N]."""
    return jax.lax.map(lambda state: algorithm.labels(state, data, phase=phase), states)


@partial(jax.jit, static_argnames=("algorithm", "phase"))
def calibrated(algorithm: Calibrates, states: Any, sample: Transition, *, phase: str) -> Any:
    """States of all seeds after the calibration at a phase's start, on a sample of transitions."""
    return jax.lax.map(lambda state: algorithm.calibrate(state, sample, phase=phase), states)


def update_keys(key: Key[Array, ""], indices: Int[Array, " length"]) -> Key[Array, "length 2"]:
    """Two random keys for each update: one to draw its batch, one for the algorithm.

    Args:
        key: Key of a seed and a phase.
        indices: Updates, counted in the phase, [length].

    Returns:
        Keys, [length, 2].
    """
    return jax.vmap(lambda index: jax.random.split(jax.random.fold_in(key, index)))(indices)


def _batch_like(data: Any, batches: Any, labels: Any, phase: Phase) -> Any:
    """Shapes and dtypes of a batch of the phase."""
    if batches is not None:
        return jax.eval_shape(lambda all_batches: jax.tree.map(lambda values: values[0], all_batches), batches)
    rows = jax.ShapeDtypeStruct((phase.batch_size,), jnp.int32)
    batch = jax.eval_shape(lambda data, rows: data.take(rows), data, rows)
    if labels is None:
        return batch
    of_rows = lambda leaf: jax.ShapeDtypeStruct((phase.batch_size,), leaf.dtype)  # noqa: E731
    return Labeled(batch, jax.tree.map(of_rows, labels))


def _zero_metrics(algorithm: Algorithm, state: Any, batch: Any, phase: Phase) -> Metrics:
    """Zeros of the metrics' names and dtypes."""
    update = partial(algorithm.update, phase=phase.name)
    _, metrics = jax.eval_shape(update, state, batch, jax.random.key(0))
    return {name: jnp.zeros((), jnp.float32) for name in metrics}


def _own(leaf: Array) -> Array:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jnp.copy(leaf)
    return jnp.array(leaf, leaf.dtype, copy=True)
