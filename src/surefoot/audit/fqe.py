"""Fitted-Q evaluation: return and costs of a policy, from logged transitions alone.

Le et al. (2019, arXiv 1903.08738) over a horizon, with averages over similar logged steps as the regression (Ormoneit
and Sen, 2002; Gordon, 1995): no value leaves the range of the logged gains, and every iteration is one sparse product.
Regressions on features diverged on PointRobot (docs/audit.md). Intervals are a bootstrap over episodes (Hao et al.,
2021, arXiv 2102.03607).

- V_0 = 0, Q_k(s, a) = the average of r + V_{k-1}(s') over similar logged steps, V_k(s) = Q_k(s, pi(s)): `fitted_q`
- similar steps have the nearest (s, a), by the distance of `neighbors`

It ranks returns better than costs (docs/audit.md says why); `audit.rollouts` simulates the policy instead. An estimate
holds for states and actions near those of the log; elsewhere it takes the outcome of the nearest logged step.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array
from scipy.spatial import KDTree

NEIGHBORS = 20
"""Similar logged steps that are averaged."""
SHARPNESS = 3.0
"""Weights are exp(-SHARPNESS (d / d_last)^2) at the distance d, with d_last that of the farthest similar step."""
RESAMPLES = 40
"""Resamples of the episodes, for intervals."""
_SEED = 23_2026


class LoggedSteps(NamedTuple):
    """Whole logged episodes, with the policy's actions in their states."""

    observation: Float[np.ndarray, "n obs"]
    action: Float[np.ndarray, "n act"]
    next_observation: Float[np.ndarray, "n obs"]
    next_action: Float[np.ndarray, "n act"]
    """The policy's actions in the states entered."""
    terminated: Bool[np.ndarray, " n"]
    gains: Float[np.ndarray, "n k"]
    """Reward and costs of each step."""
    starts: Int[np.ndarray, " e"]
    """First row of each episode, ascending from 0."""
    first_action: Float[np.ndarray, "e act"]
    """The policy's actions in the first states."""

    @property
    def lengths(self) -> Int[np.ndarray, " e"]:
        """Number of steps of each episode."""
        return np.diff([*self.starts, len(self.observation)])


class Similar(NamedTuple):
    """Similar logged steps of m pairs (s, a)."""

    row: Int[np.ndarray, "m near"]
    weight: Float[np.ndarray, "m near"]
    """Weights that sum to 1."""


class Estimated(NamedTuple):
    """Estimated value of a policy over an episode."""

    mean: Float[np.ndarray, " k"]
    resampled: Float[np.ndarray, "b k"]
    """Values estimated from other draws of the episodes."""


def fitted_q(steps: LoggedSteps, *, horizon: int, resamples: int = RESAMPLES) -> Estimated:
    """Fitted-Q evaluation: value of a policy over an episode from the logged first states.

    Args:
        steps: Logged steps, with the policy's actions.
        horizon: Longest episode, in environment steps.
        resamples: Resamples of the episodes.

    Returns:
        Mean value of each gain, and the same for each resample.
    """
    observations = np.concatenate([steps.next_observation, steps.observation[steps.starts]])
    similar = neighbors(steps, observations, np.concatenate([steps.next_action, steps.first_action]))
    found = []
    for counts in episode_weights(len(steps.starts), resamples):
        values = _first_values(steps, similar, np.repeat(counts, steps.lengths), horizon)
        found.append(counts @ values / counts.sum())
    return Estimated(found[0], np.stack(found[1:]))


def neighbors(
    steps: LoggedSteps, observation: Float[np.ndarray, "m obs"], action: Float[np.ndarray, "m act"]
) -> Similar:
    """Similar logged steps of pairs (s, a).

    Columns are divided by their standard deviations; observation and action then have equal weight, whatever their
    numbers of columns.

    Args:
        steps: Logged steps.
        observation: s, [m, obs].
        action: a, [m, act].

    Returns:
        Rows and weights, [m, near].
    """
    scales = [scale_of(logged) for logged in (steps.observation, steps.action)]
    logged = np.concatenate([values * scale for values, scale in zip(steps[:2], scales, strict=True)], 1)
    queried = np.concatenate([values * scale for values, scale in zip((observation, action), scales, strict=True)], 1)
    count = min(NEIGHBORS, len(logged))
    found = KDTree(logged).query(queried, count)
    distance, row = (np.asarray(one).reshape(len(queried), count) for one in found)
    far = np.maximum(distance[:, -1:], 1e-12)
    weight = np.exp(-SHARPNESS * np.square(distance / far))
    return Similar(row, weight / weight.sum(1, keepdims=True))


def episode_weights(episodes: int, resamples: int) -> Float[np.ndarray, "b e"]:
    """Number of times that each episode counts.

    Args:
        episodes: Number of episodes e.
        resamples: Number of resamples b.

    Returns:
        Once in the first row, then in each resample, [1 + b, e].
    """
    random = np.random.default_rng(_SEED)
    drawn = random.multinomial(episodes, np.full(episodes, 1.0 / episodes), size=resamples)
    return np.concatenate([np.ones((1, episodes)), drawn])


def logged_sums(steps: LoggedSteps) -> Float[np.ndarray, "e k"]:
    """Return and costs of each logged episode, [e, k]."""
    return np.add.reduceat(steps.gains.astype(np.float64), steps.starts, axis=0)


def _first_values(
    steps: LoggedSteps, similar: Similar, counts: Float[np.ndarray, " n"], horizon: int
) -> Float[np.ndarray, "e k"]:
    """V of the horizon in the first states, where each logged step counts so often."""
    weight = similar.weight * counts[similar.row]
    total = weight.sum(1, keepdims=True)
    weight = np.where(total > 0, weight / np.where(total > 0, total, 1.0), similar.weight)
    rows, near = similar.row.shape
    average = csr_array((weight.ravel(), similar.row.ravel(), np.arange(0, rows * near + 1, near)), (rows, len(counts)))
    entered, first = average[: len(counts)], average[len(counts) :]
    gains, continues = steps.gains.astype(np.float64), ~steps.terminated[:, None]
    to_come = gains
    for _ in range(horizon - 1):
        to_come = gains + continues * (entered @ to_come)
    return first @ to_come


def scale_of(columns: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " c"]:
    """Factors [c] that standardize columns [n, c]; 0 for constant ones."""
    deviation = columns.astype(np.float64).std(0)
    varies = deviation > 1e-7 * np.abs(columns).max(0)
    return np.where(varies, 1.0 / np.where(varies, deviation, 1.0), 0.0) / np.sqrt(columns.shape[1])
