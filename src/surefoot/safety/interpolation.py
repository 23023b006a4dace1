"""Interpolation on regular grids by Lagrange's polynomials: weights of a few neighbors, and weighted sums of arrays."""

import numpy as np
from jaxtyping import Float

SHIFT_TAPS = 6
"""Grid points along each axis that a shifted field is interpolated from."""


def shifted(
    padded: Float[np.ndarray, "wide wide"], border: int, cells_x: float, cells_y: float
) -> Float[np.ndarray, "x y"]:
    """The inner part of `padded` sampled (cells_x, cells_y) grid cells further, `border` cells being padding."""
    size = len(padded) - 2 * border
    taps, weights = stencil(np.array([cells_x, cells_y]) + border, SHIFT_TAPS, None)
    rows = blend([padded[tap : tap + size] for tap in taps[0]], weights[0])
    return blend([rows[:, tap : tap + size] for tap in taps[1]], weights[1])


def blend(fields: list[np.ndarray], weights: Float[np.ndarray, " taps"]) -> np.ndarray:
    """The weighted sum of equally shaped float32 arrays."""
    total = np.float32(weights[0]) * fields[0]
    for other, weight in zip(fields[1:], weights[1:], strict=True):
        total += np.float32(weight) * other
    return total


def stencil(
    position: Float[np.ndarray, " n"], taps: int, points: int | None
) -> tuple[np.ndarray, Float[np.ndarray, "n taps"]]:
    """Indices [n, taps] around positions in grid units, and Lagrange's weights; kept on a grid of `points` if given."""
    first = np.floor(position).astype(np.int64) - (taps // 2 - 1)
    if points is not None:
        first = np.clip(first, 0, points - taps)
    nodes = np.arange(taps)
    offset = (position - first)[:, None]
    weights = np.ones((len(position), taps))
    for other in nodes:
        factor = (offset - other) / np.where(nodes == other, 1, nodes - other)
        weights *= np.where(nodes == other, 1.0, factor)
    return first[:, None] + nodes, weights
