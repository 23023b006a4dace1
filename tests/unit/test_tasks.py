"""The table of tasks against the benchmark's published facts."""

import pytest

from surefoot.errors import UnknownNameError
from surefoot.tasks import TASKS, RunTimeBudget, get_task
from surefoot.tasks.dsrl import DSRL_TASKS
from surefoot.tasks.trebi import BUDGETS, TREBI_TASKS
from surefoot.tasks.vision import VISION_TASKS

EASY_SPARSE = {"roads": "easy", "traffic": "sparse"}


def test_there_are_the_38_tasks_of_the_benchmark_and_our_own() -> None:
    assert len(DSRL_TASKS) == 38
    backends = [task.environment.make.path.rpartition(":")[2] for task in DSRL_TASKS.values() if task.environment]
    assert {name: backends.count(name) for name in backends} == {
        "BulletBackend": 8,
        "SafetyGymnasiumBackend": 21,
        "RemoteBackend": 9,
    }
    assert set(TASKS) - set(DSRL_TASKS) == {
        "PointRobot", "PointRobotSlow", "PointRobotSlowCosts", "HazardRun", "HazardRunShifted",
        "PointRobotPixels", "PointRobotPixelsMoved",
        "PointRobotPixels64", "PointRobotPixels64Moved", *TREBI_TASKS, *VISION_TASKS,
    }  # fmt: skip
    assert all(name == task.name for name, task in TASKS.items())


@pytest.mark.parametrize(
    ("name", "dsrl_id", "arguments", "file"),
    [
        ("BallRun", "OfflineBallRun-v0", {"simulator_id": "SafetyBallRun-v0"}, "SafetyBallRun-v0-80-940.hdf5"),
        (
            "PointGoal1",
            "OfflinePointGoal1Gymnasium-v0",
            {"simulator_id": "SafetyPointGoal1-v0"},
            "SafetyPointGoal1Gymnasium-v0-100-2022.hdf5",
        ),
        (
            "HalfCheetahVelocity",
            "OfflineHalfCheetahVelocityGymnasium-v1",
            {"simulator_id": "SafetyHalfCheetahVelocity-v1"},
            "SafetyHalfCheetahVelocityGymnasium-v1-250-2495.hdf5",
        ),
        ("easysparse", "OfflineMetadrive-easysparse-v0", EASY_SPARSE, "SafeMetaDrive-easysparse-v0-85-1000.hdf5"),
    ],
)
def test_ids_and_files_are_the_published_ones(name: str, dsrl_id: str, arguments: dict[str, str], file: str) -> None:
    task = get_task(name)
    assert task.environment is not None
    assert (task.dsrl_id, dict(task.environment.make.arguments), task.dsrl_file) == (dsrl_id, arguments, file)
    assert get_task(dsrl_id) is task


def test_limits_are_those_of_both_protocols() -> None:
    assert (get_task("PointGoal1").cost_limit, get_task("PointGoal1").dsrl_cost_limits) == (10.0, (20.0, 40.0, 80.0))
    assert (get_task("BallRun").cost_limit, get_task("BallRun").dsrl_cost_limits) == (5.0, (10.0, 20.0, 40.0))
    assert get_task("PointRobot").dsrl_cost_limits == ()


def test_a_task_is_itself() -> None:
    task = get_task("BallRun")
    assert get_task(task) is task


def test_an_unknown_task_lists_the_near_names() -> None:
    with pytest.raises(UnknownNameError, match="BallRun"):
        get_task("BalRun")


def test_every_set_of_data_has_its_budget() -> None:
    """Of the public table: hopper medium-replay may spend 2000, or 139.884 discounted, 139 / 2040 of it. The data that
    we collect hop faster."""
    budgets = {"hopper-medium-replay-v2": (2000.0, 139.884, 139 / 2040), "Hopper": (2400.0, 157.36, 0.0674)}
    for name, budget in budgets.items():
        task = get_task(name)
        assert task.budget == RunTimeBudget(*budget)
        assert task.environment is not None
        assert task.environment.make.arguments == (("simulator_id", "Hopper-v4"),)
        assert (task.return_min, task.return_max) == (-20.272305, 3234.3)
    assert all(get_task(name).budget == budget for name, budget in BUDGETS.items())
    assert len(TREBI_TASKS) == 2 + 3 * 4
    assert get_task("BallRun").budget is None


def test_dynamics_are_deterministic_unless_something_is_drawn_in_an_episode() -> None:
    drawn = {name for name, task in TASKS.items() if not task.deterministic}
    assert {"PointGoal1", "CarButton2", "PointPush1", "easysparse", "PointGoal1Vision"} <= drawn
    assert {"PointRobot", "BallRun", "CarCircle", "PointCircle1", "HopperVelocity", "SafePendulum"}.isdisjoint(drawn)
