"""Presets: every one builds, names only fields that exist, and changes something."""

import pytest

from surefoot.algorithms import ALGORITHMS
from surefoot.errors import UnknownNameError
from surefoot.hyperparameters import flat
from surefoot.presets import DEFAULT_PRESET, PRESETS, build, presets_of
from surefoot.tasks import Task, get_task

TASK, BALL_RUN = get_task("PointRobot"), get_task("BallRun")
ALL = [(task, algorithm, preset)
       for task in (TASK, BALL_RUN) for algorithm in PRESETS for preset in presets_of(algorithm, task)]  # fmt: skip


def test_every_algorithm_has_the_default_preset() -> None:
    assert PRESETS.keys() == ALGORITHMS.keys()
    assert all(DEFAULT_PRESET in presets for presets in PRESETS.values())


@pytest.mark.parametrize(("task", "algorithm", "preset"), ALL)
def test_a_preset_builds_with_the_fields_it_names(task: Task, algorithm: str, preset: str) -> None:
    changes = presets_of(algorithm, task)[preset]
    built = build(algorithm, task, preset=preset)
    assert type(built) is ALGORITHMS[algorithm]
    assert changes.keys() <= flat(built).keys()
    assert all(flat(built)[name] == value for name, value in changes.items())
    assert built != ALGORITHMS[algorithm]()
    assert sum(phase.updates for phase in built.phases) > 0
    hash(built)


def test_what_the_task_decides_comes_from_the_task_unless_a_preset_says_otherwise() -> None:
    own, legacy = build("fisor", TASK).constraint, build("fisor", TASK, preset="legacy").constraint
    assert (own.horizon, own.cost_limit, own.timeouts_terminal) == (300, 0.0, False)
    assert (legacy.cost_limit, legacy.timeouts_terminal) == (10.0, True)


def test_tasks_of_simulators_have_presets_of_their_own() -> None:
    assert build("fisor", BALL_RUN) != build("fisor", TASK)
    own, legacy = build("fisor", BALL_RUN).constraint, build("fisor", BALL_RUN, preset="legacy").constraint
    assert (own.horizon, own.cost_limit) == (100, 5.0)
    assert (legacy.violation_scale, legacy.timeouts_terminal, legacy.count_state_left) == (25.0, True, False)
    assert presets_of("bc", BALL_RUN)["paper"] == presets_of("bc", TASK)["paper"]


@pytest.mark.parametrize(
    ("algorithm", "preset", "sentence"),
    [
        ("fisr", "small", "unknown algorithm 'fisr'; did you mean fisor or fosp?"),
        ("fisor", "smal", "unknown preset of fisor 'smal'; did you mean small?"),
    ],
)
def test_wrong_names_list_the_near_ones(algorithm: str, preset: str, sentence: str) -> None:
    with pytest.raises(UnknownNameError) as raised:
        build(algorithm, TASK, preset=preset)
    assert str(raised.value) == sentence


@pytest.mark.parametrize("algorithm", ["fosp", "safedreamer"])
def test_world_models_read_images_or_vectors_as_the_task_has_them(algorithm: str) -> None:
    assert build(algorithm, get_task("HazardRun")).world_model.encoder == "patch"
    vectors = build(algorithm, get_task("BallRun")).world_model
    assert (vectors.encoder, vectors.channels) == ("mlp", (128, 128))
    assert build(algorithm, get_task("HazardRun"), preset="released").world_model.features == 2816


@pytest.mark.parametrize("algorithm", ["fosp", "safedreamer"])
def test_point_robot_pixels_has_a_preset_of_its_own_in_both_sizes(algorithm: str) -> None:
    small, large = (build(algorithm, get_task(name)) for name in ("PointRobotPixels", "PointRobotPixels64"))
    assert small.imagination.discount > build(algorithm, get_task("HazardRun")).imagination.discount
    assert small == build(algorithm, get_task("PointRobotPixelsMoved"))
    # Both end at 4 x 4: 32 = 4 * 2^3, 64 = 4 * 2^4; four times the pixels weigh a quarter each.
    assert (len(small.world_model.channels), len(large.world_model.channels)) == (3, 4)
    assert small.world_model.observation_scale == 4 * large.world_model.observation_scale
    assert build(algorithm, get_task("PointRobotPixels"), preset="released").world_model.features == 2816
