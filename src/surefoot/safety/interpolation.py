"""Interpolation on regular grids by Lagrange polynomials: weights of a few neighbors, and weighted sums of arrays."""

import numpy as np
from jaxtyping import Float

SHIFT_TAPS = 6
"""Grid points along each axis from which a shifted field is interpolated."""


def shifted(
    padded: Float[np.ndarray, "wide wide"], border: int, cells_x: float, cells_y: float
) -> Float[np.ndarray, "x y"]:
    """Inner part of a field, sampled some grid cells further.

    Args:
        padded: Field with padding [wide, wide].
        border: Cells of padding at each side.
        cells_x: Shift along the first axis, in cells.
        cells_y: Shift along the second axis, in cells.

    Returns:
        Field without padding [x, y].
    """
    size = len(padded) - 2 * border
    taps, weights = stencil(np.array([cells_x, cells_y]) + border, SHIFT_TAPS, None)
    rows = blend([padded[tap : tap + size] for tap in taps[0]], weights[0])
    return blend([rows[:, tap : tap + size] for tap in taps[1]], weights[1])


def blend(fields: list[np.ndarray], weights: Float[np.ndarray, " taps"]) -> np.ndarray:
    """Weighted sum of fields.

    Args:
        fields: float32 arrays of one shape, as many as weights.
        weights: Weights [taps].

    Returns:
        float32 array of that shape.
    """
    total = np.float32(weights[0]) * fields[0]
    for other, weight in zip(fields[1:], weights[1:], strict=True):
        total += np.float32(weight) * other
    return total


def stencil(
    position: Float[np.ndarray, " n"], taps: int, points: int | None
) -> tuple[np.ndarray, Float[np.ndarray, "n taps"]]:
    """Grid points around positions, with their Lagrange weights.

    Args:
        position: Positions in grid units [n].
        taps: Number of grid points.
        points: Size of the grid, within which the points are kept; None: unbounded.

    Returns:
        (indices [n, taps], weights [n, taps]).
    """
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
