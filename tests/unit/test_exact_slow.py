"""The exact feasible set of PointRobotSlow on tiny grids: hand arithmetic, PointRobot's own set, what is kept."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.envs.point_robot import SLOW_ROBOT, constraint, move
from surefoot.errors import ConfigError, UnknownNameError
from surefoot.safety import exact_sets
from surefoot.safety.exact import solve_point_robot
from surefoot.safety.exact_slow import Grid, SlowSet, _Solver, solve_slow_robot

TINY = Grid(spacing=0.3, headings=12, speed_spacing=0.2, top_speed=1.0, accelerations=5)


def h_of(poses: np.ndarray) -> np.ndarray:
    return np.asarray(constraint(jnp.asarray(poses[:, :2], jnp.float32)))


@pytest.fixture(scope="module")
def slow() -> SlowSet:
    return solve_slow_robot(TINY, tolerance=1e-4)


def test_one_update_by_hand() -> None:
    """From V = h: V(s) = max(h(x, y), h one step further), whatever v and a lead to, for h knows neither."""
    solver = _Solver(TINY, 1.0)
    solver._update(speed=5, index=2, acceleration=0.0)
    # At (-2.3, -1.2) heading east at 1 m/s the first hazard's centre is 2.7 m ahead: h = 0.8 - 2.7 = -1.9 now and
    # 0.8 - 2.65 = -1.85 after 0.05 m. Heading north (6 of 12 headings) it stays: sqrt(2.7^2 + 0.05^2) is further.
    x, y = round(-2.3 / 0.3) + TINY.half, round(-1.2 / 0.3) + TINY.half
    there = h_of(np.array([[-2.4, -1.2], [-2.35, -1.2]]))
    assert solver.values[5, 2, 0, x, y] == pytest.approx(there[1], abs=1e-3)  # grid points are 0.3 apart: x = -2.4
    assert there[1] - there[0] == pytest.approx(0.05, abs=1e-6)
    assert solver.values[5, 2, 6, x, y] == pytest.approx(there[0], abs=1e-6)
    assert (solver.values[4] == solver.h).all()  # nothing else was updated


def test_standing_still_the_value_is_the_constraint(slow: SlowSet) -> None:
    poses = np.array([[0.3, -1.2, 0, 1.0, 0], [0.9, 0.9, 0, -2.0, 0], [-2.7, 2.7, 0, 0.3, 0]])
    np.testing.assert_allclose(slow.value(poses), h_of(poses), atol=1e-3)


def test_braking_needs_the_way_that_the_lag_adds(slow: SlowSet) -> None:
    """Heading for the middle of the arena's two hazards nothing is near; heading away from one V is h; heading for one
    at 1 m/s from 1.2 m before its rim, a robot with a = 0 can still turn aside, one with a = 1 is worse off."""
    away = np.array([[1.5, -1.2, 1.0, 0.0, 0.0]])
    assert slow.value(away)[0] == pytest.approx(h_of(away)[0], abs=2e-2)
    ahead = np.array([[0.4, -2.4, 1.0, np.pi / 2, a] for a in (-1.0, 0.0, 1.0)])
    braking, coasting, speeding = slow.value(ahead)
    assert braking < coasting < speeding
    assert speeding - braking > 0.1


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(-2.9, 2.9), y=st.floats(-2.9, 2.9), v=st.floats(-1, 1), theta=st.floats(-7, 7), a=st.floats(-1, 1)
)  # fmt: skip
def test_the_value_is_at_least_h_and_has_its_symmetries(slow, x, y, v, theta, a) -> None:
    pose = np.array([[x, y, v, theta, a]])
    value = slow.value(pose)[0]
    assert h_of(pose)[0] - 1e-6 <= value <= 0.8 + 1e-6
    # Driving backwards is driving forwards facing the other way; the hazards mirror in the origin.
    for same in ([x, y, -v, theta + np.pi, -a], [-x, -y, v, theta + np.pi, a], [-x, -y, -v, theta, -a]):
        assert slow.value(np.array([same]))[0] == pytest.approx(value, abs=1e-4)


def test_without_lag_it_is_point_robots_set() -> None:
    """Whatever the acceleration was. Speeds 0.1 m/s apart, where PointRobot's are known 0.05 m/s apart."""
    grid = Grid(spacing=0.3, headings=12, speed_spacing=0.1, top_speed=0.8, accelerations=4)
    slow = solve_slow_robot(grid, lag=0.0, tolerance=1e-4)
    plain = solve_point_robot(spacing=0.3, headings=24, top_speed=0.8)
    generator = np.random.default_rng(0)
    poses = generator.uniform([-2.9, -2.9, 0.0, -np.pi, -1], [2.9, 2.9, 0.6, np.pi, 1], (400, 5))
    difference = np.abs(slow.value(poses) - plain.value(poses[:, :4]))
    assert difference.mean() < 2e-3
    assert difference.max() < 0.05  # on the kinks, which a grid of 0.3 m smears


def test_no_random_controls_do_better(slow: SlowSet) -> None:
    """A safe way that is driven proves V* <= its worst h; the tiny grid errs by centimetres."""
    generator = np.random.default_rng(1)
    poses = generator.uniform([-2.5, -2.5, 0.2, -np.pi, -0.5], [2.5, 2.5, 0.8, np.pi, 0.5], (20, 5)).astype(np.float32)
    states = jnp.asarray(np.repeat(poses[:, None], 64, 1))
    worst = np.asarray(constraint(states[..., :2]))
    controls = generator.choice([-1.0, 1.0], (60, 20, 64, 2)).astype(np.float32)
    held = controls[np.arange(60) // 10 * 10]
    for number in range(60):
        # Brakes by what it will be as fast as, and so comes to rest.
        brake = np.clip(-4 * np.asarray(states[..., 2] + states[..., 4]), -1, 1)
        throttle = np.where(number < 10, held[number, ..., 0], brake)
        states = move(states, jnp.asarray(np.stack([throttle, held[number, ..., 1]], -1)), lag=SLOW_ROBOT.lag)
        worst = np.maximum(worst, np.asarray(constraint(states[..., :2])))
    gap = worst.min(1) - slow.value(poses)
    assert gap.min() > -0.06
    assert np.quantile(gap, 0.5) < 0.1  # and they come near


def test_outside_the_arena_the_episode_is_over(slow: SlowSet) -> None:
    outside = np.array([[0.4, -3.2, 1.0, np.pi / 2, 0.0]])
    assert slow.value(outside)[0] == pytest.approx(-1.2, abs=1e-5)  # 0.8 - 2


@pytest.mark.parametrize(
    ("poses", "sentence"),
    [
        (np.zeros((3, 4)), r"expected shape \(n, 5\) for x, y, v, theta, a, found \(3, 4\)"),
        (np.array([[0, 0, 0, np.nan, 0]]), "expected finite numbers, found .* in row 0"),
        (np.array([[0, 0, 0, 0, 0], [0, 0, 1.2, 0, 0]]), "expected speeds within 1 m/s, found 1.2 in row 1"),
        (np.array([[0, 0, 0, 0, -1.1]]), r"expected accelerations within 1 m/s\^2, found -1.1 in row 0"),
    ],
)
def test_poses_it_cannot_value_are_refused(slow: SlowSet, poses: np.ndarray, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        slow.value(poses)


@pytest.mark.parametrize("field", ["spacing", "speed_spacing", "headings", "accelerations", "top_speed"])
def test_useless_grids_are_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=r"expected .* found"):
        Grid(**{field: 0})


def test_values_that_do_not_settle_are_refused() -> None:
    with pytest.raises(ConfigError, match="settle within 1 sweeps"):
        solve_slow_robot(TINY, most_sweeps=1)


def test_a_set_is_solved_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: SlowSet) -> None:
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path))
    solved = []

    def solve(grid: Grid, **_: object) -> SlowSet:
        solved.append(grid)
        return slow

    monkeypatch.setattr(exact_sets, "solve_slow_robot", solve)
    poses = np.random.default_rng(0).uniform([-3, -3, 0, -3, -1], [3, 3, 1, 3, 1], (50, 5))
    first = exact_sets.kept_slow_set(SLOW_ROBOT, grid=TINY).value(poses)
    np.testing.assert_allclose(first, slow.value(poses), atol=2e-3)  # float16
    np.testing.assert_array_equal(exact_sets.kept_slow_set(SLOW_ROBOT, grid=TINY).value(poses), first)
    assert len(solved) == 1
    (file,) = (tmp_path / "exact-sets").iterdir()
    file.write_bytes(file.read_bytes()[:1000])  # cut: solved again
    np.testing.assert_array_equal(exact_sets.kept_slow_set(SLOW_ROBOT, grid=TINY).value(poses), first)
    assert len(solved) == 2
    # Where nothing can be written it is solved every time.
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("SUREFOOT_HOME", str(blocked))
    np.testing.assert_array_equal(exact_sets.kept_slow_set(SLOW_ROBOT, grid=TINY).value(poses), first)
    assert len(solved) == 3


def test_a_task_without_an_exact_set_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="BallRun"):
        exact_sets.exact_set("BallRun")
