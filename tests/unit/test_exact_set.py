"""The exact feasible set against hand arithmetic, a Hamilton-Jacobi solver and a search over controls."""

from types import ModuleType

import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.envs.point_robot import constraint
from surefoot.errors import ConfigError
from surefoot.safety.exact import ExactSet, solve_point_robot


@pytest.fixture(scope="module")
def exact() -> ExactSet:
    return solve_point_robot(spacing=0.1)


@pytest.fixture(scope="module")
def checks() -> ModuleType:
    """benchmarks/exact_set.py, whose checks run here on less."""
    import exact_set  # it needs a second to compile

    return exact_set


def test_standing_still_the_value_is_the_constraint(exact):
    poses = np.array([[0.4, -1.2, 0, 1.0], [1.0, 1.0, 0, -2.0], [-2.9, 2.9, 0, 0.3]])
    np.testing.assert_allclose(exact.value(poses), constraint(jnp.asarray(poses[:, :2])), atol=1e-5)


def test_driving_straight_away_the_value_is_the_constraint(exact):
    # East of the first hazard, heading east: h = 0.8 - 1.1 now and less later.
    assert exact.value(np.array([[1.5, -1.2, 1.5, 0.0]]))[0] == pytest.approx(-0.3, abs=1e-3)


def test_deep_inside_a_hazard_driving_on_is_worth_the_way_to_the_centre(exact):
    # 0.1 m before the centre at 1 m/s it cannot but pass close by: turning for 0.1 s moves it sideways by only about
    # 0.05 * 0.05 = 2.5 mm. So V is within that (and the interpolation) of h at the centre, and never above.
    assert 0.788 < exact.value(np.array([[0.3, -1.2, 1.0, 0.0]]))[0] <= np.float32(0.8)


def test_the_published_start_is_barely_feasible(exact):
    assert exact.value(np.array([[-1.8, 0.0, 2.0, np.pi / 4]]))[0] == pytest.approx(-0.057, abs=0.003)


def test_backwards_is_forwards_facing_the_other_way(exact):
    generator = np.random.default_rng(0)
    poses = generator.uniform([-2.5, -2.5, 0, -np.pi], [2.5, 2.5, 2.5, np.pi], (200, 4))
    turned = poses * [1, 1, -1, 1] + [0, 0, 0, np.pi]
    np.testing.assert_allclose(exact.value(poses), exact.value(turned), atol=1e-5)
    np.testing.assert_allclose(exact.value(poses), exact.value(np.add(poses, [0, 0, 0, 4 * np.pi])), atol=1e-5)


def test_the_hazards_mirror_in_the_origin_and_so_does_the_value(exact):
    generator = np.random.default_rng(1)
    poses = generator.uniform([-2.5, -2.5, 0, -np.pi], [2.5, 2.5, 2.5, np.pi], (200, 4))
    np.testing.assert_allclose(exact.value(poses), exact.value(poses * [-1, -1, 1, 1] + [0, 0, 0, np.pi]), atol=1e-4)


def test_faster_is_never_safer_and_now_counts(exact):
    generator = np.random.default_rng(2)
    poses = generator.uniform([-2.9, -2.9, 0, -np.pi], [2.9, 2.9, 2.0, np.pi], (500, 4))
    value = exact.value(poses)
    assert (value >= np.asarray(constraint(jnp.asarray(poses[:, :2], jnp.float32)))).all()
    # 5 mm: interpolation across the kinks of V.
    assert (exact.value(np.add(poses, [0, 0, 0.5, 0])) >= value - 5e-3).all()


def test_the_end_of_the_episode_changes_no_sign(exact, checks):
    # Outside the arena h is at most -1: the hazards' centres are at least 1.8 m from every edge, 0.8 - 1.8 = -1.
    edge = np.linspace(-3, 3, 601)
    border = np.concatenate([np.stack([edge, np.full_like(edge, side)], -1) for side in (-3, 3)])
    border = np.concatenate([border, border[:, ::-1]])
    assert float(constraint(jnp.asarray(border, jnp.float32)).max()) == pytest.approx(-1.0, abs=1e-5)
    # A robot in the goal could brake on safely, so ending there cannot have made an infeasible state feasible.
    assert checks.largest_value_in_goal(exact, speed=2.5) < -0.2


def test_outside_the_arena_the_episode_is_over(exact):
    # h of (0.4, -3.2): 0.8 - 2.
    assert exact.value(np.array([[0.4, -3.2, 2.0, np.pi / 2]]))[0] == pytest.approx(-1.2, abs=1e-5)
    # Just inside and heading for the hazard, it cannot stop in time: 1 m to the rim, 2^2 / 2 = 2 m to a stand.
    assert exact.value(np.array([[0.4, -2.999, 2.0, np.pi / 2]]))[0] > 0


def test_a_finer_grid_moves_the_border_by_less_than_two_millimetres(exact, checks):
    finer = solve_point_robot(spacing=0.07, top_speed=1.5)
    for speed, heading in checks.SLICES:
        poses = checks.slice_poses(speed, heading, resolution=101)
        difference = checks.compare(exact.value(poses), finer.value(poses))
        assert difference["mean_border_difference"] < 1e-3
        assert difference["p99_border_difference"] < 4e-3
        assert difference["iou"] > 0.995


def test_searching_for_controls_never_beats_it_and_comes_near(exact, checks):
    result = checks.check_search(exact, states=60, samples=200)
    assert result["states_where_value_exceeds_h"] >= 20
    gap = dict(zip(result["quantiles"], result["gap"]["best"], strict=True))
    # Measured for 600 states in benchmarks/results/exact_set.json; the coarse grid errs most on the hazards' centres.
    assert gap[0.0] > -0.02
    assert abs(gap[0.5]) < 5e-4
    assert gap[1.0] < 0.02
    near = dict(zip(result["quantiles"], result["gap_near_border"]["best"], strict=True))
    assert near[0.0] > -4e-3


def test_a_hamilton_jacobi_solver_agrees(exact, checks):
    # One hazard's neighbourhood at up to 1 m/s, 0.2 m apart.
    box = checks.HJBox((-1.0, -2.6, -0.2), (1.8, 0.2, 1.0), (15, 15, 7, 16))
    rows = checks.check_hj(exact, box, accuracy="very_high", rim=0.3)
    assert len(rows) == 5
    for row in rows:
        assert row["iou"] > 0.95
        # Continuous time brakes shorter, by at most v dt / 2; 1 mm for two coarse grids.
        assert row["continuous_time_bound"] - 1e-3 < row["mean_border_difference"] < 1e-3


@pytest.mark.parametrize(
    ("poses", "sentence"),
    [
        (np.zeros((3, 11)), r"poses: expected shape \(n, 4\) for x, y, v, theta, found \(3, 11\)"),
        (np.array([[0, 0, 0, 0], [0, np.nan, 0, 0]]), "expected finite numbers, found .* in row 1"),
        (np.array([[0, 0, 0, 0], [0, 0, -2.7, 0]]), "expected speeds within 2.5 m/s, found -2.7 in row 1"),
    ],
)
def test_poses_it_cannot_value_are_refused(exact, poses, sentence):
    with pytest.raises(ConfigError, match=sentence):
        exact.value(poses)


def test_no_poses_have_no_values(exact):
    assert exact.value(np.zeros((0, 4))).shape == (0,)


@pytest.mark.parametrize(("options", "sentence"), [({"spacing": 0}, "spacing"), ({"headings": 4}, "headings")])
def test_useless_grids_are_refused(options, sentence):
    with pytest.raises(ConfigError, match=f"{sentence}: expected .* found"):
        solve_point_robot(**options)
