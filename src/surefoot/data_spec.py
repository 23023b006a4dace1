"""The shapes of a task's data. Apart from `surefoot.types`, so that tasks and worker processes need no JAX."""

from dataclasses import dataclass
from typing import Annotated

from surefoot.ranges import COUNT, Range, Ranged


@dataclass(frozen=True)
class DataSpec(Ranged):
    """Shapes of a task's data, which an algorithm knows before it sees any of them. Hashable."""

    observation_dim: Annotated[int, Range(COUNT)]
    """Numbers in an observation."""
    action_dim: Annotated[int, Range(COUNT)]
    """Numbers in an action; each lies in [-1, 1]."""
    horizon: Annotated[int, Range(COUNT)]
    """Longest episode, in environment steps."""
    image_shape: Annotated[tuple[int, int, int] | None, Range(COUNT)] = None
    """Height, width and channels of images; None where observations are vectors."""

    @property
    def observation_shape(self) -> tuple[int, ...]:
        """Shape of one observation."""
        return (self.observation_dim,) if self.image_shape is None else self.image_shape

    @property
    def worded(self) -> str:
        """Shapes in words: "images of 16 x 16 x 3, actions of 2 numbers, episodes of 30 steps"."""
        seen = "observations of {} numbers" if self.image_shape is None else "images of {}"
        shape = " x ".join(map(str, self.observation_shape))
        return f"{seen.format(shape)}, actions of {self.action_dim} numbers, episodes of {self.horizon} steps"
