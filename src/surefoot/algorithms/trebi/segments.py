"""Training data of TREBI: segments of episodes, and reward and cost to go from their starts."""

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from surefoot.data import Dataset, Windows, gather
from surefoot.data.windows import steps_left, steps_taken, sums_to_go, window_starts

_SMALLEST_DEVIATION = 1e-8
TIME_BINS = 10
"""Parts of an episode for which the margin is calibrated."""


class Normalizer(NamedTuple):
    """Scales of the data, kept in the training state so that a checkpoint is complete; all float32."""

    mean: Float[Array, " d"]
    """Mean of actions, then observations, over all steps of complete episodes."""
    deviation: Float[Array, " d"]
    target_mean: Float[Array, " 2"]
    """Mean of reward and cost to come, over all starts."""
    target_deviation: Float[Array, " 2"]

    @staticmethod
    def none(width: int) -> "Normalizer":
        """Normalization without data: the identity on `width` numbers."""
        return Normalizer(jnp.zeros(width), jnp.ones(width), jnp.zeros(2), jnp.ones(2))


class Segments(NamedTuple):
    """B segments of H steps, with reward and cost from their starts to the end of the episode."""

    x: Float[Array, "B H d"]
    """Normalized actions and observations; zeros before normalization after an episode's end."""
    to_come: Float[Array, "B 2"]
    share_left: Float[Array, " B"]


class Batch(NamedTuple):
    """Inputs of an update. The compiled program drops what its phase does not read."""

    segments: Segments
    held_out: Segments


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SegmentData:
    """The data as TREBI reads them: segments, their targets, and held-out ones."""

    windows: Windows
    """Raw actions and observations, [N, act + obs]."""
    to_come: Float[Array, "N 2"]
    """Reward and cost from each step to the end of its episode, discounted, penalties of termination included."""
    share_left: Float[Array, " N"]
    """(longest episode - steps taken) / longest episode, in (0, 1]: the share of the time that a budget is for."""
    held_out: Int[Array, " K"]
    """Starts in episodes that no network learns from, for calibration; int32."""
    statistics: Normalizer
    plan_horizon: int = field(metadata={"static": True})

    @property
    def num_rows(self) -> int:
        """Number of segments that networks learn from."""
        return self.windows.starts.shape[0]

    def take(self, rows: Int[Array, " B"]) -> Batch:
        """The segments with these numbers [B], and as many held-out ones."""
        held_out = self.held_out[rows % self.held_out.shape[0]]
        return Batch(self._segments_at(self.windows.starts[rows]), self._segments_at(held_out))

    def _segments_at(self, starts: Int[Array, " B"]) -> Segments:
        raw, _ = gather(self.windows.steps, self.windows.left, starts, length=self.plan_horizon)
        mean, deviation = self.statistics.mean, self.statistics.deviation
        return Segments((raw - mean[None, None]) / deviation[None, None], self.to_come[starts], self.share_left[starts])


def prepare_segments(
    dataset: Dataset,
    *,
    plan_horizon: int,
    longest: int,
    discounts: tuple[float, float],
    at_termination: tuple[float, float],
    held_out_share: float,
) -> SegmentData:
    """Segments of the data, with reward and cost to come, split into training and held-out episodes.

    Args:
        dataset: Logged episodes with rewards.
        plan_horizon: Steps H of a segment.
        longest: Longest episode, in environment steps.
        discounts: Discounts of reward and of cost, per environment step.
        at_termination: Added to the reward and to the cost of a terminating step.
        held_out_share: Every 1 / share-th episode is held out, the last where there are fewer; 0: none, and `held_out`
            is the training data.

    Returns:
        The segments.

    Raises:
        DataError: No episode is complete, or all are shorter than a plan.
    """
    episodes = np.arange(len(dataset.lengths))
    every = round(1.0 / held_out_share) if held_out_share > 0 else 0
    every = min(every, len(episodes)) if len(episodes) > 1 else 0
    is_held_out = (episodes % every == every - 1) if every else np.zeros(len(episodes), bool)

    def starts_of(chosen: np.ndarray) -> np.ndarray:
        return window_starts(dataset, length=plan_horizon, longest=longest, episodes=chosen)

    starts = starts_of(episodes[~is_held_out])
    held_out = starts_of(episodes[is_held_out]) if is_held_out.any() else starts
    steps = np.concatenate([dataset.actions, dataset.observations], -1).astype(np.float32)
    to_come = np.stack(
        [
            sums_to_go(values, dataset, discount=discount, at_termination=penalty)
            for values, discount, penalty in zip(
                (dataset.required_rewards, dataset.costs), discounts, at_termination, strict=True
            )
        ],
        -1,
    ).astype(np.float32)
    complete = steps[: dataset.episode_ends[-1]].astype(np.float64)
    normalizer = Normalizer(
        mean=_float32(complete.mean(0)),
        deviation=_float32(np.maximum(complete.std(0), _SMALLEST_DEVIATION)),
        target_mean=_float32(to_come[starts].mean(0, dtype=np.float64)),
        target_deviation=_float32(np.maximum(to_come[starts].std(0, dtype=np.float64), _SMALLEST_DEVIATION)),
    )
    return SegmentData(
        windows=Windows(steps, jnp.asarray(steps_left(dataset)), jnp.asarray(starts)),
        to_come=_float32(to_come),
        share_left=_float32((longest - steps_taken(dataset)) / longest),
        held_out=jnp.asarray(held_out),
        statistics=normalizer,
        plan_horizon=plan_horizon,
    )


def residual_quantiles(
    residual: Float[Array, " n"], share_left: Float[Array, " n"], *, bins: int
) -> Float[Array, "bins 101"]:
    """Split-conformal quantiles of residuals for each bin of the time left.

    Level q is the ceil((n + 1) q)-th smallest of the n residuals in the bin (Angelopoulos and Bates, 2021, arXiv
    2107.07511), the largest where that is beyond n; 0 in an empty bin.

    Args:
        residual: Realized minus predicted cost of held-out segments, [n].
        share_left: Share of the episode that is left, in [0, 1], [n].
        bins: Equal parts of (0, 1].

    Returns:
        Quantiles at levels 0, 0.01, ..., 1, [bins, 101].
    """
    levels = np.linspace(0.0, 1.0, 101)

    def of_bin(index: Int[Array, ""]) -> Float[Array, " 101"]:
        member = time_bin(share_left, bins=bins) == index
        count = member.sum()
        ordered = jnp.sort(jnp.where(member, residual, jnp.inf))
        # Rounded before the ceiling: 0.9 (9 + 1) must not become 10.
        place = jnp.ceil(jnp.round((count + 1) * jnp.asarray(levels, jnp.float32), 3)).astype(jnp.int32) - 1
        return jnp.where(count > 0, ordered[jnp.clip(place, 0, jnp.maximum(count - 1, 0))], 0.0)

    return jnp.stack([of_bin(jnp.asarray(index)) for index in range(bins)])


def time_bin(share_left: Float[Array, " n"], *, bins: int) -> Int[Array, " n"]:
    """Index of the bin that the share of the episode left lies in.

    Args:
        share_left: Shares in [0, 1], [n].
        bins: Equal parts of (0, 1].

    Returns:
        Indices in [0, bins), [n].
    """
    return jnp.clip(jnp.ceil(share_left * bins).astype(jnp.int32) - 1, 0, bins - 1)


def _float32(values: np.ndarray) -> Array:
    return jnp.asarray(np.asarray(values, np.float32))
