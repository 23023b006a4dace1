"""Apply a compiled function to long arrays in pieces of one length: one program, and bounded memory."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike


def in_pieces(function: Callable[[Int[np.ndarray, " size"], int], ArrayLike], *, count: int, size: int) -> np.ndarray:
    """Apply a function to rows 0, ..., count - 1 in pieces of equal size.

    Args:
        function: From (rows [size], first row) to results [size, ...].
        count: Rows.
        size: Rows of a piece; copies of the last row fill the last piece.

    Returns:
        Results, [count, ...].
    """
    found = [
        np.asarray(function(np.minimum(np.arange(first, first + size), count - 1), first))
        for first in range(0, count, size)
    ]
    return np.concatenate(found)[:count]
