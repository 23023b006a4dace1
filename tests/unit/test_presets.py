"""Presets: every one builds, names only fields that exist, and changes something."""

import dataclasses

import pytest

from surefoot.algorithms import ALGORITHMS
from surefoot.errors import UnknownNameError
from surefoot.presets import DEFAULT_PRESET, PRESETS, build
from surefoot.tasks import get_task

TASK = get_task("PointRobot")
ALL = [(algorithm, preset) for algorithm, presets in PRESETS.items() for preset in presets]


def test_every_algorithm_has_the_default_preset() -> None:
    assert PRESETS.keys() == ALGORITHMS.keys()
    assert all(DEFAULT_PRESET in presets for presets in PRESETS.values())


@pytest.mark.parametrize(("algorithm", "preset"), ALL)
def test_a_preset_builds_with_the_fields_it_names(algorithm: str, preset: str) -> None:
    changes = PRESETS[algorithm][preset]
    built = build(algorithm, TASK, preset=preset)
    assert type(built) is ALGORITHMS[algorithm]
    assert changes.keys() <= {field.name for field in dataclasses.fields(built)}
    assert all(getattr(built, name) == value for name, value in changes.items())
    assert built != ALGORITHMS[algorithm]()
    assert sum(phase.updates for phase in built.phases) > 0
    hash(built)


def test_what_the_task_decides_comes_from_the_task_unless_a_preset_says_otherwise() -> None:
    assert (build("fisor", TASK).horizon, build("fisor", TASK).cost_limit) == (300, 0.0)
    assert build("fisor", TASK, preset="legacy").cost_limit == 10.0
    assert build("fisor", TASK, preset="legacy").timeouts_terminal
    assert not build("fisor", TASK).timeouts_terminal


@pytest.mark.parametrize(
    ("algorithm", "preset", "sentence"),
    [
        ("fisr", "small", "unknown algorithm 'fisr'; did you mean fisor?"),
        ("fisor", "smal", "unknown preset of fisor 'smal'; did you mean small?"),
    ],
)
def test_wrong_names_list_the_near_ones(algorithm: str, preset: str, sentence: str) -> None:
    with pytest.raises(UnknownNameError) as raised:
        build(algorithm, TASK, preset=preset)
    assert str(raised.value) == sentence
