"""The record of a step in an environment of pure JAX."""

from typing import NamedTuple

from jaxtyping import Array, Bool, Float


class Entered(NamedTuple):
    """Result of a step beside the state that it enters, of one environment or of several."""

    observation: Array
    """Observation of the state entered, before any reset: float32 [*n, obs], or uint8 images [*n, height, width,
    channels]."""
    reward: Float[Array, "*n"]
    cost: Float[Array, "*n"]
    terminated: Bool[Array, "*n"]
    truncated: Bool[Array, "*n"]
    """The horizon ended the episode; never together with `terminated`."""
    constraint: Float[Array, "*n"] | None = None
    """h of the state entered, in the task's unit, > 0 for a violation; None where the task has no signal."""
