"""Acting in a simulator for fine-tuning: whose action leads where, new episodes, seeds, a worker's death."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests import own_plant

from surefoot.envs.vector import Step, WorkerDeath
from surefoot.envs.workers.vector import VectorSimulator
from surefoot.errors import SimulatorError
from surefoot.rollouts.stream import OnlineSimulator, roll_out_envs
from surefoot.tasks import get_task
from surefoot.tasks.action_units import ActionUnits
from surefoot.types import Policy


class Counted(NamedTuple):
    """A policy that acts by how many decisions it remembers, a tenth each."""

    gain: float = 0.1

    def policy(self, state: Any) -> Policy:
        return Policy(
            jnp.zeros,
            lambda memory, inputs, key: (memory + 1, jnp.clip(self.gain * memory[:, None], -1.0, 1.0)),
        )


@dataclass
class Envs:
    """Two environments of images 1 x 1 x 2; an episode of seed s has 3 steps where s is even, else 4. Reward:
    the action."""

    dies_at: int | None = None
    num_envs: int = 2
    deaths: list[Any] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)

    def reset(self, seeds: np.ndarray) -> np.ndarray:
        self._seeds, self._steps, self._done = np.array(seeds), np.zeros(2, int), 0
        self.begun = list(seeds)
        return self._images()

    def step(self, actions: np.ndarray, next_seeds: np.ndarray) -> Step:
        self._done += 1
        self._steps += 1
        lost = np.array([self._done == self.dies_at, False])
        if lost.any():
            self.deaths.append(WorkerDeath("Vision", (1,), "killed by signal 9"))
        over = self._steps >= 3 + self._seeds % 2
        entered = self._images()
        self.begun += next_seeds[over].tolist()
        self._seeds = np.where(over, next_seeds, self._seeds)
        self._steps = np.where(over, 0, self._steps)
        no = np.zeros(2, bool)
        return Step(entered, actions[:, 0], 2.0 * (actions[:, 0] > 0.1), no, over, self._images(), lost)

    def _images(self) -> np.ndarray:
        return np.stack([self._seeds % 251, self._steps], 1).astype(np.uint8)


def rolled(envs: Envs, key: int = 0) -> Any:
    task = OnlineSimulator(envs, (1, 1, 2), horizon=8)
    return jax.tree.map(np.asarray, roll_out_envs(Counted(), None, task, jax.random.key(key), jax.random.key(1)))


def test_envs_go_on_episode_after_episode_and_the_last_is_cut() -> None:
    envs = Envs()
    stream = rolled(envs)
    assert (stream.observation.shape, stream.observation.dtype) == ((2, 8, 1, 1, 2), np.uint8)
    for index in range(2):
        step_before = stream.observation[index, :, 0, 0, 1]
        step_after = stream.entered[index, :, 0, 0, 1]
        np.testing.assert_array_equal(step_after, step_before + 1)
        ends = np.flatnonzero(stream.last[index])
        assert ends[-1] == 7
        # Each episode begins anew: the policy has forgotten, and the images count from 0.
        begins = np.concatenate([[0], ends[:-1] + 1])
        assert (step_before[begins] == 0).all()
        np.testing.assert_allclose(stream.action[index, :, 0], 0.1 * step_before, rtol=1e-6)
        # The reward of a decision is that of its own action; 0.2 and more cost 2.
        np.testing.assert_allclose(stream.reward[index], stream.action[index, :, 0])
        np.testing.assert_array_equal(stream.cost[index], 2.0 * (step_before >= 2))
    assert not stream.terminated.any()
    assert len(set(envs.begun)) == len(envs.begun)


def test_a_round_is_a_function_of_its_key() -> None:
    first, second, other = rolled(Envs()), rolled(Envs()), rolled(Envs(), key=5)
    np.testing.assert_array_equal(first.observation, second.observation)
    assert (first.observation != other.observation).any()


def test_a_death_ends_the_round_and_says_how_to_go_on() -> None:
    with pytest.raises(SimulatorError, match=r"process of the simulator died \(killed by signal 9\); start .* resume"):
        rolled(Envs(dies_at=3))


def test_what_is_kept_of_a_vector_task_are_the_actions_that_the_plant_took(tmp_path: Path) -> None:
    """A policy of 0, 1, 1, ...: a valve of 5, then of at most 4 more, then of 10, until the level ends the episode."""
    (tmp_path / "plant.toml").write_text(own_plant.TASK)
    task = get_task(str(tmp_path / "plant.toml"))
    assert task.file is not None
    with VectorSimulator(task, num_envs=2, workers=0) as env:
        where = OnlineSimulator(env, (3,), horizon=10, units=ActionUnits.of(task.file.action))
        stream = roll_out_envs(Counted(1.0), None, where, jax.random.key(0), jax.random.key(1))
    np.testing.assert_allclose(stream.action[:, :, 0], [[0, 0.8, 1, 1, 1] * 2] * 2, atol=1e-6)
    np.testing.assert_array_equal(stream.last, [[False, False, False, False, True] * 2] * 2)
    np.testing.assert_allclose(stream.entered[:, :, 1], 5 * stream.action[:, :, 0] + 5, atol=1e-5)  # the valve
