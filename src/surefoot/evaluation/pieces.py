"""Long arrays through a compiled function, piece by piece: all of one length, so one program, and bounded memory."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike


def in_pieces(function: Callable[[Int[np.ndarray, " size"], int], ArrayLike], *, count: int, size: int) -> np.ndarray:
    """`function(rows, first)` of rows 0, ..., `count` - 1, `size` at a time from `first` on, joined [count, ...].

    The last piece is filled up with the last row, whose copies are cut off.
    """
    found = [
        np.asarray(function(np.minimum(np.arange(first, first + size), count - 1), first))
        for first in range(0, count, size)
    ]
    return np.concatenate(found)[:count]
