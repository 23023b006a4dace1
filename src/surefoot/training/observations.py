"""Checks of observations and budgets that a user gives to a policy."""

from typing import Any

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from surefoot.errors import ConfigError


def checked_numbers(
    observation: ArrayLike, width: int, *, task_file: dict[str, Any] | None = None
) -> Float[np.ndarray, "*n obs"]:
    """One observation or many as float32.

    Args:
        observation: Numbers, [width] or [n, width].
        width: Numbers of one observation.
        task_file: Task file of the run, which names the columns in errors.

    Returns:
        The observations, [*n, width].

    Raises:
        ConfigError: The shape is another, or a number is not finite.
    """
    try:
        rows = np.asarray(observation, np.float32)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"observation: expected numbers of shape [{width}] or [n, {width}], found others.") from error
    if rows.ndim not in (1, 2) or rows.shape[-1] != width:
        raise ConfigError(f"observation: expected shape [{width}] or [n, {width}], found {list(rows.shape)}.")
    finite = np.isfinite(rows)
    if not finite.all():
        *row, column = np.argwhere(~finite)[0].tolist()
        name = "" if task_file is None else f" ({task_file['observation']['columns'][column]})"
        place = "".join(f" of observation {number}" for number in row)
        raise ConfigError(
            f"observation: expected finite numbers, found {rows[(*row, column)]} in column {column}{name}{place}."
        )
    return rows


def checked_images(observation: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """One image or many, flat.

    Args:
        observation: uint8 images of `shape`, or [n, *shape].
        shape: Height, width, channels.

    Returns:
        Images, [*n, numbers], uint8.

    Raises:
        ConfigError: The dtype or the shape is another.
    """
    images = np.asarray(observation)
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[-3:] != shape:
        raise ConfigError(
            f"observation: expected uint8 images of shape {list(shape)} or [n, ...], "
            f"found {images.dtype} {list(images.shape)}."
        )
    return images.reshape(*images.shape[:-3], -1)


def budget_of_each(left: np.ndarray, rows: np.ndarray) -> Float[np.ndarray, " n"]:
    """One budget for each observation.

    Args:
        left: One budget, or as many as observations.
        rows: Observations, [*n, obs].

    Returns:
        Budgets, [*n].

    Raises:
        ConfigError: There is another number of budgets.
    """
    shape = rows.shape[:-1]
    if left.shape not in ((), shape):
        raise ConfigError(
            f"remaining_budget: expected one number or the shape {list(shape)}, found {list(left.shape)}."
        )
    return np.broadcast_to(left, shape).astype(np.float32)
