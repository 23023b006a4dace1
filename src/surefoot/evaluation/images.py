"""Episodes of a policy on images, and how well its infeasibility p predicts violations."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from surefoot.data.frames import FrameData, Frames, from_episodes
from surefoot.envs.pure import PURE_TASKS
from surefoot.evaluation.metrics import area_under_curve
from surefoot.evaluation.outputs import check_episodes
from surefoot.evaluation.pieces import in_pieces
from surefoot.evaluation.rows import episode_row
from surefoot.numerics import check_finite, pinned
from surefoot.protocols import Acts, HasInfeasibility
from surefoot.rollouts import scan
from surefoot.rollouts.acting import episode_keys

WITHIN = 5
"""Steps ahead in which a violation is to be predicted."""
_SEED = 7_04_2024
_AT_ONCE = 64
UNSOUND = "the model's networks overflow on these episodes"
"""Reason of a prediction that is not finite."""


class FirstStates(NamedTuple):
    """First states of episodes."""

    first: scan.First
    sets: Sequence[str]
    """Name of each episode's start set."""


@pinned()
def drawn_states(task: str, *, episodes: int) -> FirstStates:
    """First states that the task draws; equal for every seed and algorithm.

    Args:
        task: Name of the environment.
        episodes: Number of episodes.

    Returns:
        First states, all of the set "drawn".
    """
    keys = jax.random.split(jax.random.key(_SEED), episodes)
    return FirstStates(scan.first_states(PURE_TASKS[task], keys), ["drawn"] * episodes)


@pinned()
def evaluate_from(
    algorithm: Acts, state: Any, task: str, starts: FirstStates, *, seed: int
) -> tuple[list[dict[str, Any]], FrameData]:
    """Episodes of one seed's policy from given first states.

    Args:
        algorithm: The policy's algorithm.
        state: Training state of the seed.
        task: Name of the environment.
        starts: First states.
        seed: Training seed.

    Returns:
        (a row for each episode, the episodes' frames).
    """
    (first, sets), pure = starts, PURE_TASKS[task]
    keys = episode_keys(seed, np.arange(len(sets)))
    found = scan.roll_out(algorithm, state, pure, first, keys=keys, num_envs=len(sets), chunk=pure.horizon, keep=_frame)
    sums: Any = found.sums
    check_episodes(sums.episode_return, sums.cost, axes="episode")
    images, action, reward, cost, entered = found.kept
    last = jax.tree.map(lambda leaf: leaf[np.arange(len(sets)), sums.length - 1], entered)
    reached = np.zeros(len(sets), bool) if pure.succeeded is None else np.asarray(pure.succeeded(last))
    seen = np.concatenate([np.asarray(first.observation)[:, None], images], 1)
    frames = from_episodes(task, seen, action, reward, cost, lengths=sums.length, terminated=sums.terminated)
    return episode_rows(sums, reached, seed=seed, sets=sets), frames


def _frame(algorithm: Acts, state: Any, seen: scan.ScanStep) -> tuple[Any, ...]:
    """What is kept of a step."""
    return seen.result.observation, seen.action, seen.result.reward, seen.result.cost, seen.entered


def episode_rows(sums: Any, reached: Bool[np.ndarray, " n"], *, seed: int, sets: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of episodes, numbered within their start sets.

    Args:
        sums: Returns, costs, lengths and violating steps, each [n].
        reached: Whether each episode reached its goal, [n].
        seed: Training seed.
        sets: Start set of each episode.

    Returns:
        A row for each episode.
    """
    numbers = [list(sets[:place]).count(one) for place, one in enumerate(sets)]
    return [
        episode_row(
            {},
            seed=int(seed),
            start=sets[k],
            episode=numbers[k],
            episode_return=float(sums.episode_return[k]),
            cost=float(sums.cost[k]),
            length=int(sums.length[k]),
            violating_steps=int(sums.violating_steps[k]),
            reached_goal=bool(reached[k]),
        )
        for k in range(len(sets))
    ]


def violation_ahead(costs: Float[np.ndarray, "n t"], *, within: int) -> Bool[np.ndarray, "n t"]:
    """Whether a frame, or one of the `within` frames after it, costs something.

    Args:
        costs: Costs along episodes, [n, t].
        within: Frames ahead.

    Returns:
        Flags, [n, t].
    """
    bad = costs > 0
    padded = np.pad(bad, ((0, 0), (0, within)))
    shifted = np.stack([padded[:, shift : shift + bad.shape[1]] for shift in range(within + 1)])
    return np.asarray(shifted.any(0))


class EpisodeFrames(NamedTuple):
    """Episodes as rows of one length [n, L, ...]; zeros after the end of a shorter one."""

    frames: Frames
    there: Bool[np.ndarray, "n l"]
    """Whether there is a frame."""


def by_episode(data: FrameData) -> EpisodeFrames:
    """Episodes of frames as rows of one length."""
    longest = int(data.lengths.max()) + 1
    there = np.arange(longest)[None] <= data.lengths[:, None]

    def shaped(values: np.ndarray) -> np.ndarray:
        rows = np.zeros((*there.shape, *values.shape[1:]), values.dtype)
        rows[there] = values
        return rows

    arrays = (data.observations, data.actions, data.rewards, data.costs, data.is_first, data.terminated)
    return EpisodeFrames(Frames(*(cast(Array, shaped(array)) for array in arrays)), there)


@pinned()
def infeasibility_along(algorithm: HasInfeasibility, state: Any, episodes: EpisodeFrames) -> Float[np.ndarray, "n l"]:
    """p along whole episodes, as the policy would believe it.

    Args:
        algorithm: Algorithm with an infeasibility.
        state: Training state of one seed.
        episodes: Episodes as rows.

    Returns:
        p, [n, L]; meaningless after an episode's end.

    Raises:
        OutputError: A prediction is not finite.
    """

    def piece(rows: Int[np.ndarray, " n"], first: int) -> Array:
        frames = jax.tree.map(lambda values: jnp.asarray(np.take(values, rows, 0)), episodes.frames)
        return _infeasibility(algorithm, state, frames, _key_of(first))

    found = in_pieces(piece, count=len(episodes.there), size=_AT_ONCE)
    return check_finite("infeasibility (episode, frame)", found, UNSOUND)


def score_infeasibility(algorithm: HasInfeasibility, state: Any, data: FrameData) -> dict[str, float | None]:
    """Area under the ROC curve of p for a violation within `WITHIN` steps.

    Args:
        algorithm: Algorithm with an infeasibility.
        state: Training state of one seed.
        data: Episodes of frames.

    Returns:
        Areas over all frames but each episode's last `WITHIN`, and over those of them without a violation yet; None
        where all or none of the frames are positive.
    """
    episodes = by_episode(data)
    p = infeasibility_along(algorithm, state, episodes)
    costs = np.asarray(episodes.frames.cost)
    ahead = violation_ahead(costs, within=WITHIN)
    foreseeing = episodes.there & (np.arange(p.shape[1])[None] <= data.lengths[:, None] - WITHIN)
    calm = foreseeing & (costs == 0)
    return {
        "all": _area(p[foreseeing], ahead[foreseeing]),
        "not_violating_yet": _area(p[calm], ahead[calm]),
    }


def _area(p: np.ndarray, positive: np.ndarray) -> float | None:
    return area_under_curve(p, positive) if len(p) else None


def _key_of(first: int) -> Key[Array, ""]:
    return jax.random.fold_in(jax.random.key(_SEED + 2), first)


@partial(jax.jit, static_argnames="algorithm")
def _infeasibility(algorithm: HasInfeasibility, state: Any, batch: Frames, key: Key[Array, ""]) -> Float[Array, "n t"]:
    return algorithm.window_infeasibility(state, batch, key)
