"""Detection of steps that are like resets: from an episode's last observation to the next one's first.

Two densities of the observation after a step are compared, both with independent columns: that of steps, around the
prediction of a linear model of observation and action, and that of starts, around their mean. A step is like a reset
where the ratio of the two and its length are as large as those of nearly all marked resets. So no threshold is chosen
for a task: marked ends show what an unmarked one looks like.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from surefoot.data.dataset import Dataset
from surefoot.data.frames import FrameData
from surefoot.data.mapping import take_rows
from surefoot.data.steps import rows_within, step_pairs

FEWEST_RESETS = 5
"""Number of marked ends below which it is not known what a reset looks like."""
MISSED = 0.05
"""Share of the marked resets that may be less clear than the threshold."""
SLACK = 0.9
"""Factor on the clearness of marked resets."""
SHORTEST = 1.0
"""Usual residuals below which a marked reset is no longer than a step, as on a road with few cars."""
_RESETS, _FIT, _BLOCK = 1000, 20_000, 16_384
_CAP = 10.0
"""Largest residual of a column that counts, in usual ones: one wild column is no reset."""
_USUAL = 0.9
"""Quantile of the residuals that is called usual."""
_RIDGE = 1e-6


class _Model(NamedTuple):
    varies: Bool[np.ndarray, " obs"]
    mean: Float[np.ndarray, " columns"]
    std: Float[np.ndarray, " columns"]
    weights: Float[np.ndarray, "features columns"]
    """From observation, action and 1 to the change over the step, in standard deviations."""
    usual: Float[np.ndarray, " columns"]
    """Residual of the model that is called usual."""
    start: Float[np.ndarray, "#n columns"]
    start_std: Float[np.ndarray, "#n columns"]


class _Steps(NamedTuple):
    before: Float[np.ndarray, "n obs"]
    actions: Float[np.ndarray, "n act"]
    after: Float[np.ndarray, "n obs"]


class ResetModel(NamedTuple):
    """Model of steps and marked resets, with thresholds of a reset."""

    model: _Model
    ratio: float
    """Log density ratio in nats from which on a step is called a reset."""
    length: float
    """Mean residual from which on a step is called a reset, in usual ones."""


def reset_model(data: Dataset | FrameData, sample: Int[np.ndarray, " m"], *, steps: int) -> ResetModel | None:
    """Fit the model to a sample of the steps inside episodes.

    Args:
        data: Transitions or frames of vectors.
        sample: Rows of the sample [m].
        steps: Number of steps among which resets are looked for.

    Returns:
        The model, or None where resets cannot be told from steps: few ends are marked, or marked resets are like steps.
    """
    resets = _marked_resets(data)
    model = None if resets is None else _fit(_steps_in(data, sample[:_FIT]), resets.after)
    if resets is None or model is None:
        return None
    apart = model._replace(**_starts_without_each(resets.after[:, model.varies].astype(np.float64), model.std))
    ratio, length = (float(SLACK * np.quantile(values, MISSED)) for values in _evidence(apart, resets))
    # An end that is not marked is one row of many: less evidence than this is found by chance.
    if ratio < math.log(steps) or length < SLACK * SHORTEST:
        return None
    return ResetModel(model, ratio, length)


def reset_steps(known: ResetModel, data: Dataset | FrameData, rows: Int[np.ndarray, " n"]) -> np.ndarray:
    """Steps that are like marked resets.

    Args:
        known: Fitted model.
        data: Transitions or frames of vectors.
        rows: Rows of steps inside episodes [n].

    Returns:
        Indices into `rows`.
    """
    found, block = [np.zeros(0, np.int64)], rows_within(data, _BLOCK)
    for at in range(0, len(rows), block):
        ratios, lengths = _evidence(known.model, _steps_in(data, rows[at : at + block]))
        found.append(at + np.flatnonzero((ratios >= known.ratio) & (lengths >= known.length)))
    return np.concatenate(found)


def may_be_reset(known: ResetModel, data: Dataset | FrameData, rows: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Whether each step is more like a start than like a step.

    Args:
        known: Fitted model.
        data: Transitions or frames of vectors.
        rows: Rows of steps inside episodes [n].

    Returns:
        Flags [n].
    """
    if not len(rows):
        return np.zeros(0, bool)
    return _evidence(known.model, _steps_in(data, rows))[0] > 0.0


def _marked_resets(data: Dataset | FrameData) -> _Steps | None:
    """Marked ends as if each were a step to the start that follows; None where they are few."""
    starts = data.episode_starts[1:]
    last = starts - 1
    if isinstance(data, Dataset) and len(data.episode_ends) and (end := data.episode_ends[-1]) < len(data):
        starts, last = np.append(starts, end), np.append(last, end - 1)
    if len(starts) < FEWEST_RESETS:
        return None
    every = max(1, len(starts) // _RESETS)
    starts, last = starts[::every], last[::every]
    before = take_rows({"observations": data.observations, "actions": data.actions}, last)
    after = take_rows({"observations": data.observations}, starts)
    return _Steps(before["observations"], before["actions"], after["observations"])


def _steps_in(data: Dataset | FrameData, rows: Int[np.ndarray, " n"]) -> _Steps:
    before, after = step_pairs(data, rows)
    return _Steps(before, take_rows({"actions": data.actions}, rows)["actions"], after)


def _fit(steps: _Steps, starts: Float[np.ndarray, "k obs"]) -> _Model | None:
    """What steps and starts look like; None where no column varies."""
    varies = steps.before.std(0, dtype=np.float64) > 0
    if not varies.any():
        return None
    before, starts = steps.before[:, varies].astype(np.float64), starts[:, varies].astype(np.float64)
    mean, std = before.mean(0), before.std(0)
    features = _features(before, steps.actions, mean, std)
    change = (steps.after[:, varies] - before) / std
    penalty = _RIDGE * len(features) * np.eye(features.shape[1])
    weights = np.linalg.solve(features.T @ features + penalty, features.T @ change)
    usual = np.quantile(np.abs(change - features @ weights), _USUAL, axis=0) + 1e-3
    return _Model(varies, mean, std, weights, usual, *_spread(starts.mean(0), starts.var(0), len(starts), std))


def _spread(mean: np.ndarray, variance: np.ndarray, count: int, std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the next start: of few starts it lies further from their mean than they do."""
    return mean, np.sqrt(np.maximum(variance, 0.0) * (count + 1) / (count - 1)) + 1e-2 * std


def _starts_without_each(starts: Float[np.ndarray, "k columns"], std: np.ndarray) -> dict[str, np.ndarray]:
    """For each start what starts look like by the others, as for one that is not marked."""
    others, centered = len(starts) - 1, starts - starts.mean(0)
    mean = -centered / others
    variance = ((centered**2).sum(0) - centered**2) / others - mean**2
    mean, spread = _spread(starts.mean(0) + mean, variance, others, std)
    return {"start": mean, "start_std": spread}


def _features(before: np.ndarray, actions: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    return np.concatenate([(before - mean) / std, actions, np.ones((len(before), 1))], 1)


def _evidence(model: _Model, steps: _Steps) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Log ratio of the density of starts to that of steps, in nats, and mean residual, in usual ones."""
    before, after = (part[:, model.varies].astype(np.float64) for part in (steps.before, steps.after))
    change = _features(before, steps.actions, model.mean, model.std) @ model.weights
    residuals = np.minimum(np.abs((after - before) / model.std - change) / model.usual, _CAP)
    # A Laplace density whose quantile is the usual residual, and a normal one.
    step = np.log(model.usual) + residuals * -math.log(1 - _USUAL)
    start = np.log(model.start_std / model.std) + np.minimum(((after - model.start) / model.start_std) ** 2 / 2, 50.0)
    return (step - start).sum(1), residuals.mean(1)
