"""The suite for the algorithm of `--algorithm MODULE:NAME`: everything that training and acting rely on."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from surefoot.protocols import Algorithm, Inputs
from surefoot.tasks.reference import Reference
from surefoot.testing import checks
from surefoot.testing.checks import Case

SEEDS = (0, 4)


@pytest.fixture(scope="module")
def algorithm(request: pytest.FixtureRequest) -> Any:
    """The algorithm, with few updates."""
    named = request.config.getoption("--algorithm")
    if not named:
        pytest.fail("--algorithm: expected MODULE:NAME of an algorithm, found none.", pytrace=False)
    sys.path.append(os.getcwd())  # behind what is installed
    found = Reference(named).load()
    return checks.with_few_updates(found() if isinstance(found, type) else found)


@pytest.fixture(scope="module")
def case(algorithm: Algorithm) -> Case:
    """The algorithm, compiled."""
    if algorithm.inputs.images:
        pytest.skip("this suite has no images")
    return checks.build_case(algorithm)


@pytest.fixture(scope="module")
def unstopped(case: Case) -> Any:
    """The states of two seeds, trained without a stop."""
    return checks.train(case.algorithm, SEEDS)


def test_inputs_and_phases_are_declared(algorithm: Algorithm) -> None:
    assert isinstance(type(algorithm).inputs, Inputs)
    names = [phase.name for phase in algorithm.phases]
    assert names
    assert len(set(names)) == len(names)


def test_hyperparameters_are_hashable_and_survive_json(algorithm: Algorithm) -> None:
    checks.check_configuration(algorithm)


def test_data_are_prepared(algorithm: Algorithm) -> None:
    try:
        data = algorithm.prepare(checks.dataset(), checks.TASK)
    except NotImplementedError:
        pytest.skip("prepare is not implemented: it trains on transitions alone")
    assert data.num_rows > 0
    assert data.take([0, 0]) is not None


def test_init_depends_on_the_key_alone(case: Case) -> None:
    checks.check_init(case)


def test_an_update_is_finite_and_keeps_the_shape_of_the_state(case: Case) -> None:
    for phase in case.algorithm.phases:
        checks.check_update(case, phase)


def test_an_update_is_a_function_of_its_arguments(case: Case) -> None:
    checks.check_updates_are_pure(case)


def test_sample_weights_are_one_finite_number_a_row(case: Case) -> None:
    checks.check_sample_weights(case)


@pytest.mark.parametrize("count", [1, 5])
def test_actions_have_their_shape_and_range_and_depend_on_the_key(case: Case, count: int) -> None:
    checks.check_actions(case, count)


def test_feasible_value_is_one_number_an_observation(case: Case) -> None:
    checks.check_feasible_value(case)


def test_a_checkpoint_continues_identically(case: Case, tmp_path: Path) -> None:
    checks.check_checkpoint(case, tmp_path / "checkpoint")


def test_a_stopped_training_ends_with_the_same_bits(case: Case, unstopped: Any, tmp_path: Path) -> None:
    updates = sum(phase.updates for phase in case.algorithm.phases)
    if updates <= checks.CHUNK:
        pytest.skip(f"it has {updates} updates, and {checks.CHUNK} of them are one piece")
    checks.check_resuming(case.algorithm, unstopped, SEEDS, tmp_path, stop_at=checks.CHUNK)


def test_seeds_side_by_side_learn_what_each_learns_alone(case: Case, unstopped: Any) -> None:
    checks.check_seeds(case.algorithm, unstopped, SEEDS)
