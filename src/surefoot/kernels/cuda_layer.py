"""A layer of a network over segments as one CUDA kernel: convolutions, normalization and activation (Pallas, through
Triton).

A program computes the products of a few whole samples and some groups of channels, so that it has all the numbers that
the normalization of its groups needs (`cuda_norm_mish` leaves the products to XLA: two kernels a layer). The gradient
of a layer has the same shape, convolutions first and the normalization's gradient after them, and is computed by the
same kernel.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float

from surefoot.kernels.activations import mish
from surefoot.kernels.group_norm import norm_gradient, normalized

LEAST = 16
"""Rows, columns and channels below which the tensor cores take no product."""
_COLUMNS = 32
"""Columns of a program's tile by default."""
_CHUNK, _CHUNK_NUMBERS = 128, 12_288
"""Channels that a program multiplies at a time, at most; fewer where a chunk of both factors would have more numbers
than this. Four are under way, in float16 96 KB: so much shared memory every GPU gives that has these tensor cores."""
_LARGEST_TILE = 8_192
"""Numbers that one program holds in its registers."""
_MANY_ROWS, _ENOUGH = 64, 512
"""Rows of a tile where there are at least this number of programs with them, some for each multiprocessor: weights are
read less often. 40 decisions of the legacy preset took 91 ms with them on an H200, and 101 with 128 rows."""
_PARAMETERS = triton.CompilerParams(num_warps=4, num_stages=4)


class Taps(NamedTuple):
    """Output step l reads the input steps (stride * l - before + (0 .. number - 1)) / spread, where these are whole."""

    number: int
    stride: int = 1
    before: int = 0
    spread: int = 1


class Term(NamedTuple):
    """A convolution of x by kernel [taps * c, n]; c is a power of two."""

    x: Any
    """Input, [B, L, c]."""
    kernel: Any
    taps: Taps


class Shift(NamedTuple):
    """A vector for all steps: columns of a wider array from `begin` on."""

    values: Any
    """[1 or B, n or more]."""
    begin: int


class Gradient(NamedTuple):
    """A layer's sum before its normalization [B, L, n] and its vectors [3, n], for the gradient of mish(norm(.))."""

    entered: Any
    vectors: Any


class Launch(NamedTuple):
    """Launch parameters of the kernels."""

    rows: int = LEAST
    """Least rows of a program's tile; a power of two."""
    interpret: bool = False
    """Execute operation by operation, for tests."""
    dtype: Any = jnp.float16
    """In which products take their numbers, and layers hand them on; sums and normalizations are in float32. It has as
    many binary digits as TF32 and half the bytes, and the loop over products need not round to it, as it must to TF32,
    which takes longer than they do. What is too large for it becomes its largest."""

    def beside(self, networks: int) -> "Launch":
        """Launch parameters for several networks side by side (`vmap`): tiles have as many times more rows, so that the
        number of programs stays and weights are read less often."""
        return self._replace(rows=self.rows << (networks.bit_length() - 1))


ALONE = Launch()


class Outputs(NamedTuple):
    """Requested outputs, each [B, L, n]; None for others."""

    entered: Any
    """The convolutions' sum, before the normalization."""
    plain: Any
    gradient: Any
    """Gradient of the loss with respect to `Gradient.entered`, where `plain` is that with respect to the layer's
    result."""


class Form(NamedTuple):
    """Static parameters of a kernel."""

    samples: int
    length: int
    rows: int
    columns: int
    size: int
    """Channels of a group; 0: nothing is normalized."""
    terms: tuple[tuple[Taps, int, int], ...]
    """Taps, steps and channels of each convolution's input."""
    after: tuple[tuple[Taps, int, int], ...]
    vectors: int
    shift: tuple[int, int] | None
    """Samples of the shift, and the column where it begins."""
    addend: bool
    outputs: tuple[bool, bool, bool]
    """Which of `Outputs` are requested."""


def fits(length: int, channels: int, groups: int, *, launch: Launch = ALONE) -> bool:
    """Whether a kernel takes a normalized layer; Triton's tiles have powers of two.

    Args:
        length: Steps L.
        channels: Channels.
        groups: Groups of channels.
        launch: Launch parameters.

    Returns:
        True where it does.
    """
    powers = all(number & (number - 1) == 0 for number in (length, channels, groups, launch.rows))
    columns = max(_COLUMNS, channels // groups)
    return powers and channels >= LEAST and max(length, launch.rows) * columns <= _LARGEST_TILE


def tile(samples: int, length: int, channels: int, size: int, *, launch: Launch) -> tuple[int, int]:
    """Rows and columns of a program's tile.

    Args:
        samples: Samples B.
        length: Steps L.
        channels: Channels n.
        size: Channels of a group; 0: no normalization.
        launch: Launch parameters.

    Returns:
        (rows, columns).
    """
    rows, columns = max(length, launch.rows), min(max(_COLUMNS, size), channels)
    many = max(rows, _MANY_ROWS)
    programs = samples * length // many * (channels // columns)
    return (many if many * columns <= _LARGEST_TILE and programs >= _ENOUGH else rows), columns


def chunk_of(rows: int, columns: int) -> int:
    """Most channels that a program multiplies at a time, a power of two.

    Args:
        rows: Rows of its tile.
        columns: Columns of its tile.

    Returns:
        The number of channels.
    """
    return min(_CHUNK, 1 << ((_CHUNK_NUMBERS // (rows + columns)).bit_length() - 1))


def layer(
    terms: Sequence[Term],
    length: int,
    *,
    vectors: Float[Array, "v n"] | None = None,
    groups: int = 0,
    shift: Shift | None = None,
    after: Sequence[Term] = (),
    addend: Float[Array, "B L n"] | None = None,
    gradient: Gradient | None = None,
    keep: bool = False,
    plain: bool = True,
    exact: bool = False,
    launch: Launch,
) -> Outputs:
    """Sum of convolutions; then, where given, mish(norm(.)); then a shift, further convolutions and an addend.

    Inputs and kernels of the terms, and outputs, are of `launch.dtype` (float32 is TF32 on a device, whatever JAX's
    default precision).

    Args:
        terms: Convolutions.
        length: Output steps L.
        vectors: Bias, then scale and shift of each channel for the normalization, [1 or 3, n]; None: no bias.
        groups: Groups of the normalization, or of `gradient`'s.
        shift: Vector that is added at all steps.
        after: Convolutions that are added after the normalization.
        addend: Array that is added, [B, L, n].
        gradient: Request the gradient before this layer's normalization, from the result as the gradient after it.
        keep: Request the sum before the normalization, in float32.
        plain: Request the result.
        exact: Return the result in float32.
        launch: Launch parameters.

    Returns:
        The requested outputs.
    """
    batch, n = terms[0].x.shape[0], terms[0].kernel.shape[-1]
    size = n // groups if groups else 0
    rows, columns = tile(batch, length, n, size, launch=launch)
    shapes = [tuple((t.taps, *t.x.shape[1:]) for t in some) for some in (terms, after)]
    form = Form(
        samples=batch, length=length, rows=rows, columns=columns, size=size, terms=shapes[0], after=shapes[1],
        vectors=0 if vectors is None else vectors.shape[0],
        shift=None if shift is None else (shift.values.shape[0], shift.begin),
        addend=addend is not None, outputs=(keep, plain, gradient is not None),
    )  # fmt: skip
    arrays = [flat for term in (*terms, *after) for flat in (term.x.reshape(-1, term.x.shape[-1]), term.kernel)]
    arrays += [] if vectors is None else [vectors]
    arrays += [] if shift is None else [shift.values]
    arrays += [] if addend is None else [addend.reshape(-1, n)]
    arrays += [] if gradient is None else [gradient.entered.reshape(-1, n), gradient.vectors]
    types = (jnp.float32, jnp.float32 if exact else launch.dtype, launch.dtype)
    made = iter(
        pl.pallas_call(
            partial(_kernel, form=form),
            grid=(-(-batch * length // rows), n // columns),
            out_shape=[
                jax.ShapeDtypeStruct((batch * length, n), dtype)
                for dtype, asked in zip(types, form.outputs, strict=True)
                if asked
            ],
            compiler_params=_PARAMETERS,
            interpret=launch.interpret,
            name="layer",
        )(*arrays)
    )
    return Outputs(*(next(made).reshape(batch, length, n) if asked else None for asked in form.outputs))


# --- the kernel: a program has the rows of whole samples, one below the other ---


def _kernel(*all_refs: Any, form: Form) -> None:
    refs = iter(all_refs)
    rows, columns = form.rows, form.columns
    row = pl.program_id(0) * rows + jnp.arange(rows, dtype=jnp.int32)
    column = pl.program_id(1) * columns + jnp.arange(columns, dtype=jnp.int32)
    # A mask has the tile's whole shape: Triton does not broadcast it.
    inside = (row < form.samples * form.length)[:, None] & (column >= 0)[None]
    here = (row[:, None], column[None])
    total = _products(jnp.zeros((rows, columns), jnp.float32), refs, form.terms, row, column, form)
    behind = None
    if form.after:
        behind = _products(jnp.zeros((rows, columns), jnp.float32), refs, form.after, row, column, form)
    vectors = next(refs) if form.vectors else None
    if form.vectors:
        total = total + _vector(vectors, 0, column)
    out = total
    if form.vectors > 1:
        out = mish(
            normalized(total, partial(_group_mean, form=form))[0] * _vector(vectors, 1, column)
            + _vector(vectors, 2, column)
        )
    if form.shift is not None:
        samples, begin = form.shift
        sample = jnp.where(inside[:, :1], _quotient(row, form.length)[:, None], 0) if samples > 1 else 0 * row[:, None]
        out = out + triton.load(next(refs).at[sample, begin + column[None]])
    if behind is not None:
        out = out + behind
    if form.addend:
        out = out + triton.load(next(refs).at[here], mask=inside, other=0.0).astype(jnp.float32)
    kept, plain, gradient = form.outputs
    slope = out
    if gradient:
        before = triton.load(next(refs).at[here], mask=inside, other=0.0)
        vectors = next(refs)
        slope = _norm_gradient(before, out, _vector(vectors, 1, column), _vector(vectors, 2, column), form)
    for asked, made in ((kept, total), (plain, out), (gradient, slope)):
        if asked:
            ref = next(refs)
            triton.store(ref.at[here], saturated(made, ref.dtype), mask=inside)


def saturated(x: Any, dtype: Any) -> Any:
    """x in another dtype; numbers beyond its range become its largest."""
    if dtype == x.dtype:
        return x
    largest = float(jnp.finfo(dtype).max)
    return jnp.minimum(jnp.maximum(x, -largest), largest).astype(dtype)


def _vector(ref: Any, place: int, column: Any) -> Any:
    """[1, columns] of a row of `ref`."""
    return triton.load(ref.at[place, column])[None]


def _products(total: Any, refs: Iterator[Any], terms: tuple[tuple[Taps, int, int], ...], row, column, form) -> Any:
    sample, step = _quotient(row, form.length), _rest(row, form.length)
    for taps, length, channels in terms:
        x_ref, kernel_ref = next(refs), next(refs)
        chunk = min(channels, chunk_of(form.rows, form.columns))
        chunks = channels // chunk

        def one(
            index, total, *, taps=taps, length=length, x_ref=x_ref, kernel_ref=kernel_ref, chunk=chunk, chunks=chunks
        ):
            at = taps.stride * step - taps.before + _quotient(index, chunks)
            there = (at >= 0) & (at < taps.spread * length) & (row < form.samples * form.length)
            if taps.spread > 1:
                there = there & (_rest(at, taps.spread) == 0)
            source = jnp.where(there, sample * length + _quotient(at, taps.spread), 0)
            channel = _rest(index, chunks) * chunk + jnp.arange(chunk, dtype=jnp.int32)
            mask = there[:, None] & (channel >= 0)[None]
            x = triton.load(x_ref.at[source[:, None], channel[None]], mask=mask, other=0.0)
            weight = index * chunk + jnp.arange(chunk, dtype=jnp.int32)
            kernel = triton.load(kernel_ref.at[weight[:, None], column[None]])
            return total + jnp.dot(x, kernel, precision=jax.lax.Precision.DEFAULT, preferred_element_type=jnp.float32)

        total = jax.lax.fori_loop(0, taps.number * chunks, one, total)
    return total


def _quotient(number: Any, by: int) -> Any:
    """Rounded towards 0; `//` rounds down, for which Triton has no operation."""
    return jax.lax.div(number, jnp.full_like(number, by))


def _rest(number: Any, by: int) -> Any:
    return jax.lax.rem(number, jnp.full_like(number, by))


def _norm_gradient(entered: Any, g: Any, scale: Any, bias: Any, form: Form) -> Any:
    """That of mish(scale * norm(entered) + bias)."""
    mean = partial(_group_mean, form=form)
    normal, inverse = normalized(entered, mean)
    _, g = jax.jvp(mish, (normal * scale + bias,), (g,))
    return norm_gradient(g * scale, normal, inverse, mean)


def _group_mean(x: Any, form: Form) -> Any:
    """At every place the mean over the steps and the channels of its group; one axis at a time, as Triton reduces."""
    shape = (x.shape[0] // form.length, form.length, x.shape[1] // form.size, form.size)
    mean = jnp.sum(jnp.sum(x.reshape(shape), 3), 1) / (form.length * form.size)
    return jnp.broadcast_to(mean[:, None, :, None], shape).reshape(x.shape)
