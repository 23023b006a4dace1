"""How well a world model predicts rewards and costs of episodes that it never saw.

Two predictions of each frame's reward and cost: "seen", by the belief that has the frame's image; "ahead", by the
belief of the frame before and the action taken there, without the image. The score of rewards is R^2, the share of
their variance that is explained: 0 is the mean predictor's, with the held-out mean. The score of costs is the area
under the ROC curve of the predicted cost for "this decision costs something"; the mean predictor's is 0.5.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from surefoot import world_model
from surefoot.data.frames import FrameData, Frames
from surefoot.evaluation.images import UNSOUND, by_episode
from surefoot.evaluation.metrics import area_under_curve
from surefoot.numerics import check_finite, pinned
from surefoot.protocols import HasWorldModel

_SEED = 24_11_2026


class Predicted(NamedTuple):
    """Of every frame [b, t]; of the first one of an episode nothing is meant."""

    reward: Float[Array, "b t"]
    cost: Float[Array, "b t"]


@pinned()
def score_predictions(algorithm: HasWorldModel, state: Any, data: FrameData) -> dict[str, dict[str, float | None]]:
    """For "seen" and "ahead" R^2 of the reward and AUROC of the cost, over all frames but the first of each episode."""
    seen: list[tuple[Predicted, Predicted]] = []
    kept: list[tuple[np.ndarray, ...]] = []
    starts, ends = data.episode_starts.tolist(), data.episode_ends.tolist()
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        # An episode at a time: its images may have to be read from a file.
        arrays = {name: np.asarray(array[start:end]) for name, array in data.arrays().items()}
        episode = by_episode(FrameData(data.task, **arrays))
        key = jax.random.fold_in(jax.random.key(_SEED), number)
        found = _predict(algorithm, state, jax.tree.map(jnp.asarray, episode.frames), key)
        check = partial(check_finite, f"prediction of episode {number} (frame)", reason=UNSOUND)
        seen.append(jax.tree.map(lambda values, check=check: check(np.asarray(values)[0, 1:]), found))
        kept.append((arrays["rewards"][1:], arrays["costs"][1:]))
    rewards, costs = (np.concatenate(values) for values in zip(*kept, strict=True))
    scores = {}
    for place, name in enumerate(("seen", "ahead")):
        reward, cost = (np.concatenate(values) for values in zip(*(one[place] for one in seen), strict=True))
        scores[name] = {
            "reward_r2": explained_variance(reward, rewards),
            "cost_auroc": area_under_curve(cost, costs > 0),
        }
    return scores


def explained_variance(predicted: Float[np.ndarray, " n"], found: Float[np.ndarray, " n"]) -> float | None:
    """R^2 = 1 - sum of squared errors / sum of squared distances from the mean; None where all numbers are the same."""
    spread = float(np.square(found - found.mean(dtype=np.float64)).sum(dtype=np.float64))
    if spread == 0.0:
        return None
    return 1.0 - float(np.square(predicted - found).sum(dtype=np.float64)) / spread


@partial(jax.jit, static_argnames="algorithm")
def _predict(algorithm: HasWorldModel, state: Any, frames: Frames, key: Key[Array, ""]) -> tuple[Predicted, Predicted]:
    """(seen, ahead) of windows [B, T, ...]."""
    model = world_model.in_precision(state.model, algorithm.world_model)
    k_observe, k_ahead = jax.random.split(key)
    latent = world_model.observe(model, frames, k_observe).latent
    count, length = frames.is_first.shape
    flat = jax.tree.map(lambda leaf: leaf[:, :-1].reshape(-1, *leaf.shape[2:]), latent)
    actions = frames.action[:, :-1].reshape(count * (length - 1), -1)
    entered = world_model.imagine(model, flat, lambda features, _: actions, k_ahead, horizon=1).latent.features[1]
    ahead = entered.reshape(count, length - 1, -1)
    ahead = jnp.concatenate([latent.features[:, :1], ahead], 1)
    seen = Predicted(model.predict_reward(latent.features), model.predict_cost(latent.features))
    return seen, Predicted(model.predict_reward(ahead), model.predict_cost(ahead))
