"""Detection of steps that are too long to be steps: ends that are not marked, so that two episodes count as one.

A reset that is mistaken for a step changes most columns of the observation by more than steps do. It is told from
contacts and other violent steps in three ways: it is like the resets at marked ends (`surefoot.data.resets`), it lands
near where episodes start, or it stands apart from all other steps.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from surefoot.data.dataset import Dataset
from surefoot.data.frames import FrameData
from surefoot.data.resets import may_be_reset, reset_model, reset_steps
from surefoot.data.steps import IMAGES, inner_steps, rows_within, step_pairs

USUAL = 0.9
"""Quantile of the steps that is called usual. At most a tenth of the rows may be resets."""
FEWEST_STEPS = 50
"""Number of steps below which none is called usual."""
NEAR_START = 0.5
"""Share of a jump's length within which it lands near a start."""
LONG, LONG_AMID_STARTS = 2.0, 4.0
"""Usual scores from which on a step near a start is a jump; the second where starts lie among all other states."""
COMMON_STARTS = 0.02
"""Share of all rows near a start from which on starts are said to lie among all other states."""
APART, APART_LEAST = 1.8, 2.0
"""Ratio to the next smaller score, and usual scores, from which on steps stand apart from the others."""
PLACE_FACTOR, PLACE_LEAST, PLACE_START = 10.0, 0.1, 0.05
"""Usual steps, meters, and share of its own length from a start place: a jump along the track is longer, and lands
nearer."""
PLACE_IMPOSSIBLE = 0.5
"""Meters in a step of at most a twentieth of a second that no robot moves, wherever it lands."""
_CAP = 10.0
"""Largest change of a column that counts, in usual steps: one wild column is no reset."""
_SAMPLE, _BLOCK, _CANDIDATES, _STARTS = 20_000, 16_384, 1000, 1000


class Jumps(NamedTuple):
    """Rows that a jump leaves, in order."""

    rows: Int[np.ndarray, " n"]
    lengths: Float[np.ndarray, " n"]
    """Lengths in usual steps."""


NONE = Jumps(np.zeros(0, np.int64), np.zeros(0))


def observation_jumps(data: Dataset | FrameData) -> Jumps:
    """Jumps of the observations inside episodes; of images the first frames are examined."""
    rows, starts = inner_steps(data)
    if len(rows) < FEWEST_STEPS:
        return NONE
    sample = rows[:: max(1, len(rows) // _SAMPLE)]
    scale = _scale(data, sample)
    if scale is None:
        return NONE
    block = rows_within(data, _BLOCK)
    scores = np.concatenate(
        [_scores(*step_pairs(data, rows[at : at + block]), scale) for at in range(0, len(rows), block)]
    )
    usual = float(np.quantile(scores, USUAL)) or 1.0
    near = _near_starts(data, rows, starts, scores, usual, sample, scale)
    known = reset_model(data, sample, steps=len(rows)) if data.observations.ndim == 2 else None
    if known is not None:
        # Contacts right after a start end near starts, too: what a step would do tells them apart.
        near = near[may_be_reset(known, data, rows[near])]
        near = np.union1d(near, reset_steps(known, data, rows))
    found = np.union1d(_apart(scores, usual), near).astype(np.int64)
    return Jumps(rows[found], scores[found] / usual)


def place_jumps(places: Float[np.ndarray, " N"], ended: Bool[np.ndarray, " N"]) -> Jumps:
    """Jumps of a robot on a track to where episodes start, or further than any step goes, where no episode has ended.

    Args:
        places: Place along the track before each step in meters [N].
        ended: Whether an episode ends with the step [N].

    Returns:
        The jumps, lengths in usual steps.
    """
    inside = np.flatnonzero(~ended[:-1])
    if len(inside) < FEWEST_STEPS:
        return NONE
    steps = np.abs(np.diff(places))[inside]
    usual = float(np.quantile(steps, USUAL))
    starts = places[np.append(0, np.flatnonzero(ended[:-1]) + 1)]
    landed = places[inside + 1]
    beside = np.maximum(0.0, np.maximum(starts.min() - landed, landed - starts.max()))
    # Marked starts may be few: the first row's place is one in any case.
    near = (steps >= PLACE_LEAST) & (beside <= PLACE_START * steps)
    impossible = (steps >= PLACE_IMPOSSIBLE) & (steps > 2 * PLACE_FACTOR * usual)
    found = (steps > PLACE_FACTOR * usual) & (near | impossible)
    return Jumps(inside[found], steps[found] / max(usual, 1e-9))


class _Scale(NamedTuple):
    step: Float[np.ndarray, " columns"]
    """Usual step of each column that varies; of images one number."""
    spread: Float[np.ndarray, " columns"]
    """Standard deviation of each of these columns."""
    varies: Any
    """Columns that vary."""


def _scale(data: Dataset | FrameData, sample: np.ndarray) -> _Scale | None:
    if data.observations.ndim > 2:
        sample = sample[:: max(1, len(sample) // 500)]
    before, after = step_pairs(data, sample)
    sizes = np.abs(after.astype(np.float64) - before)
    varies = (sizes > 0).any(0)
    if not varies.any():
        return None
    spread = before[:, varies].std(0, dtype=np.float64) + 1e-12
    if data.observations.ndim > 2:  # most pixels change rarely: the usual step is that of the picture
        return _Scale(np.full(1, sizes[:, varies].mean() + 1e-12), spread, varies)
    return _Scale(np.maximum(np.quantile(sizes[:, varies], USUAL, axis=0), 1e-3 * spread), spread, varies)


def _scores(before: np.ndarray, after: np.ndarray, scale: _Scale) -> Float[np.ndarray, " n"]:
    """Mean over the columns of each step, in usual steps."""
    sizes = np.abs(after[:, scale.varies] - before[:, scale.varies])
    if len(scale.step) == 1 and len(scale.spread) > 1:
        return sizes.mean(1, dtype=np.float64) / scale.step[0]
    return np.minimum(sizes / scale.step, _CAP).mean(1, dtype=np.float64)


def _apart(scores: Float[np.ndarray, " n"], usual: float) -> Int[np.ndarray, " k"]:
    """Steps that are longer than all others by a wide gap."""
    order = np.argsort(-scores)[: len(scores) // 10 + 2]
    sizes = scores[order]
    gaps = np.flatnonzero((sizes[:-1] >= APART * sizes[1:]) & (sizes[:-1] >= APART_LEAST * max(usual, 1e-9)))
    return order[: gaps[-1] + 1] if len(gaps) else order[:0]


def _near_starts(
    data: Dataset | FrameData,
    rows: np.ndarray,
    starts: np.ndarray,
    scores: np.ndarray,
    usual: float,
    sample: np.ndarray,
    scale: _Scale,
) -> Int[np.ndarray, " k"]:
    """Long steps that land near where episodes start."""
    candidates = np.flatnonzero(scores > LONG * usual)
    candidates = candidates[np.argsort(-scores[candidates])][: rows_within(data, _CANDIDATES)]
    if not len(candidates):
        return candidates
    limit = IMAGES if isinstance(data, FrameData) and data.observations.ndim > 2 else len(data.costs)
    starts = starts[starts < limit - 1]
    starts = starts[:: max(1, len(starts) // rows_within(data, _STARTS))]
    origin = step_pairs(data, starts)[0][:, scale.varies] / scale.spread
    before, after = (part[:, scale.varies] / scale.spread for part in step_pairs(data, np.sort(rows[candidates])))
    order = np.argsort(rows[candidates], kind="stable")
    lengths = np.sqrt(((after - before) ** 2).mean(1))
    some = step_pairs(data, sample[:: max(1, len(sample) // 300)])[1][:, scale.varies] / scale.spread
    amid = (_distances(some, origin) < NEAR_START * np.median(lengths)).mean() > COMMON_STARTS
    near = _distances(after, origin) < NEAR_START * lengths
    chosen = candidates[order][near]
    return chosen[scores[chosen] > (LONG_AMID_STARTS if amid else LONG) * usual]


def _distances(states: np.ndarray, origin: np.ndarray) -> Float[np.ndarray, " n"]:
    """Root mean square distance of each state from the nearest of the origins."""
    return np.array([np.sqrt(((origin - state) ** 2).mean(1).min()) for state in states])
