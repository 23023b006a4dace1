"""Import of Diffuser's published denoisers (Janner et al., 2022; PyTorch): names, layouts and sizes of their tensors.

Callers read the file and give arrays by the names of its state dictionary. PyTorch keeps Linear as [out, in], Conv1d as
[out, in, k] and ConvTranspose1d as [in, out, k].
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from surefoot.errors import DataError
from surefoot.nn.networks import Dense
from surefoot.nn.temporal import Conv, ConvBlock, Downsample, GroupNorm, ResidualBlock, TimeEmbedding, Upsample
from surefoot.nn.trajectory import TemporalConfig, TemporalUNet

_GROUPS = 8
_SCHEDULE = (
    *("betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod"),
    *("log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod", "posterior_variance"),
    *("posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2"),
)
"""Buffers that follow from the betas."""


class Imported(NamedTuple):
    """A denoiser, and what its tensors tell of its training."""

    network: TemporalUNet
    config: TemporalConfig
    horizon: int
    """Steps of the training segments."""
    betas: np.ndarray
    """The noise schedule, [T]."""


class _Arrays:
    """The arrays, each to be taken once under its name and with its shape."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._left = dict(arrays)

    def shape(self, name: str, rank: int) -> tuple[int, ...]:
        if name not in self._left:
            raise DataError(f"{name}: expected a tensor of that name, as Diffuser's denoisers have, found none.")
        shape = self._left[name].shape
        if len(shape) != rank:
            raise DataError(f"{name}: expected {rank} axes, found shape {list(shape)}.")
        return shape

    def has(self, name: str) -> bool:
        return name in self._left

    def take(self, name: str, *shape: int) -> np.ndarray:
        found = self.shape(name, len(shape))
        if found != shape:
            raise DataError(f"{name}: expected shape {list(shape)}, found {list(found)}.")
        array = np.asarray(self._left.pop(name), np.float32)
        if not np.isfinite(array).all():
            raise DataError(f"{name}: expected finite numbers, found others.")
        return array

    def check_all_taken(self) -> None:
        if self._left:
            names = sorted(self._left)
            raise DataError(
                f"{names[0]}: expected no tensor of that name in a denoiser without attention, found {len(names)} that "
                f"are not known."
            )


def denoiser_from_diffuser(arrays: Mapping[str, np.ndarray], *, observation_dim: int, action_dim: int) -> Imported:
    """Denoiser from the arrays of a state dictionary ("model" or "ema" of a `state_*.pt`).

    Sizes come from the tensors. A step of a segment is its action, then its observation.

    Args:
        arrays: Tensors by name.
        observation_dim: Numbers of an observation, as the task has.
        action_dim: Numbers of an action, as the task has.

    Returns:
        The network, its sizes, the horizon and the noise schedule.

    Raises:
        DataError: A tensor is missing, has another shape or is not known; the sentence names the first.
    """
    source = _Arrays(arrays)
    if source.has("model.final_block.0.weight"):
        raise DataError("model.final_block.0.weight: expected a denoiser, found Diffuser's value network.")
    segment_dim = source.shape("model.final_conv.1.weight", 3)[0]
    if segment_dim != observation_dim + action_dim:
        raise DataError(
            f"model.final_conv.1.weight: expected {action_dim} + {observation_dim} numbers a step, as the task has, "
            f"found {segment_dim}."
        )
    config = _config(source)
    network = _network(source, segment_dim, action_dim, config)
    (steps,) = source.shape("betas", 1)
    schedule = {name: source.take(name, steps) for name in _SCHEDULE}
    horizon = source.shape("loss_fn.weights", 2)[0]
    _check_action_dim(source.take("loss_fn.weights", horizon, segment_dim), action_dim)
    source.check_all_taken()
    return Imported(network, config, horizon, schedule["betas"])


def _config(source: _Arrays) -> TemporalConfig:
    width = source.shape("model.time_mlp.1.weight", 2)[1]
    sizes, level = [], 0
    while level == 0 or source.has(f"model.downs.{level}.0.blocks.0.block.0.weight"):
        sizes.append(source.shape(f"model.downs.{level}.0.blocks.0.block.0.weight", 3)[0])
        level += 1
    kernel = source.shape("model.downs.0.0.blocks.0.block.0.weight", 3)[2]
    if width % _GROUPS or kernel % 2 == 0 or any(size % width for size in sizes):
        raise DataError(
            f"model.downs: expected levels of a multiple of {width} channels, a multiple of {_GROUPS}, and an odd "
            f"kernel, found {sizes} and {kernel}."
        )
    return TemporalConfig(width, tuple(size // width for size in sizes), kernel)


def _network(source: _Arrays, segment_dim: int, action_dim: int, config: TemporalConfig) -> TemporalUNet:
    sizes, width, kernel = config.sizes, config.width, config.kernel
    ins = (segment_dim, *sizes)

    def block(name: str, size_in: int, size_out: int) -> ResidualBlock:
        return _residual(source, name, size_in, size_out, width, kernel)

    def two(name: str, size_in: int, size_out: int) -> tuple[ResidualBlock, ResidualBlock]:
        return block(f"{name}.0", size_in, size_out), block(f"{name}.1", size_out, size_out)

    upward = list(zip(reversed(sizes[1:]), reversed(sizes[:-1]), strict=True))
    last = sizes[-1]
    return TemporalUNet(
        time=TimeEmbedding(
            (
                _linear(source, "model.time_mlp.1", width, 4 * width),
                _linear(source, "model.time_mlp.3", 4 * width, width),
            ),
            None,
        ),
        down=tuple(two(f"model.downs.{n}", ins[n], sizes[n]) for n in range(len(sizes))),
        # Place 2 of a level is the attention, or nothing.
        downsample=tuple(
            Downsample(*_conv(source, f"model.downs.{n}.3.conv", size, size, 3)) for n, size in enumerate(sizes[:-1])
        ),
        middle=(block("model.mid_block1", last, last), block("model.mid_block2", last, last)),
        up=tuple(two(f"model.ups.{n}", 2 * deep, shallow) for n, (deep, shallow) in enumerate(upward)),
        upsample=tuple(_transposed(source, f"model.ups.{n}.3.conv", shallow) for n, (_, shallow) in enumerate(upward)),
        exit_block=_conv_block(source, "model.final_conv.0", sizes[0], sizes[0], kernel),
        exit=_one_by_one(source, "model.final_conv.1", sizes[0], segment_dim),
        action_dim=action_dim,
    )


def _linear(source: _Arrays, name: str, size_in: int, size_out: int) -> Dense:
    weight, bias = source.take(f"{name}.weight", size_out, size_in), source.take(f"{name}.bias", size_out)
    return Dense(jnp.asarray(weight.T), jnp.asarray(bias))


def _one_by_one(source: _Arrays, name: str, size_in: int, size_out: int) -> Dense:
    weight, bias = source.take(f"{name}.weight", size_out, size_in, 1), source.take(f"{name}.bias", size_out)
    return Dense(jnp.asarray(weight[..., 0].T), jnp.asarray(bias))


def _conv(source: _Arrays, name: str, size_in: int, size_out: int, width: int) -> tuple[jnp.ndarray, jnp.ndarray]:
    weight, bias = source.take(f"{name}.weight", size_out, size_in, width), source.take(f"{name}.bias", size_out)
    return jnp.asarray(weight.transpose(2, 1, 0)), jnp.asarray(bias)


def _transposed(source: _Arrays, name: str, size: int) -> Upsample:
    weight, bias = source.take(f"{name}.weight", size, size, 4), source.take(f"{name}.bias", size)
    return Upsample(jnp.asarray(weight.transpose(2, 0, 1)), jnp.asarray(bias))


def _conv_block(source: _Arrays, name: str, size_in: int, size_out: int, kernel: int) -> ConvBlock:
    conv = Conv(*_conv(source, f"{name}.block.0", size_in, size_out, kernel))
    scale, bias = (jnp.asarray(source.take(f"{name}.block.2.{part}", size_out)) for part in ("weight", "bias"))
    return ConvBlock(conv, GroupNorm(scale, bias, _GROUPS))


def _residual(source: _Arrays, name: str, size_in: int, size_out: int, embedding: int, kernel: int) -> ResidualBlock:
    return ResidualBlock(
        _conv_block(source, f"{name}.blocks.0", size_in, size_out, kernel),
        _conv_block(source, f"{name}.blocks.1", size_out, size_out, kernel),
        _linear(source, f"{name}.time_mlp.1", embedding, size_out),
        None if size_in == size_out else _one_by_one(source, f"{name}.residual_conv", size_in, size_out),
    )


def _check_action_dim(weights: np.ndarray, action_dim: int) -> None:
    """Check that the loss weighs the first action's numbers more, and as many as the task has."""
    heavier = int((weights[0] > weights[0, -1]).sum())
    if heavier not in (0, action_dim):
        raise DataError(
            f"loss_fn.weights: expected the first {action_dim} numbers of a segment to be its action, found {heavier}."
        )
