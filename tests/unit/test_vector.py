"""Lanes over worker processes: the same numbers as in one process, and no episode lost with a worker."""

import os
import signal
from typing import Any

import numpy as np
import pytest

from surefoot.envs.vector import Step, WorkerDeath
from surefoot.envs.workers import commands
from surefoot.envs.workers.vector import VectorSimulator
from surefoot.errors import ConfigError, SimulatorError
from surefoot.tasks import get_task

TASK = get_task("BallRun")  # 100 steps an episode


def roll(simulator: VectorSimulator, steps: int, *, first: list[int], then: list[int]) -> list[Step]:
    """Random actions; each lane begins with its seed of `first` and goes on with that of `then`."""
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, simulator.num_envs, 2))
    simulator.reset(first)
    return [simulator.step(action, then) for action in actions]


def same(left: list[Step], right: list[Step]) -> bool:
    return all(
        a is b is None if a is None or b is None else (a == b).all() and a.dtype == b.dtype
        for one, other in zip(left, right, strict=True)
        for a, b in zip(one, other, strict=True)
    )


@pytest.fixture(scope="module")
def here() -> list[Step]:
    with VectorSimulator(TASK, num_envs=3, workers=0) as simulator:
        return roll(simulator, 110, first=[0, 1, 2], then=[3, -1, 5])


def test_where_an_episode_ends_the_next_one_begins(here: list[Step]) -> None:
    last, after = here[99], here[100]
    assert last.truncated.all()
    assert not last.terminated.any()
    assert not any(step.truncated.any() for step in here[:99])
    with VectorSimulator(TASK, num_envs=3, workers=0) as simulator:
        starts = simulator.reset([3, -1, 5])
    np.testing.assert_array_equal(last.start_observation, starts)
    assert (last.observation[[0, 2]] != starts[[0, 2]]).any(axis=1).all()
    np.testing.assert_array_equal(here[50].start_observation, here[50].observation)
    # Lane 1 had no next seed.
    assert not starts[1].any()
    assert not after.observation[1].any()
    assert (after.reward[1], after.cost[1], after.terminated[1], after.truncated[1]) == (0.0, 0.0, False, False)
    assert after.observation[0].any()
    assert last.constraint is not None
    assert np.isneginf(last.constraint).all()  # BallRun has no signal
    assert {array.dtype.str for array in last if array is not None} == {"<f4", "<f8", "|b1"}


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_workers_change_no_bit(workers: int, here: list[Step]) -> None:
    with VectorSimulator(TASK, num_envs=3, workers=workers) as simulator:
        assert len(simulator.process_ids) == min(workers, 3)
        assert same(roll(simulator, 110, first=[0, 1, 2], then=[3, -1, 5]), here)
        assert simulator.deaths == []


def test_a_killed_worker_is_reported_and_its_episodes_begin_again(here: list[Step]) -> None:
    told: list[WorkerDeath] = []
    actions = np.random.default_rng(0).uniform(-1, 1, (110, 3, 2))
    with VectorSimulator(TASK, num_envs=3, workers=2, on_death=told.append) as simulator:
        starts = simulator.reset([0, 1, 2])
        for number in range(20):
            assert not simulator.step(actions[number], [3, -1, 5]).restarted.any()
        os.kill(simulator.process_ids[0], signal.SIGKILL)
        step = simulator.step(actions[20], [3, -1, 5])
        # The first worker holds lanes 0 and 1, of 3: round(3 / 2) = 2.
        assert step.restarted.tolist() == [True, True, False]
        np.testing.assert_array_equal(step.observation[:2], starts[:2])
        np.testing.assert_array_equal(step.start_observation[:2], starts[:2])
        np.testing.assert_array_equal(step.observation[2], here[20].observation[2])
        assert (step.reward[:2].any(), step.cost[:2].any(), step.truncated.any()) == (False, False, False)
        assert told == simulator.deaths == [WorkerDeath("BallRun", (0, 1), "killed by signal 9")]
        # Begun again, the episodes are the ones that were lost; the other lane goes on.
        for number in range(5):
            mixed = np.concatenate([actions[number][:2], actions[21 + number][2:]])
            again = simulator.step(mixed, [3, -1, 5])
            np.testing.assert_array_equal(again.observation[:2], here[number].observation[:2])
            np.testing.assert_array_equal(again.observation[2], here[21 + number].observation[2])


def test_an_idle_lane_does_not_begin_again() -> None:
    with VectorSimulator(TASK, num_envs=2, workers=1) as simulator:
        starts = simulator.reset([4, -1])
        os.kill(simulator.process_ids[0], signal.SIGKILL)
        step = simulator.step(np.zeros((2, 2)), [5, 5])
        assert step.restarted.tolist() == [True, False]
        np.testing.assert_array_equal(step.observation, starts)
        assert simulator.deaths[0].seeds == (4,)


def test_an_episode_under_which_workers_keep_dying_is_given_up() -> None:
    with VectorSimulator(TASK, num_envs=2, workers=1) as simulator:
        simulator.reset([6, 7])
        for _ in range(2):
            os.kill(simulator.process_ids[0], signal.SIGKILL)
            assert simulator.step(np.zeros((2, 2)), [8, 9]).restarted.all()
        os.kill(simulator.process_ids[0], signal.SIGKILL)
        with pytest.raises(
            SimulatorError, match=r"task BallRun: a worker died 3 times .* seeds \[6, 7\]: killed by sig"
        ):
            simulator.step(np.zeros((2, 2)), [8, 9])
        assert len(simulator.deaths) == 3


def test_a_worker_that_answers_nothing_is_killed_and_replaced() -> None:
    with VectorSimulator(TASK, num_envs=1, workers=1, timeout=20.0) as simulator:
        simulator.reset([0])
        simulator._workers[0]._timeout = 0.2
        os.kill(simulator.process_ids[0], signal.SIGSTOP)
        assert simulator.step(np.zeros((1, 2)), [1]).restarted.tolist() == [True]
        assert simulator.deaths[0].how == "no answer for 0.2 seconds"


def test_a_worker_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands.sys, "executable", "/bin/false")
    with pytest.raises(SimulatorError, match="a worker for BallRun could not be started: ended with exit code 1"):
        VectorSimulator(TASK, num_envs=1, workers=1)


def test_what_a_worker_cannot_open_is_its_own_sentence() -> None:
    strange: Any = TASK.__class__(**{**vars(TASK), "observation_dim": 9})
    with pytest.raises(SimulatorError, match=r"task BallRun: expected 9 numbers in an observation .* found 7 and 2"):
        VectorSimulator(strange, num_envs=1, workers=1)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="environments of BallRun: expected at least 1"):
        VectorSimulator(TASK, num_envs=0, workers=0)
    with VectorSimulator(TASK, num_envs=2, workers=0) as simulator:
        with pytest.raises(ConfigError, match="seeds of BallRun: expected 2 whole numbers"):
            simulator.reset([0])
        with pytest.raises(ConfigError, match="seeds of BallRun: expected 2 whole numbers, -1 for an idle environment"):
            simulator.reset([0, -2])
        simulator.reset([0, 1])
        with pytest.raises(ConfigError, match=r"actions of BallRun: expected the shape \(2, 2\), found \(2,\)"):
            simulator.step(np.zeros(2), [0, 1])
