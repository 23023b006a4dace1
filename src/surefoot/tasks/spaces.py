"""Numbers in Gymnasium's spaces, in one order: a Box by rows, a Dict by its keys, a Tuple by its places.

A Box alone is `observation[0]`, `observation[1]`, ... A part of a Dict has the name of its key, with a number in
brackets where it has several: `speed`, `position[0]`. Parts within parts are joined by dots, and those of a Tuple
count: `observation.0[1]`.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from surefoot.errors import ConfigError


class FlatSpaces(NamedTuple):
    """Names of an environment's observation and action numbers, and bounds of the actions."""

    observation: tuple[str, ...]
    action: tuple[str, ...]
    low: Float[np.ndarray, " act"]
    high: Float[np.ndarray, " act"]

    @classmethod
    def of(cls, env: Any) -> "FlatSpaces":
        """Names and bounds of a Gymnasium environment.

        A part of an observation with the name of an action or of the reward gets `observation.` before its name. Raises
        `ConfigError`, "expected ..., found ...".
        """
        from gymnasium import spaces

        seen, acts = tuple(_names(env.observation_space, "observation", top=True)), env.action_space
        if not isinstance(acts, spaces.Box):
            why = "the algorithms choose real numbers, and have no way to choose one of several"
            raise ConfigError(f"expected actions of a Box, found {acts!s:.80}: {why}")
        low, high = (bound.reshape(-1).astype(np.float64) for bound in (acts.low, acts.high))
        action = tuple(f"action[{number}]" for number in range(len(low)))
        taken = {*action, "reward", "terminated", "truncated"}
        return cls(tuple(f"observation.{name}" if name in taken else name for name in seen), action, low, high)

    @property
    def unbounded(self) -> bool:
        """Whether an action has no finite bounds to scale it by."""
        return not (np.isfinite(self.low).all() and np.isfinite(self.high).all())


def _names(space: Any, name: str, *, top: bool) -> Iterator[str]:
    """Names of the numbers of a space. Raises `ConfigError` for a space that is no Box and not made of Boxes."""
    from gymnasium import spaces  # takes a while, which tables of tasks are spared

    if isinstance(space, spaces.Box):
        count = int(np.prod(space.shape))
        single = count == 1 and not top
        yield from [name] if single else [f"{name}[{number}]" for number in range(count)]
    elif isinstance(space, spaces.Dict):
        for key, part in space.spaces.items():
            yield from _names(part, str(key) if top else f"{name}.{key}", top=False)
    elif isinstance(space, spaces.Tuple):
        for number, part in enumerate(space.spaces):
            yield from _names(part, f"{name}.{number}", top=False)
    else:
        raise ConfigError(f"expected numbers (a Box, or Dicts and Tuples of them), found {space!s:.80} for {name}")


def flat_values(space: Any, value: Any) -> Float[np.ndarray, " n"]:
    """Numbers of a value of a space, in the order of their names.

    Args:
        space: Gymnasium space.
        value: Value of the space.

    Returns:
        float64 numbers [n].
    """
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        return np.concatenate([flat_values(part, value[key]) for key, part in space.spaces.items()])
    if isinstance(space, spaces.Tuple):
        pairs = zip(space.spaces, value, strict=True)
        return np.concatenate([flat_values(part, one) for part, one in pairs])
    return np.asarray(value, np.float64).reshape(-1)
