"""Group normalisation, Mish, a sum and the unfolding for the next convolution in one CUDA kernel, forward and backward
(Pallas, through Triton).

A plan of TREBI runs thousands of small layers one after the other, and on a GPU each kernel takes some microseconds
however little it does. What XLA makes of a normalisation and what surrounds it, five kernels and more, is one here.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float

from surefoot.nn.activations import mish
from surefoot.nn.temporal import Window, norm_gradient, normalised

_LARGEST_TILE = 8_192
"""Numbers of a sample that one program holds in its registers."""
_PARAMETERS = triton.CompilerParams(num_warps=4, num_stages=1)


class Form(NamedTuple):
    """Which kernel: all of it static."""

    groups: int
    epsilon: float
    addend_part: int = 0
    """The addend is this run of channels of the array it comes in, of as many as `scale` has; x is the first."""
    plain: bool = True
    """Return the result."""
    window: Window | None = None
    """Return it unfolded for this convolution."""
    interpret: bool = False
    """Run the kernels' operations one by one, on any device (tests)."""


def fits(length: int, channels: int, groups: int) -> bool:
    """Whether the kernels take [B, length, channels]: Triton's tiles have powers of two."""
    powers = all(number & (number - 1) == 0 for number in (length, channels // groups, groups))
    return powers and length * channels <= _LARGEST_TILE


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def norm_mish(
    x: Float[Array, "B L m"],
    scale: Float[Array, " c"],
    bias: Float[Array, " c"],
    addend: Float[Array, "b l n"] | None,
    form: Form,
) -> tuple[Array, ...]:
    """mish(scale * (x - mean) / sqrt(variance + epsilon) + bias) + addend, moments over time and the channels of a
    group. `addend` has B samples or one, L steps or one.

    Returns what `form` asks for: the result [B, L, c], then the result unfolded [B, M, taps * c].
    """
    return _forward(x, scale, bias, addend, form)[0]


def _forward(x, scale, bias, addend, form):
    call = _Call.of(x, scale, form)
    shapes, blocks = [], []
    if form.plain:
        shapes.append((*call.sample, *call.rows))
        blocks.append(call.block())
    if form.window is not None:
        steps = -(-call.length // form.window.stride)
        shapes.append((call.batch, steps, form.window.taps, *call.rows))
        blocks.append(pl.BlockSpec((None, *shapes[-1][1:]), lambda b: (b, 0, 0, 0, 0)))
    outs = pl.pallas_call(
        partial(_forward_kernel, form=form, added=addend is not None),
        out_shape=[jax.ShapeDtypeStruct(shape, x.dtype) for shape in shapes],
        out_specs=blocks,
        in_specs=call.in_specs(addend),
        name="norm_mish",
        **call.options(),
    )(*call.arrays(x, scale, bias, addend))
    return tuple(out.reshape(*out.shape[:2], -1) for out in outs), (x, scale, bias, addend)


def _backward(form, saved, cotangents):
    x, scale, bias, addend = saved
    call = _Call.of(x, scale, form)
    given, specs = list(cotangents), []
    if form.plain:
        given[0] = given[0].reshape(*call.sample, *call.rows)
        specs.append(call.block())
    if form.window is not None:
        given[-1] = given[-1].reshape(*given[-1].shape[:2], form.window.taps, *call.rows)
        specs.append(pl.BlockSpec((None, *given[-1].shape[1:]), lambda b: (b, 0, 0, 0, 0)))
    shares = (call.batch, 1, *call.rows)
    shapes = [(*call.sample, *call.rows), shares, shares]
    blocks = [call.block(), call.block(steps=1), call.block(steps=1)]
    if addend is not None:
        shapes.append((call.batch, addend.shape[1], *call.rows))
        blocks.append(call.block(steps=addend.shape[1]))
    d_x, d_scale, d_bias, *d_addend = pl.pallas_call(
        partial(_backward_kernel, form=form, added=addend is not None),
        out_shape=[jax.ShapeDtypeStruct(shape, x.dtype) for shape in shapes],
        out_specs=blocks,
        in_specs=[*call.in_specs(addend), *specs],
        name="norm_mish_backward",
        **call.options(),
    )(*call.arrays(x, scale, bias, addend), *given)
    d_added = None
    if addend is not None:
        d_added = d_addend[0].reshape(call.batch, addend.shape[1], -1)
        if addend.shape[0] == 1:
            d_added = d_added.sum(0, keepdims=True)
        d_added = _as_part(d_added, form.addend_part, addend.shape[-1])
    d_x = _as_part(d_x.reshape(*call.sample, -1), 0, x.shape[-1])
    return d_x, d_scale.sum((0, 1)).reshape(scale.shape), d_bias.sum((0, 1)).reshape(bias.shape), d_added


norm_mish.defvjp(_forward, _backward)


def _as_part(x, part, channels):
    """x as a run of channels among zeros."""
    before = part * x.shape[-1]
    return jnp.pad(x, ((0, 0), (0, 0), (before, channels - before - x.shape[-1])))


class _Call(NamedTuple):
    """How arrays are cut: a program has one sample, its channels as groups of neighbours."""

    batch: int
    length: int
    rows: tuple[int, int]
    """(groups, channels of each)."""
    form: Form

    @staticmethod
    def of(x, scale, form):
        return _Call(x.shape[0], x.shape[1], (form.groups, scale.shape[0] // form.groups), form)

    @property
    def sample(self):
        return self.batch, self.length

    def options(self):
        return {"grid": (self.batch,), "compiler_params": _PARAMETERS, "interpret": self.form.interpret}

    def grouped(self, x):
        return x.reshape(*x.shape[:-1], -1, self.rows[1])

    def block(self, *, steps=None, part=0, shared=False):
        shape = (None, self.length if steps is None else steps, *self.rows)
        return pl.BlockSpec(shape, lambda b: (0 if shared else b, 0, part, 0))

    def in_specs(self, addend):
        parameters = pl.BlockSpec(self.rows, lambda b: (0, 0))
        specs = [self.block(), parameters, parameters]
        if addend is not None:
            shared = addend.shape[0] == 1
            specs.append(self.block(steps=addend.shape[1], part=self.form.addend_part, shared=shared))
        return specs

    def arrays(self, *arrays):
        return [self.grouped(array) for array in arrays if array is not None]


# --- kernels: x is [L, groups, size] ---


def _forward_kernel(x_ref, scale_ref, bias_ref, *refs, form, added):
    refs = list(refs)
    normal, _ = normalised(x_ref[...], _group_mean, form.epsilon)
    out = mish(normal * scale_ref[...][None] + bias_ref[...][None])
    if added:
        out = out + refs.pop(0)[...]
    if form.plain:
        refs.pop(0)[...] = out
    if form.window is not None:
        (rows_ref,) = refs
        phases = _phases(out, form.window.stride)
        for tap in range(form.window.taps):
            phase, later = _source(tap, form.window)
            place, inside = _moved(phases[phase].shape[0], later)
            rows_ref[place, tap] = jnp.where(inside, phases[phase], 0.0)


def _backward_kernel(x_ref, scale_ref, bias_ref, *refs, form, added):
    refs = list(refs)
    if added:
        refs.pop(0)
    normal, inverse = normalised(x_ref[...], _group_mean, form.epsilon)
    g = jnp.zeros_like(normal)
    if form.plain:
        g = g + refs.pop(0)[...]
    if form.window is not None:
        rows_ref = refs.pop(0)
        phases = [jnp.zeros_like(phase) for phase in _phases(g, form.window.stride)]
        for tap in range(form.window.taps):
            phase, later = _source(tap, form.window)
            place, inside = _moved(phases[phase].shape[0], later)
            phases[phase] = phases[phase] + jnp.where(inside, rows_ref[place, tap], 0.0)
        g = g + _joined(phases, g.shape)
    d_x_ref, d_scale_ref, d_bias_ref, *d_addend_ref = refs
    scale = scale_ref[...][None]
    _, d_z = jax.jvp(mish, (normal * scale + bias_ref[...][None],), (g,))
    scaled = d_z * scale
    d_x_ref[...] = norm_gradient(scaled, normal, inverse, _group_mean)
    d_scale_ref[...] = jnp.sum(d_z * normal, 0)[None]
    d_bias_ref[...] = jnp.sum(d_z, 0)[None]
    for ref in d_addend_ref:
        ref[...] = g if ref.shape[0] == g.shape[0] else jnp.sum(g, 0)[None]


def _phases(x, stride):
    """x [L, groups, size] as its even and its odd steps where the stride is 2. A step alone is an even one, and the odd
    one beside it 0."""
    if stride == 1:
        return [x]
    if x.shape[0] == 1:
        return [x, jnp.zeros_like(x)]
    pairs = x.reshape(x.shape[0] // 2, 2, *x.shape[1:])
    odd = jax.lax.broadcasted_iota(jnp.int32, pairs.shape, 1) == 1
    return [jnp.sum(jnp.where(odd, 0.0, pairs), 1), jnp.sum(jnp.where(odd, pairs, 0.0), 1)]


def _joined(phases, shape):
    """What `_phases` took apart."""
    if len(phases) == 1 or shape[0] == 1:
        return phases[0]
    pairs = (shape[0] // 2, 2, *shape[1:])
    odd = jax.lax.broadcasted_iota(jnp.int32, pairs, 1) == 1
    even, other = (jnp.broadcast_to(phase[:, None], pairs) for phase in phases)
    return jnp.where(odd, other, even).reshape(shape)


def _source(tap, window):
    """Of which phase this tap of output m is the step m - later: (phase, later)."""
    offset = tap - window.before
    return offset % window.stride, -(offset // window.stride)


def _moved(length, later):
    """(where step n of a phase goes [length], whether it is there or else 0), if it goes `later` outputs on. Those that
    leave at one end come in as zeros at the other, so that every output gets one."""
    place = jnp.arange(length, dtype=jnp.int32) + later
    inside = (place >= 0) & (place < length)
    if abs(later) >= length:  # a sequence of one step: nothing of it is there
        place = jnp.arange(length, dtype=jnp.int32)
    place = jnp.where(place < 0, place + length, jnp.where(place >= length, place - length, place))
    return place, inside[:, None, None]


def _group_mean(x):
    """[1, groups, 1]; one axis at a time, as Triton reduces."""
    return (jnp.sum(jnp.sum(x, 2), 0) / (x.shape[0] * x.shape[2]))[None, :, None]
