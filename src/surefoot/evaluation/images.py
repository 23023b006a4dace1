"""Episodes of a policy that sees images, and how well its infeasibility foresees violations."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from surefoot.data.frames import FrameData, Frames, from_episodes
from surefoot.envs import hazard_run
from surefoot.envs.pure import PureTask
from surefoot.envs.pure_rollouts import Episodes, roll_out_whole
from surefoot.evaluation.metrics import area_under_curve

WITHIN = 5
"""Steps ahead that a violation should be foreseen."""
_SEED = 7_04_2024


def evaluate_seed(
    algorithm: Any, state: Any, task: PureTask, name: str, *, episodes: int, seed: int
) -> tuple[list[dict[str, Any]], FrameData]:
    """(a row for each episode as `metrics` describes them, its frames). The starts are the same for every seed and
    algorithm."""
    starts = jax.random.split(jax.random.key(_SEED), episodes)
    found = _roll_out(algorithm, state, starts, jax.random.fold_in(jax.random.key(_SEED + 1), seed), task=task)
    sums, visited = jax.tree.map(np.asarray, (found.sums, found.visited))
    reached = np.asarray(hazard_run.in_goal(found.last_state))
    rows = [
        {
            "seed": int(seed),
            "start": "drawn",
            "episode": episode,
            "return": float(sums.episode_return[episode]),
            "cost": float(sums.cost[episode]),
            "length": int(sums.length[episode]),
            "violating_steps": int(sums.violating_steps[episode]),
            "reached_goal": bool(reached[episode]),
        }
        for episode in range(episodes)
    ]
    images = np.concatenate([visited.observation, visited.last_observation[:, None]], 1)
    return rows, from_episodes(name, images, visited.action, visited.reward, visited.cost)


@partial(jax.jit, static_argnames=("algorithm", "task"))
def _roll_out(algorithm: Any, state: Any, starts: Key[Array, " n"], key: Key[Array, ""], *, task: PureTask) -> Episodes:
    return roll_out_whole(algorithm.policy(state), task, starts, key, keep=True)


def violation_ahead(costs: Float[np.ndarray, "n t"], *, within: int) -> Bool[np.ndarray, "n t"]:
    """Whether a frame, or one of the `within` after it, costs something; the episode's last frames see less far."""
    bad = costs > 0
    padded = np.pad(bad, ((0, 0), (0, within)))
    shifted = np.stack([padded[:, shift : shift + bad.shape[1]] for shift in range(within + 1)])
    return np.asarray(shifted.any(0))


def score_infeasibility(algorithm: Any, state: Any, frames: FrameData) -> dict[str, float | None]:
    """Area under the ROC curve of p for a violation within `WITHIN` steps, over frames of episodes of one length: over
    all of them, and over those that do not violate already. None where one of the two kinds does not occur."""
    episodes = len(frames.lengths)

    def shaped(values: np.ndarray) -> np.ndarray:
        return values.reshape(episodes, -1, *values.shape[1:])

    arrays = (frames.observations, frames.actions, frames.rewards, frames.costs, frames.is_first, frames.terminated)
    batch = Frames(*(jnp.asarray(shaped(array)) for array in arrays))
    p = np.asarray(_infeasibility(algorithm, state, batch, jax.random.key(_SEED + 2)))[:, :-WITHIN]
    costs = shaped(frames.costs)
    ahead = violation_ahead(costs, within=WITHIN)[:, :-WITHIN]
    calm = costs[:, :-WITHIN] == 0
    return {"all": area_under_curve(p, ahead), "not_violating_yet": area_under_curve(p[calm], ahead[calm])}


@partial(jax.jit, static_argnames="algorithm")
def _infeasibility(algorithm: Any, state: Any, batch: Frames, key: Key[Array, ""]) -> Float[Array, "n t"]:
    return algorithm.window_infeasibility(state, batch, key)
