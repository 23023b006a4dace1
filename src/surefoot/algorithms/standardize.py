"""Inputs of networks in units of the data's own spread, so that no hyper-parameter depends on the units of a log.

Pure functions; the results are kept in the state, and acting standardizes as training did.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from surefoot.types import DataSpec, Transition

CONSTANT = 1e-7
"""A column whose standard deviation is at most this share of its largest size is constant but for rounding."""
BEYOND = 0.5
"""Widths of the data's range that an observation may lie beyond it before it is clipped."""


class ObservationScale(NamedTuple):
    """Mean and standard deviation of observations, each [obs]."""

    mean: Float[Array, " obs"]
    inverse: Float[Array, " obs"]
    """1 / standard deviation; 0 for a constant column."""
    low: Float[Array, " obs"]
    """Smallest standardized number."""
    high: Float[Array, " obs"]


class InputScales(NamedTuple):
    """What observations and rewards are divided by."""

    observation: ObservationScale
    reward: Float[Array, ""]
    """Standard deviation of the rewards."""


def unit_observation_scale(observation_dim: int) -> ObservationScale:
    """A scale that changes nothing, with the shapes of a measured one."""
    zeros, ones = jnp.zeros(observation_dim), jnp.ones(observation_dim)
    return ObservationScale(zeros, ones, zeros - 1e6, zeros + 1e6)


def unit_scales(observation_dim: int) -> InputScales:
    """Scales that change nothing, with the shapes of measured ones."""
    return InputScales(unit_observation_scale(observation_dim), jnp.ones(()))


def observation_scale(observation: Float[Array, "n obs"]) -> ObservationScale:
    """Mean, standard deviation and range of every column.

    Args:
        observation: Observations, [n, obs].

    Returns:
        The scale; a constant column has an inverse deviation of 0.
    """
    first = observation[0]
    shifted = observation - first[None]  # a mean far from 0 takes no digits of what varies
    offset = shifted.mean(0)
    deviation = (shifted - offset[None]).std(0)
    varies = deviation > CONSTANT * jnp.abs(observation).max(0)
    inverse = jnp.where(varies, 1.0 / jnp.where(varies, deviation, 1.0), 0.0)
    low, high = (shifted.min(0) - offset) * inverse, (shifted.max(0) - offset) * inverse
    room = BEYOND * (high - low)
    return ObservationScale(first + offset, inverse, low - room, high + room)


def reward_scale(reward: Float[Array, " n"]) -> Float[Array, ""]:
    """Unit of rewards: their standard deviation, a positive scalar; 1 for constant rewards [n]."""
    deviation = reward.std()
    return jnp.where(deviation > CONSTANT * jnp.abs(reward).max(), deviation, 1.0)


def measured_scales(data: Transition, *, factor: float) -> InputScales:
    """Scales of observations and rewards over the data.

    Args:
        data: N transitions.
        factor: What the rewards of `data` were multiplied by; it stays in the scaled rewards.

    Returns:
        The measured scales.
    """
    return InputScales(observation_scale(data.observation), reward_scale(data.reward) / factor)


def standardized_by(scale: ObservationScale | None, observation: Float[Array, "n obs"]) -> Float[Array, "n obs"]:
    """Observations as networks read them: standardized and clipped to the widened range of the data.

    Args:
        scale: Measured scale, or None for the identity.
        observation: Raw observations, [n, obs].

    Returns:
        Standardized observations, [n, obs].
    """
    if scale is None:
        return observation
    mean, inverse, low, high = (values[None] for values in scale)
    return jnp.clip((observation - mean) * inverse, low, high)


def seen_by(scales: InputScales | None, observation: Float[Array, "n obs"]) -> Float[Array, "n obs"]:
    """Observations as the networks of a state see them.

    Args:
        scales: Scales of the inputs; None: networks see observations as they are.
        observation: Observations, [n, obs].

    Returns:
        Observations, [n, obs].
    """
    return observation if scales is None else standardized_by(scales.observation, observation)


def standardized_batch(scales: InputScales | None, batch: Transition) -> Transition:
    """Batch as the losses read it: observations standardized, rewards divided by their scale.

    Args:
        scales: Measured scales, or None for the identity.
        batch: b transitions.

    Returns:
        The scaled transitions.
    """
    if scales is None:
        return batch
    return batch._replace(
        observation=standardized_by(scales.observation, batch.observation),
        next_observation=standardized_by(scales.observation, batch.next_observation),
        reward=batch.reward / scales.reward,
    )


class MeasuresScales:
    """Part of an algorithm with one phase whose state has `scales`, measured as training begins."""

    training: Any
    phases: Any

    @property
    def calibrated_phases(self) -> tuple[str, ...]:
        """The only phase, where inputs are standardized; else none."""
        return tuple(phase.name for phase in self.phases if self.training.standardize)

    def first_scales(self, spec: DataSpec) -> InputScales | None:
        """Scales before they are measured; None where inputs are not standardized."""
        return unit_scales(spec.observation_dim) if self.training.standardize else None

    def calibrate(self, state: Any, data: Transition, *, phase: str) -> Any:
        """Measure the scales of observations and rewards.

        Args:
            state: Training state, with scales.
            data: N transitions, rewards times `reward_scale`.
            phase: `joint`.

        Returns:
            The state with measured scales.
        """
        return state._replace(scales=measured_scales(data, factor=self.training.reward_scale))
