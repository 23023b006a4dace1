"""Return and costs of a policy estimated by episodes in a model of the log.

- the change of the observation is linear in (s, a) around each (s, a), fitted to the nearest logged steps (locally
  weighted regression; Atkeson, Moore and Schaal, 1997): `_predicted`
- a gain, and whether the episode ends, is predicted in that way or as the mean over the nearest logged states entered,
  whichever predicts other logged episodes better: `LocalModel.by_entry`
- predictions stay within the range of the nearest steps' outcomes; an episode that ends in part goes on in part:
  `rolled_out`

Fitted-Q evaluation over the same steps averages the values of states that lie farther apart than a step leads, at each
step to come, so that differences between policies vanish (docs/audit.md). Here only the change is averaged, and the
policy takes its own path.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import KDTree

from surefoot.audit.fqe import SHARPNESS, LoggedSteps, scale_of

NEIGHBORS = 40
"""Logged steps that a local model is fitted to."""
NEAR_ENTRIES = 5
"""Logged states entered over whose gains a mean is taken."""
RIDGE = 0.1
"""Penalty of slopes in units of the mean squared distance of the weighted steps, so that columns may be collinear."""
OVER = 0.02
"""Part of an episode that goes on below which it is over."""
_TRIED = 500
Act = Callable[[Float[np.ndarray, "n obs"], int], Float[np.ndarray, "n act"]]
"""From (states [n, obs], step of the episode) to the policy's actions [n, act]."""


class LocalModel(NamedTuple):
    """Logged steps by (s, a) and by the state entered, with their outcomes."""

    place: Float[np.ndarray, "n in"]
    """Observation and action of each step, scaled."""
    change: Float[np.ndarray, "n obs"]
    gains: Float[np.ndarray, "n out"]
    """Reward and costs of each step; last whether the episode ended."""
    by_place: KDTree
    by_entered: KDTree
    scales: tuple[Float[np.ndarray, " obs"], Float[np.ndarray, " act"]]
    by_entry: Bool[np.ndarray, " out"]
    """Gains that are predicted by the state entered."""


def local_model(steps: LoggedSteps) -> LocalModel:
    """Model of logged steps. Each gain's predictor is the one with the smaller error on every other episode."""
    scales = scale_of(steps.observation), scale_of(steps.action)
    place = np.concatenate([steps.observation * scales[0], steps.action * scales[1]], 1).astype(np.float64)
    change = steps.next_observation.astype(np.float64) - steps.observation
    gains = np.concatenate([steps.gains, steps.terminated[:, None]], 1).astype(np.float64)
    entered = steps.next_observation * scales[0]

    def model(rows: np.ndarray, by_entry: np.ndarray) -> LocalModel:
        trees = KDTree(place[rows]), KDTree(entered[rows])
        return LocalModel(place[rows], change[rows], gains[rows], *trees, scales, by_entry)

    odd = np.repeat(np.arange(len(steps.starts)) % 2 == 1, steps.lengths)
    by_entry = np.zeros(gains.shape[1], bool)
    if odd.any():
        half, others = model(np.flatnonzero(~odd), by_entry), np.flatnonzero(odd)
        tried = others[np.linspace(0, len(others) - 1, min(_TRIED, len(others))).astype(int)]
        near = _near_steps(half, place[tried])
        both = (half._replace(by_entry=np.full(len(by_entry), kind)) for kind in (False, True))
        errors = [np.square(_expected_gains(one, near, entered[tried]) - gains[tried]).mean(0) for one in both]
        by_entry = errors[1] < errors[0]
    return model(np.arange(len(place)), by_entry)


def rolled_out(
    steps: LoggedSteps, act: Act, first: Float[np.ndarray, "e obs"], *, horizon: int
) -> Float[np.ndarray, "e k"]:
    """Sums of gains over episodes of the policy in a model of the log.

    Args:
        steps: Logged steps.
        act: The policy.
        first: First states, [e, obs].
        horizon: Longest episode, in environment steps.

    Returns:
        Estimated sums, [e, k].
    """
    model = local_model(steps)
    low, high = steps.observation.min(0), steps.observation.max(0)
    here = first.astype(np.float64)
    sums, going = np.zeros((len(first), steps.gains.shape[1])), np.ones(len(first))
    for step in range(horizon):
        on = np.flatnonzero(going >= OVER)
        if not len(on):
            break
        place = np.concatenate([here * model.scales[0], act(here, step) * model.scales[1]], 1)[on]
        near = _near_steps(model, place)
        here[on] = np.clip(here[on] + _predicted(near, model.change), low, high)
        found = _expected_gains(model, near, here[on] * model.scales[0])
        sums[on] += going[on, None] * found[:, :-1]
        going[on] *= 1.0 - np.clip(found[:, -1], 0.0, 1.0)
    return sums


def _expected_gains(
    model: LocalModel, near: "NearSteps", entered: Float[np.ndarray, "m obs"]
) -> Float[np.ndarray, "m out"]:
    """Gains of each step, and the chance that the episode ends with it."""
    found = np.empty((len(entered), model.gains.shape[1]))
    if model.by_entry.any():
        distance, row = _nearest(model.by_entered, entered, NEAR_ENTRIES)
        weight = 1.0 / (distance + 1e-3)
        weight = weight / weight.sum(1, keepdims=True)
        found[:, model.by_entry] = (weight[:, None] @ model.gains[:, model.by_entry][row])[:, 0]
    if not model.by_entry.all():
        found[:, ~model.by_entry] = _predicted(near, model.gains[:, ~model.by_entry])
    return found


class NearSteps(NamedTuple):
    """Logged steps near each of m pairs (s, a), prepared for linear fits to any outcome."""

    row: np.ndarray
    """[m, near]."""
    weight: Float[np.ndarray, "m near"]
    mean_offset: Float[np.ndarray, "m 1 d"]
    """Offset from (s, a) to the weighted mean of the steps, in units of the farthest one's distance."""
    weighted: Float[np.ndarray, "m d near"]
    """Offsets from that mean, weighted."""
    square: Float[np.ndarray, "m d d"]
    """Their weighted second moments, the penalty of slopes added."""


def _near_steps(model: LocalModel, place: Float[np.ndarray, "m in"]) -> NearSteps:
    """The nearest logged steps of each (s, a)."""
    distance, row = _nearest(model.by_place, place, NEIGHBORS)
    far = np.maximum(distance[:, -1:], 1e-12)
    weight = np.exp(-SHARPNESS * np.square(distance / far))
    weight = weight / weight.sum(1, keepdims=True)
    offset = (model.place[row] - place[:, None]) / far[:, :, None]
    mean_offset = weight[:, None] @ offset
    weighted = ((offset - mean_offset) * weight[:, :, None]).swapaxes(1, 2)
    square = weighted @ (offset - mean_offset)
    ridge = RIDGE * np.trace(square, axis1=1, axis2=2)[:, None, None] / square.shape[1] + 1e-12
    return NearSteps(row, weight, mean_offset, weighted, square + ridge * np.eye(square.shape[1]))


def _predicted(near: NearSteps, outcome: Float[np.ndarray, "n out"]) -> Float[np.ndarray, "m out"]:
    """Outcome of each (s, a) by a linear fit to its nearest logged steps."""
    found = outcome[near.row]
    mean = near.weight[:, None] @ found
    slope = np.linalg.solve(near.square, near.weighted @ (found - mean))
    return np.clip((mean - near.mean_offset @ slope)[:, 0], found.min(1), found.max(1))


def _nearest(
    tree: KDTree, queried: Float[np.ndarray, "m d"], count: int
) -> tuple[Float[np.ndarray, "m near"], np.ndarray]:
    """Distances and rows of the nearest."""
    count = min(count, tree.n)
    found = tree.query(queried, count)
    distance, row = (np.asarray(one).reshape(len(queried), count) for one in found)
    return distance, row
