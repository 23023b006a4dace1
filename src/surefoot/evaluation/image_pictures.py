"""Pictures of a run on images: the world model's open-loop predictions, and u = 1 - p along an episode.

For any algorithm with a `world_model` configuration and states with a `model`; only images have pictures.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from surefoot import world_model
from surefoot.data.frames import FrameData, Frames
from surefoot.evaluation.images import EpisodeFrames, by_episode, infeasibility_along
from surefoot.numerics import pinned
from surefoot.protocols import Algorithm, HasInfeasibility, HasWorldModel

CONTEXT, AHEAD = 3, 12
"""Frames that the model observes, and frames that it then predicts."""
EPISODES = 3
"""Rows of predictions."""
_SEED = 24_11_2026


@pinned()
def picture_arrays(algorithm: Algorithm, state: Any, data: FrameData) -> dict[str, np.ndarray]:
    """Arrays of a run's pictures, for `report.image_plots`.

    Args:
        algorithm: Algorithm with a world model.
        state: Training state of one seed.
        data: Episodes of frames.

    Returns:
        Arrays by name; empty for vectors, and without a world model. `truth` and `predicted` [n, T, height, width,
        channels] uint8, of which the model observed the first `context` frames; `frames` [T, ...] of the episode along
        which p varies most, with its `costs` and, where there is one, `infeasibility`.
    """
    if data.observations.dtype != np.uint8 or data.observations.ndim != 4 or not isinstance(algorithm, HasWorldModel):
        return {}
    episodes = by_episode(data)
    arrays = _open_loop(algorithm, state, data, episodes)
    p = infeasibility_along(algorithm, state, episodes) if isinstance(algorithm, HasInfeasibility) else None
    shown = telling_episode(data, p)
    end = int(data.lengths[shown]) + 1
    arrays["frames"] = np.asarray(episodes.frames.observation)[shown, :end]
    arrays["costs"] = np.asarray(episodes.frames.cost)[shown, :end]
    if p is not None:
        arrays["infeasibility"] = p[shown, :end].astype(np.float32)
    return arrays


def telling_episode(data: FrameData, p: Float[np.ndarray, "n l"] | None) -> int:
    """Number of the episode along which p varies most; the longest without p.

    Args:
        data: Episodes.
        p: Infeasibility of each frame, [n, L], or None. Episodes of fewer than 10 steps count only where all are so
            short.

    Returns:
        The number.
    """
    if p is None:
        return int(data.lengths.argmax())
    there = np.arange(p.shape[1])[None] <= data.lengths[:, None]
    span = np.where(there, p, -np.inf).max(1) - np.where(there, p, np.inf).min(1)
    return int(np.where(data.lengths >= min(10, data.lengths.max()), span, -np.inf).argmax())


def _open_loop(algorithm: HasWorldModel, state: Any, data: FrameData, episodes: EpisodeFrames) -> dict[str, np.ndarray]:
    """The longest episodes' first frames and what the model makes of the same actions; at least one is predicted."""
    rows = np.sort(np.argsort(-data.lengths, kind="stable")[:EPISODES])
    length = min(CONTEXT + AHEAD, int(data.lengths[rows].min()) + 1)
    context = min(CONTEXT, length - 1)
    chosen: Frames = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[rows, :length]), episodes.frames)
    predicted = predict(state.model, chosen, jax.random.key(_SEED), config=algorithm.world_model, context=context)
    return {
        "truth": np.asarray(chosen.observation),
        "predicted": np.asarray(predicted),
        "context": np.asarray(context),
    }


@partial(jax.jit, static_argnames=("config", "context"))
def predict(model: Any, frames: Frames, key: Key[Array, ""], *, config: Any, context: int) -> Array:
    """Images that the world model decodes: the first frames after observing them, the others from actions alone.

    Args:
        model: World model.
        frames: Windows of T frames, [n, T, ...].
        key: Random key.
        config: Precision of the model.
        context: Frames that are observed.

    Returns:
        uint8 images, [n, T, height, width, channels].
    """
    k_observe, k_imagine = jax.random.split(key)
    model = world_model.in_precision(model, config)
    seen = world_model.observe(model, jax.tree.map(lambda leaf: leaf[:, :context], frames), k_observe).latent
    start = jax.tree.map(lambda leaf: leaf[:, -1], seen)
    actions = jnp.swapaxes(frames.action[:, context - 1 : -1], 0, 1).astype(start.deterministic.dtype)
    imagined = world_model.imagine_actions(model, start, actions, k_imagine).latent
    features = jnp.concatenate([seen.features, jnp.swapaxes(imagined.features[1:], 0, 1)], 1)
    rows, length = features.shape[:2]
    drawn = model.decoder(features.reshape(rows * length, -1))
    return jnp.round(255.0 * jnp.clip(drawn, 0.0, 1.0)).astype(jnp.uint8).reshape(rows, length, *drawn.shape[1:])
