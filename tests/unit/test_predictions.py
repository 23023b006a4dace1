"""R^2 of rewards by hand, and which frame a prediction is of."""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import _predictions as predictions
from _predictions import Predicted, explained_variance, score_predictions
from surefoot.data.frames import Frames, from_episodes


def test_explained_variance_by_hand() -> None:
    found = np.array([0.0, 0.0, 4.0, 0.0], np.float32)
    # The mean is 1; squared distances from it 1 + 1 + 9 + 1 = 12.
    assert explained_variance(np.full(4, 1.0), found) == 0.0
    assert explained_variance(found, found) == 1.0
    # Errors 0, 0, 2, 1: 5 of 12 are left.
    assert explained_variance(np.array([0.0, 0.0, 2.0, 1.0]), found) == pytest.approx(1 - 5 / 12)
    assert explained_variance(np.zeros(4), np.ones(4, np.float32)) is None


def test_the_first_frame_of_an_episode_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.zeros((2, 4, 2, 2, 3), np.uint8)
    rewards = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 3.0]], np.float32)
    costs = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], np.float32)
    data = from_episodes("HazardRun", images, np.zeros((2, 3, 2), np.float32), rewards, costs)

    def predict(algorithm: Any, state: Any, frames: Frames, key: jax.Array) -> tuple[Predicted, Predicted]:
        # Right everywhere but in first frames; one decision ahead the costs come out the wrong way round.
        wrong = jnp.where(frames.is_first, 99.0, frames.reward)
        return Predicted(wrong, frames.cost), Predicted(jnp.full_like(wrong, 4 / 6), -frames.cost)

    monkeypatch.setattr(predictions, "_predict", predict)
    nobody: Any = SimpleNamespace()
    scores = score_predictions(nobody, None, data)
    assert scores["seen"] == {"reward_r2": 1.0, "cost_auroc": 1.0}
    assert scores["ahead"]["cost_auroc"] == 0.0
    assert scores["ahead"]["reward_r2"] == pytest.approx(0.0, abs=1e-6)
