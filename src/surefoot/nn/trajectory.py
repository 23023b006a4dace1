"""Networks over whole segments: the denoiser of Diffuser (Janner et al., 2022, arXiv 2205.09991) and the value of a
noisy segment, as TREBI uses both (Lin et al., 2023, arXiv 2306.00603)."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot.kernels.activations import mish
from surefoot.nn.networks import Dense
from surefoot.nn.temporal import (
    ConvBlock,
    Downsample,
    ResidualBlock,
    TimeEmbedding,
    Upsample,
    dense,
    with_random_kernels,
)
from surefoot.ranges import Range, Ranged, Relation


@dataclass(frozen=True)
class TemporalConfig(Ranged, part="network"):
    """Sizes of a network over segments."""

    width: Annotated[int, Range("[8, 65536]")] = 32
    """Channels of the first level, and units of the embedding of the diffusion time; a multiple of 8."""
    multipliers: Annotated[tuple[int, ...], Range("[1, 1024]", fewest=1)] = (1, 2, 4, 8)
    """Channels of each level per channel of the first; time is halved between levels."""
    kernel: Annotated[int, Range("[1, 1023]")] = 5
    """Steps that a convolution spans; odd."""

    def _relations(self) -> Iterator[Relation]:
        yield Relation(self.width % 8 == 0, "width", f"expected a multiple of 8, found {self.width}")
        yield Relation(self.kernel % 2 == 1, "kernel", f"expected an odd number, found {self.kernel}")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.width * multiplier for multiplier in self.multipliers)


class TemporalUNet(eqx.Module):
    """Denoiser: predicts the clean segment in a noisy one at diffusion time t."""

    time: TimeEmbedding
    down: tuple[tuple[ResidualBlock, ResidualBlock], ...]
    downsample: tuple[Downsample, ...]
    middle: tuple[ResidualBlock, ResidualBlock]
    up: tuple[tuple[ResidualBlock, ResidualBlock], ...]
    upsample: tuple[Upsample, ...]
    exit_block: ConvBlock
    exit: Dense
    action_dim: int = eqx.field(static=True)
    """Numbers of an action. A step of a segment is its action, then its observation."""

    @staticmethod
    def create(key: Key[Array, ""], observation_dim: int, action_dim: int, config: TemporalConfig) -> "TemporalUNet":
        """Network with random kernels.

        Args:
            key: Random key.
            observation_dim: Numbers of an observation.
            action_dim: Numbers of an action.
            config: Sizes of the levels.

        Returns:
            The denoiser.
        """
        segment_dim = action_dim + observation_dim
        sizes, embedding, width = config.sizes, config.width, config.kernel

        def two(size_in: int, size_out: int) -> tuple[ResidualBlock, ResidualBlock]:
            first = ResidualBlock.create(size_in, size_out, embedding=embedding, width=width)
            return first, ResidualBlock.create(size_out, size_out, embedding=embedding, width=width)

        upward = list(itertools.pairwise(reversed(sizes)))
        network = TemporalUNet(
            time=TimeEmbedding.create(embedding),
            down=tuple(two(size_in, size_out) for size_in, size_out in itertools.pairwise((segment_dim, *sizes))),
            downsample=tuple(Downsample.create(size) for size in sizes[:-1]),
            middle=two(sizes[-1], sizes[-1]),
            up=tuple(two(2 * deep, shallow) for deep, shallow in upward),
            upsample=tuple(Upsample.create(shallow) for _, shallow in upward),
            exit_block=ConvBlock.create(sizes[0], sizes[0], width=width),
            exit=dense(sizes[0], segment_dim),
            action_dim=action_dim,
        )
        return with_random_kernels(network, key)

    def __call__(self, x: Float[Array, "B H d"], t: Float[Array, " b"]) -> Float[Array, "B H d"]:
        """Predict clean segments.

        Args:
            x: Noisy segments [B, H, d]; H is a multiple of 2^(levels - 1).
            t: Diffusion times [B], or [1] for all.

        Returns:
            Clean segments [B, H, d].
        """
        embedding = self.time(t)
        skips = []
        for level, blocks in enumerate(self.down):
            for block in blocks:
                x = block(x, embedding)
            skips.append(x)
            if level < len(self.downsample):
                x = self.downsample[level](x)
        for block in self.middle:
            x = block(x, embedding)
        for blocks, upsample in zip(self.up, self.upsample, strict=True):
            x = jnp.concatenate([x, skips.pop()], -1)  # the shallowest skip is never used
            for block in blocks:
                x = block(x, embedding)
            x = upsample(x)
        x = self.exit_block(x)
        return self.exit(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:2], -1)


class TrajectoryValue(eqx.Module):
    """Value of noisy segments: predicts numbers, such as the reward and the cost to come, at diffusion time t."""

    time: TimeEmbedding
    levels: tuple[tuple[ResidualBlock, ResidualBlock, Downsample], ...]
    middle: tuple[tuple[ResidualBlock, Downsample], ...]
    hidden: Dense
    exit: Dense
    horizon: int = eqx.field(static=True)
    """Steps of its segments."""

    @staticmethod
    def create(
        key: Key[Array, ""],
        segment_dim: int,
        horizon: int,
        config: TemporalConfig,
        *,
        outputs: int = 1,
        conditions: int = 0,
    ) -> "TrajectoryValue":
        """Network with random kernels.

        Args:
            key: Random key.
            segment_dim: Numbers of a step of a segment: action and observation.
            horizon: Steps of a segment.
            config: Sizes of the levels.
            outputs: Numbers that are predicted.
            conditions: Further input numbers; 0: none.

        Returns:
            The value network.
        """
        sizes, embedding, width = config.sizes, config.width, config.kernel
        levels = tuple(
            (
                ResidualBlock.create(size_in, size_out, embedding=embedding, width=width),
                ResidualBlock.create(size_out, size_out, embedding=embedding, width=width),
                Downsample.create(size_out),
            )
            for size_in, size_out in itertools.pairwise((segment_dim, *sizes))
        )
        # The normalisation has 8 groups of channels, so these halve down to 8 only, and to multiples of it.
        narrower = (sizes[-1], *(max(sizes[-1] // part // 8 * 8, 8) for part in (2, 4)))
        middle = tuple(
            (ResidualBlock.create(wide, narrow, embedding=embedding, width=width), Downsample.create(narrow))
            for wide, narrow in itertools.pairwise(narrower)
        )
        length = horizon
        for _ in range(len(levels) + len(middle)):
            length = (length + 1) // 2
        features = length * narrower[-1]
        network = TrajectoryValue(
            time=TimeEmbedding.create(embedding, conditions=conditions),
            levels=levels,
            middle=middle,
            hidden=dense(features + embedding, features // 2),
            exit=dense(features // 2, outputs),
            horizon=horizon,
        )
        return with_random_kernels(network, key)

    def __call__(
        self, x: Float[Array, "B H d"], t: Float[Array, " b"], condition: Float[Array, "b k"] | None = None
    ) -> Float[Array, "B outputs"]:
        """Predict values of noisy segments.

        Args:
            x: Noisy segments [B, H, d].
            t: Diffusion times [B], or [1] for all.
            condition: Further inputs [B, conditions], or [1, conditions] for all; None where the network takes none.

        Returns:
            Values [B, outputs].
        """
        embedding = self.time(t, condition)
        for first, second, downsample in self.levels:
            x = downsample(second(first(x, embedding), embedding))
        for block, downsample in self.middle:
            x = downsample(block(x, embedding))
        return value_exit(x, embedding, self.hidden, self.exit)


def value_exit(
    features: Float[Array, "B L c"], embedding: Float[Array, "b e"], hidden: Dense, exit_layer: Dense
) -> Float[Array, "B outputs"]:
    """The two dense layers behind a value's convolutions.

    Args:
        features: Output of the convolutions [B, L, c].
        embedding: Embedding of diffusion time and conditions [B, e], or [1, e] for all.
        hidden: First layer.
        exit_layer: Last layer.

    Returns:
        Values [B, outputs].
    """
    flat = features.reshape(features.shape[0], -1)
    beside = embedding if embedding.shape[0] == flat.shape[0] else embedding.repeat(flat.shape[0], 0)
    return exit_layer(mish(hidden(jnp.concatenate([flat, beside], -1))))
