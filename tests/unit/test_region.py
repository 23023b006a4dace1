"""Scores of feasible regions, counted by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.envs.point_robot import observe, pose_of
from surefoot.errors import ConfigError
from surefoot.safety.exact import ExactSet, slice_poses, solve_point_robot
from surefoot.safety.region import SLICES, score_region, score_seeds


@pytest.fixture(scope="module")
def exact() -> ExactSet:
    return solve_point_robot(spacing=0.15, headings=64, top_speed=1.5)


def test_scores_by_hand():
    # Infeasible exactly: points 0-3; called infeasible: 1-4. Both 3, either 5; missed 1 of 4; 1 of 6 feasible alarmed.
    exact = np.array([1, 1, 1, 1, -1, -1, -1, -1, -1, 0.0])
    learned = np.array([-1, 1, 1, 1, 1, -1, -1, -1, -1, 0.0])
    score = score_region(learned, exact)
    assert score.iou == pytest.approx(3 / 5)
    assert score.false_safe_rate == pytest.approx(1 / 4)
    assert score.false_alarm_rate == pytest.approx(1 / 6)


def test_zero_is_feasible():
    assert score_region(np.array([0.0, 1.0]), np.array([-1.0, 1.0])) == (1.0, 0.0, 0.0)


def test_empty_regions_have_scores():
    assert score_region(np.full(3, -1.0), np.full(3, -1.0)) == (1.0, 0.0, 0.0)
    assert score_region(np.full(3, 1.0), np.full(3, -1.0)) == (0.0, 0.0, 1.0)
    assert score_region(np.full(3, -1.0), np.full(3, 1.0)) == (0.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("learned", "exact", "sentence"),
    [
        (np.zeros(3), np.zeros(4), r"same points, found shapes \(3,\) and \(4,\)"),
        (np.zeros(0), np.zeros(0), "found shapes"),
        (np.array([np.nan, 1.0]), np.zeros(2), "learned values: expected numbers, found 1 NaN"),
        (np.zeros(2), np.array([np.nan, np.nan]), "exact values: expected numbers, found 2 NaN"),
    ],
)
def test_unusable_values_are_refused(learned, exact, sentence):
    with pytest.raises(ConfigError, match=sentence):
        score_region(learned, exact)


def test_slice_poses_are_cell_centres():
    # Three cells of width 2 between -3 and 3: centres -2, 0, 2; x runs fastest.
    poses = slice_poses(0.5, 1.0, resolution=3, extent=3.0)
    assert poses.shape == (9, 4)
    np.testing.assert_allclose(poses[:4, 0], [-2, 0, 2, -2])
    np.testing.assert_allclose(poses[:4, 1], [-2, -2, -2, 0])
    np.testing.assert_array_equal(poses[:, 2:], np.tile([0.5, 1.0], (9, 1)))
    assert np.abs(slice_poses(0.5, 1.0)[:, :2]).max() < 2.7


def scores_of(value, exact, *, resolution):
    """Scores of a function of observations on every slice."""
    poses = [slice_poses(*one, resolution=resolution) for one in SLICES]
    learned = [value(np.asarray(observe(jnp.asarray(one, jnp.float32)))) for one in poses]
    found = score_seeds(np.stack(learned)[:, None], np.stack([exact.value(one) for one in poses]))
    return {name: of_seed for name, (of_seed,) in found.items()}


def test_the_exact_value_scores_perfectly_and_a_shifted_one_errs_on_its_side(exact):
    def shifted(by):
        return lambda observations: exact.value(np.asarray(pose_of(observations))) + by

    right = scores_of(shifted(0.0), exact, resolution=41)
    # The way through the observation costs a rounding of the pose, which may move a point on the border.
    assert all(iou > 0.995 for iou in right["iou"])
    bold, shy = scores_of(shifted(-0.2), exact, resolution=41), scores_of(shifted(0.2), exact, resolution=41)
    for index in range(len(SLICES)):
        assert bold["false_safe_rate"][index] > 0.05
        assert bold["false_alarm_rate"][index] == 0
        assert shy["false_safe_rate"][index] == 0
        assert shy["false_alarm_rate"][index] > 0.01


def test_calling_everything_feasible_misses_everything(exact):
    scores = scores_of(lambda observations: np.full(len(observations), -1.0), exact, resolution=21)
    assert scores == {"iou": [0.0] * 3, "false_safe_rate": [1.0] * 3, "false_alarm_rate": [0.0] * 3}
