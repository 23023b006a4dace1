"""Episodes of a policy that sees images, and how well its infeasibility foresees violations."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from surefoot.data.frames import FrameData, Frames, from_episodes
from surefoot.envs.pure import PureTask
from surefoot.evaluation.metrics import area_under_curve
from surefoot.evaluation.outputs import check_episodes
from surefoot.evaluation.pieces import in_pieces
from surefoot.evaluation.rows import episode_row
from surefoot.numerics import check_finite, pinned
from surefoot.protocols import Acts, HasInfeasibility
from surefoot.rollouts import scan
from surefoot.rollouts.acting import episode_keys

WITHIN = 5
"""Steps ahead that a violation should be foreseen."""
_SEED = 7_04_2024
_AT_ONCE = 64
UNSOUND = "the model's networks overflow on these episodes"
"""Why a prediction is not finite."""


@pinned()
def evaluate_seed(
    algorithm: Acts, state: Any, task: PureTask, name: str, *, episodes: int, seed: int
) -> tuple[list[dict[str, Any]], FrameData]:
    """(a row for each episode, its frames as those of the task `name`). The starts are the same for every seed and
    algorithm."""
    first = scan.first_states(task, jax.random.split(jax.random.key(_SEED), episodes))
    return evaluate_from(algorithm, state, task, name, first=first, sets=["drawn"] * episodes, seed=seed)


@pinned()
def evaluate_from(
    algorithm: Acts, state: Any, task: PureTask, name: str, *, first: scan.First, sets: Sequence[str], seed: int
) -> tuple[list[dict[str, Any]], FrameData]:
    """The same from given first states; `sets` names the start set of each."""
    keys = episode_keys(seed, np.arange(len(sets)))
    found = scan.roll_out(algorithm, state, task, first, keys=keys, num_envs=len(sets), chunk=task.horizon, keep=_frame)
    sums: Any = found.sums
    check_episodes(sums.episode_return, sums.cost, axes="episode")
    images, action, reward, cost, entered = found.kept
    last = jax.tree.map(lambda leaf: leaf[np.arange(len(sets)), sums.length - 1], entered)
    reached = np.zeros(len(sets), bool) if task.succeeded is None else np.asarray(task.succeeded(last))
    seen = np.concatenate([np.asarray(first.observation)[:, None], images], 1)
    frames = from_episodes(name, seen, action, reward, cost, lengths=sums.length, terminated=sums.terminated)
    return episode_rows(sums, reached, seed=seed, sets=sets), frames


def _frame(algorithm: Acts, state: Any, seen: scan.ScanStep) -> tuple[Any, ...]:
    """What is kept of a step."""
    return seen.result.observation, seen.action, seen.result.reward, seen.result.cost, seen.entered


def episode_rows(sums: Any, reached: Bool[np.ndarray, " n"], *, seed: int, sets: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each episode; they are numbered within the start set that each belongs to."""
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
    """Whether a frame, or one of the `within` after it, costs something; the episode's last frames see less far."""
    bad = costs > 0
    padded = np.pad(bad, ((0, 0), (0, within)))
    shifted = np.stack([padded[:, shift : shift + bad.shape[1]] for shift in range(within + 1)])
    return np.asarray(shifted.any(0))


class EpisodeFrames(NamedTuple):
    """Episodes as rows of one length [n, L, ...]; zeros behind the end of a shorter one."""

    frames: Frames
    there: Bool[np.ndarray, "n l"]
    """Where there is a frame."""


def by_episode(data: FrameData) -> EpisodeFrames:
    """Every episode from its first frame to its last."""
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
    """p along whole episodes, as the policy would believe it; meaningless behind their ends."""

    def piece(rows: Int[np.ndarray, " n"], first: int) -> Array:
        frames = jax.tree.map(lambda values: jnp.asarray(np.take(values, rows, 0)), episodes.frames)
        return _infeasibility(algorithm, state, frames, _key_of(first))

    found = in_pieces(piece, count=len(episodes.there), size=_AT_ONCE)
    return check_finite("infeasibility (episode, frame)", found, UNSOUND)


def score_infeasibility(algorithm: HasInfeasibility, state: Any, data: FrameData) -> dict[str, float | None]:
    """Area under the ROC curve of p for a violation within `WITHIN` steps, over all frames but the last `WITHIN` of
    each episode, and over those of them that do not violate already. None where one of the two kinds does not occur."""
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
