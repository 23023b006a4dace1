"""The pure parts of the evaluation: starts, rollouts of all seeds, rows and what they say of the data."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.data import Dataset
from surefoot.envs.point_robot import POINT_ROBOT, constraint, observe
from surefoot.errors import ConfigError, OutputError
from surefoot.evaluation.evaluate import episode_rows, roll_out_seeds, summarize_data, summarize_evaluation
from surefoot.evaluation.starts import Starts, draw_starts
from surefoot.types import Policy


def half_plane(poses: np.ndarray) -> np.ndarray:
    """A stand-in for the exact value: infeasible where x > 1."""
    return poses[:, 0] - 1.0


@dataclass(frozen=True)
class Steering:
    """Accelerates by the number in its state, whatever it sees."""

    def policy(self, state: Any) -> Policy:
        def act(carry: Any, inputs: Any, key: Any) -> tuple[Any, Any]:
            count = inputs.observation.shape[0]
            return carry, jnp.stack([jnp.full(count, state), jnp.zeros(count)], -1)

        return Policy(initial=lambda n: None, act=act)


def test_starts_belong_to_their_sets() -> None:
    starts = draw_starts(half_plane, feasible=50, infeasible=20)
    values, h = half_plane(starts.poses), np.asarray(constraint(jnp.asarray(starts.poses[:, :2])))
    assert starts.sets == ("feasible",) * 50 + ("infeasible",) * 20 + ("fixed",) * 2
    assert starts.episodes == (*range(50), *range(20), 0, 1)
    assert (values[:50] <= -0.05).all()
    assert (values[50:70] > 0).all()
    assert (h[50:70] <= 0).all()
    np.testing.assert_allclose(starts.poses[70:], POINT_ROBOT.fixed_starts, rtol=1e-6)
    speeds, headings = starts.poses[:70, 2], starts.poses[:70, 3]
    assert speeds.min() >= 0.5
    assert speeds.max() <= 2.0
    assert headings.min() >= np.pi / 4 - 1e-6
    assert headings.max() <= 3 * np.pi / 4 + 1e-6


def test_fewer_starts_are_the_first_of_more() -> None:
    few = draw_starts(half_plane, feasible=5, infeasible=3)
    many = draw_starts(half_plane, feasible=2000, infeasible=700)  # more than one draw gives
    np.testing.assert_array_equal(few.poses[:5], many.poses[:5])
    np.testing.assert_array_equal(few.poses[5:8], many.poses[2000:2003])


def test_no_starts_are_refused() -> None:
    with pytest.raises(ConfigError, match="infeasible starts: expected at least 1, found 0"):
        draw_starts(half_plane, feasible=1, infeasible=0)


def test_an_exact_set_without_infeasible_starts_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surefoot.evaluation.starts._MOST_DRAWS", 2)
    with pytest.raises(ConfigError, match="found too few of one kind"):
        draw_starts(lambda poses: np.full(len(poses), -1.0), feasible=1, infeasible=1)


def test_seeds_act_by_their_own_states_and_no_episode_is_lost() -> None:
    poses = np.array([[x, 2.7, 0.0, np.pi / 2] for x in (-2.0, -1.0, 0.0, 1.0, 2.0)], np.float32)
    calls: list[tuple[int, int]] = []
    records = roll_out_seeds(
        Steering(),
        jnp.array([1.0, -1.0]),
        poses,
        seeds=(0, 1),
        on_progress=lambda done, total: calls.append((done, total)),
    )
    assert (calls[0], calls[-1]) == ((0, 10), (10, 10))
    assert calls == sorted(calls)
    assert records.length.shape == (2, 5)
    # From rest at y = 2.7 with 1 m/s^2 upwards: y_k = 2.7 + 0.0025 (0 + ... + k-1), above 3 once k (k - 1) > 240.
    # k = 16 gives 240, 2.7 + 0.3 = 3.0, so float rounding decides between 16 and 17.
    assert set(records.length[0].tolist()) <= {16, 17}
    # Backwards, down through the arena: 2.7 - 0.0025 k (k - 1) / 2 < -3 first at k = 69, or sooner inside the goal.
    assert records.length[1, 1] == 69
    np.testing.assert_allclose(records.path[:, :, 0], np.broadcast_to(poses[:, :2], (2, 5, 2)))


def test_rows_name_method_start_and_figures() -> None:
    starts = Starts(
        np.array([[-2.7, 2.7, 0.0, np.pi / 2], *POINT_ROBOT.fixed_starts], np.float32),
        ("feasible", "fixed", "fixed"),
        (0, 0, 1),
    )
    records = roll_out_seeds(Steering(), jnp.array([1.0]), starts.poses, seeds=(7,))
    with pytest.raises(
        OutputError, match=r"^return of an episode \(seed, start\): .* found nan at \[0, 0\]; the policy"
    ):
        roll_out_seeds(Steering(), jnp.array([jnp.nan]), starts.poses, seeds=(7,))
    rows = episode_rows(records, starts, seeds=(7,), method={"algorithm": "a"})
    assert [(row["start"], row["episode"], row["seed"], row["algorithm"]) for row in rows] == [
        ("feasible", 0, 7, "a"),
        ("fixed", 0, 7, "a"),
        ("fixed", 1, 7, "a"),
    ]
    # Straight up at x = -2.7 no hazard is near: no violation. From the far corner at 45 degrees straight on lies the
    # middle between the hazards, sqrt(0.8) = 0.894 m from each centre's line, outside both.
    assert rows[0]["violating_steps"] == 0
    assert rows[0]["return"] == pytest.approx(float(records.episode_return[0, 0]))
    found = summarize_evaluation(rows)
    assert found["feasible"]["episodes"] == 1
    assert [record["pose"] for record in found["fixed"]] == [pytest.approx(pose) for pose in POINT_ROBOT.fixed_starts]


def a_dataset() -> Dataset:
    """Three episodes of two steps from x = 2, 2 and -2: the first violates twice, the second once, the third never."""
    poses = np.array([[2.0, -2.5, 1.0, 1.0], [2.0, -2.5, 9.0, 1.0], [-2.0, -2.5, 1.0, 1.0]], np.float32)
    observations = np.repeat(np.asarray(observe(jnp.asarray(poses))), 2, axis=0)
    violating = np.array([1, 1, 1, 0, 0, 0], np.float32)
    ends = np.array([0, 1, 0, 1, 0, 1], bool)
    return Dataset(
        task="PointRobot",
        observations=observations,
        actions=np.zeros((6, 2), np.float32),
        rewards=np.array([1, 1, 0, 0, 2, 2], np.float32),
        costs=violating,
        next_observations=observations,
        terminated=np.zeros(6, bool),
        truncated=ends,
        constraints=violating - 0.5,
    )


def test_data_figures_are_those_of_its_episodes() -> None:
    figures = summarize_data(a_dataset(), half_plane, top_speed=10.0)
    assert figures is not None
    assert figures["episodes"] == 3
    assert figures["violation_free_rate"] == pytest.approx(1 / 3)
    assert figures["return_mean"] == pytest.approx((2 + 0 + 4) / 3)
    assert figures["violating_steps_mean"] == pytest.approx((2 + 1 + 0) / 3)
    assert figures["goal_rate"] == 0.0
    # x = 2 is infeasible and outside the hazards: the first two episodes.
    assert figures["episodes_infeasible_starts"] == 2
    assert figures["violating_steps_mean_infeasible_starts"] == pytest.approx((2 + 1) / 2)


def test_starts_beyond_the_exact_sets_speeds_are_not_asked_for() -> None:
    def exact(poses: np.ndarray) -> np.ndarray:
        assert (np.abs(poses[:, 2]) <= 2.5).all()
        return half_plane(poses)

    figures = summarize_data(a_dataset(), exact, top_speed=2.5)
    assert figures is not None
    assert figures["episodes_infeasible_starts"] == 1
    assert figures["violating_steps_mean_infeasible_starts"] == 2.0


def test_data_without_a_whole_episode_have_no_figures() -> None:
    whole = a_dataset()
    fields = {name: array[:1] for name, array in whole.arrays()}
    assert summarize_data(Dataset(task="PointRobot", **fields), half_plane, top_speed=2.5) is None


def test_a_seeds_noise_does_not_depend_on_the_others() -> None:
    @dataclass(frozen=True)
    class Noisy:
        def policy(self, state: Any) -> Policy:
            return Policy(
                initial=lambda n: None,
                act=lambda carry, inputs, key: (carry, jax.random.uniform(key, (inputs.observation.shape[0], 2))),
            )

    poses = np.array([[-2.0, 0.0, 1.0, 1.0], [2.0, -1.0, 1.0, 2.0]], np.float32)
    both = roll_out_seeds(Noisy(), jnp.zeros(2), poses, seeds=(3, 5))
    alone = roll_out_seeds(Noisy(), jnp.zeros(1), poses, seeds=(5,))
    np.testing.assert_array_equal(both.length[1], alone.length[0])
    np.testing.assert_allclose(both.path[1], alone.path[0], atol=1e-5)
    assert not np.allclose(both.path[0, 0, 1:5], both.path[1, 0, 1:5])
