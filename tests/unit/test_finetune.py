"""Fine-tuning online: the replay, the bill, and that a stopped run ends with the bits of an undisturbed one."""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests import own_plant

import surefoot
from surefoot import checkpoint, presets
from surefoot.algorithms import ALGORITHMS
from surefoot.data.frames import FrameData, Frames, frames_of, from_episodes
from surefoot.envs.entered import Entered
from surefoot.envs.pure import PureTask
from surefoot.errors import ConfigError
from surefoot.experiments import finetune as command
from surefoot.interrupts import Stopped
from surefoot.json_files import read_rows
from surefoot.protocols import Inputs
from surefoot.rollouts.stream import Stream, roll_out_stream
from surefoot.runs.loaded import LoadedRun
from surefoot.tasks import get_task
from surefoot.training import RunDirectory, make_config
from surefoot.training.finetune import FinetuneSettings, RoundRow, fine_tune
from surefoot.training.replay import Replay, append, draw_windows
from surefoot.training.run_config import Selection
from surefoot.types import DataSpec, Phase, Policy, PolicyInputs

SPEC = DataSpec(observation_dim=1, action_dim=1, horizon=3)


def reset(keys: jax.Array) -> tuple[jax.Array, jax.Array]:
    state = jnp.zeros((keys.shape[0], 2))
    return state, state[:, :1]


def step(state: jax.Array, action: jax.Array) -> tuple[jax.Array, Entered]:
    """The state counts (sum of actions, steps); reward is the action, cost 1 where the sum is above 1."""
    entered = state + jnp.concatenate([action, jnp.ones_like(action)], -1)
    none = jnp.zeros(action.shape[0], bool)
    return entered, Entered(entered[:, :1], action[:, 0], (entered[:, 0] > 1) * 1.0, none, entered[:, 1] >= 3)


TASK = PureTask(reset, step, 3)


@dataclass(frozen=True)
class Repeater:
    """Acts by one number, which the mean reward of its windows moves; counts its actions, and what episodes cost."""

    window: int = 2

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase("joint", 1, 4),)

    def init(self, spec: DataSpec, key: Any, statistics: None = None) -> dict[str, jax.Array]:
        return {"action": jnp.float32(0.4), "paid": jnp.float32(0.0)}

    def update(self, state: Any, batch: Frames, key: Any, *, phase: str) -> tuple[Any, dict[str, jax.Array]]:
        reward = batch.reward.mean()
        return state | {"action": state["action"] + 0.01 * reward}, {"reward": reward}

    def policy(self, state: Any) -> Policy:
        def act(carry: Any, inputs: PolicyInputs, key: Any) -> tuple[Any, jax.Array]:
            return carry + 1, jnp.broadcast_to(state["action"], (inputs.observation.shape[0], 1))

        return Policy(jnp.zeros, act)

    def acting_metrics(self, state: Any, memory: Any) -> dict[str, jax.Array]:
        return {"act/steps": memory.mean(), "act/paid_before": state["paid"]}

    def after_episodes(self, state: Any, costs: jax.Array, lengths: jax.Array) -> Any:
        return state | {"paid": state["paid"] + (costs / lengths).sum()}


REPEATER: Any = Repeater()


def offline() -> FrameData:
    observations = np.zeros((2, 4, 1), np.float32)
    return from_episodes("Walk", observations, np.full((2, 3, 1), 0.5), np.full((2, 3), 0.5), np.zeros((2, 3)))


def tune(
    path: Path, *, stop_at: int | None = None, data: FrameData | None = None, lanes: int = 2,
    on_progress: Callable[[int, int], None] | None = None,
) -> Any:  # fmt: skip
    run = RunDirectory(path)
    config = make_config(
        REPEATER, name="repeater", task="Walk", spec=SPEC, seeds=(0, 3), data_path="none", data_fingerprint="abc",
        log_interval=1, checkpoint_interval=1,
    )  # fmt: skip
    run.start(config, resume=True)
    return fine_tune(
        REPEATER, {"action": jnp.array([0.4, 0.5]), "paid": jnp.zeros(2)}, data, TASK, spec=SPEC, seeds=(0, 3),
        settings=FinetuneSettings(steps=20, num_envs=lanes), run=run, checkpoint_rounds=2, stop_at=stop_at,
        on_progress=on_progress,
    )  # fmt: skip


def terminate(number: int, done: int, total: int) -> None:
    if done == number:
        os.kill(os.getpid(), signal.SIGTERM)


def test_new_episodes_join_the_replay_as_frames() -> None:
    row, flags = jnp.zeros(9), jnp.zeros(9, bool)
    replay = Replay(Frames(jnp.zeros((9, 1)), jnp.zeros((9, 1)), row, row, flags, flags), jnp.int32(1), jnp.int32(1))
    yes, no = jnp.array([[False, True]]), jnp.array([[False, False]])
    stream = Stream(
        observation=jnp.array([[[1.0], [2.0]]]),
        entered=jnp.array([[[2.0], [3.0]]]),
        action=jnp.array([[[0.1], [0.2]]]),
        reward=jnp.array([[5.0, 6.0]]),
        cost=jnp.array([[0.0, 1.0]]),
        terminated=no,
        last=yes,
        memory=None,
    )
    found = append(append(replay, stream), stream)
    assert found.filled == 7  # two episodes of two steps have three frames each
    np.testing.assert_array_equal(found.frames.observation[:, 0], [0, 1, 2, 3, 1, 2, 3, 0, 0])
    np.testing.assert_allclose(found.frames.action[:, 0], [0, 0.1, 0.2, 0, 0.1, 0.2, 0, 0, 0])
    np.testing.assert_array_equal(found.frames.reward, [0, 0, 5, 6, 0, 5, 6, 0, 0])
    np.testing.assert_array_equal(found.frames.cost, [0, 0, 0, 1, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(np.flatnonzero(found.frames.is_first), [1, 4])
    assert not found.frames.terminated.any()
    # Lane 0 ends after its first step, and begins anew at 7; lane 1 does not.
    two = Stream(
        observation=jnp.array([[[1.0], [7.0]], [[4.0], [5.0]]]),
        entered=jnp.array([[[2.0], [8.0]], [[5.0], [6.0]]]),
        action=jnp.array([[[0.1], [0.2]], [[0.3], [0.4]]]),
        reward=jnp.array([[5.0, 6.0], [7.0, 8.0]]),
        cost=jnp.zeros((2, 2)),
        terminated=jnp.array([[True, False], [False, False]]),
        last=jnp.array([[True, True], [False, True]]),
        memory=None,
    )
    found = append(replay, two)
    assert found.filled == 1 + 7
    np.testing.assert_array_equal(found.frames.observation[:, 0], [0, 1, 2, 7, 8, 4, 5, 6, 0])
    np.testing.assert_allclose(found.frames.action[:, 0], [0, 0.1, 0, 0.2, 0, 0.3, 0.4, 0, 0])
    np.testing.assert_array_equal(found.frames.reward, [0, 0, 5, 0, 6, 0, 7, 8, 0])
    np.testing.assert_array_equal(np.flatnonzero(found.frames.is_first), [1, 3, 5])
    np.testing.assert_array_equal(np.flatnonzero(found.frames.terminated), [2])


def test_a_share_of_each_batch_is_of_new_frames() -> None:
    """Ten offline frames, twenty new ones, windows of four: they begin at 0 to 26, the new ones at 10 to 26."""
    empty = Frames(*[jnp.zeros((40, 1))] * 2, *[jnp.zeros(40)] * 2, *[jnp.zeros(40, bool)] * 2)
    replay = Replay(empty, jnp.int32(30), jnp.int32(10))
    draw = partial(draw_windows, replay, jax.random.key(0), count=4_000, length=4)
    uniform = np.asarray(draw(online_share=0.0))
    assert set(uniform) == set(range(27))
    np.testing.assert_allclose(np.mean(uniform < 10), 10 / 27, atol=0.03)
    half = np.asarray(draw(online_share=0.5))
    assert set(half[:2_000]) == set(range(10, 27))
    assert set(half[2_000:]) == set(range(27))
    assert draw(online_share=1.0).min() == 10


def test_lanes_go_on_with_fresh_episodes() -> None:
    """The walk ends after 3 steps: of 5 steps the second episode has 2, and its sum begins at 0 again."""
    policy = REPEATER.policy({"action": jnp.float32(0.4), "paid": jnp.float32(0.0)})
    stream = roll_out_stream(policy, TASK, jax.random.key(0), jax.random.key(1), num_envs=2, steps=5)
    np.testing.assert_allclose(stream.observation[:, :, 0], [[0, 0.4, 0.8, 0, 0.4]] * 2, rtol=1e-6)
    np.testing.assert_allclose(stream.entered[:, :, 0], [[0.4, 0.8, 1.2, 0.4, 0.8]] * 2, rtol=1e-6)
    np.testing.assert_array_equal(stream.last, [[False, False, True, False, True]] * 2)
    np.testing.assert_array_equal(stream.cost, [[0, 0, 1, 0, 0]] * 2)
    np.testing.assert_array_equal(stream.memory, [2, 2])  # actions of the second episode


def test_the_settings_count_whole_rounds() -> None:
    settings = FinetuneSettings(steps=20, num_envs=2, ratio=0.5)
    assert settings.rounds(3) == 4  # 6 steps a round
    assert settings.updates(3) == 3


def test_the_bill_is_written_and_a_stopped_run_goes_on_exactly(tmp_path: Path) -> None:
    whole = tune(tmp_path / "whole", data=offline())
    # Seed 0's first round: two lanes of three actions of 0.4; the sum passes 1 on the third.
    first = whole[0]
    np.testing.assert_allclose([first["return_mean"], first["cost_mean"]], [1.2, 1.0], rtol=1e-5)
    assert (first["environment_steps"], first["episodes"], first["violating_episodes"]) == (6, 2, 2)
    assert (first["total_cost"], first["violating_steps"], first["cost_regret"]) == (2.0, 2, 1.0)
    assert (first["metrics"]["act/steps"], first["metrics"]["act/paid_before"]) == (3.0, 0.0)
    last = [row for row in whole if row["round"] == 4]
    assert [row["seed"] for row in last] == [0, 3]
    assert last[0]["environment_steps"] == 24
    mine = [row for row in whole if row["seed"] == 0]
    assert last[0]["total_cost"] == sum(2 * row["cost_mean"] for row in mine)
    assert last[0]["cost_regret"] == last[0]["total_cost"] / 8  # an episode's, of eight
    # Two episodes a round, of which each cost a third a step: the algorithm has seen it in the next round.
    np.testing.assert_allclose(mine[1]["metrics"]["act/paid_before"], 2 / 3, rtol=1e-6)
    assert mine[1]["return_mean"] > mine[0]["return_mean"]  # the updates between have moved the action
    assert tune(tmp_path / "parts", data=offline(), stop_at=1) == whole[:2]
    with pytest.raises(Stopped):
        tune(tmp_path / "parts", data=offline(), on_progress=partial(terminate, 3))
    assert [path.name for path in RunDirectory(tmp_path / "parts").checkpoints()] == ["000000002", "000000003"]
    names = ("online.jsonl", "checkpoints/000000004/checkpoint.json", "replay/000000004/checkpoint.json")
    for _ in range(2):
        assert tune(tmp_path / "parts", data=offline()) == whole
        (tmp_path / "parts" / names[1]).unlink()  # what is left is no checkpoint, and was written over by none
    assert tune(tmp_path / "parts", data=offline()) == whole
    for name in names:
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert {path.name for path in (tmp_path / "parts" / "replay").iterdir()} == {"000000003", "000000004"}


def test_without_offline_data_the_first_round_must_fill_a_window(tmp_path: Path) -> None:
    rows = tune(tmp_path / "run", stop_at=1)
    assert 0.0 < rows[0]["metrics"]["reward"] < 0.4  # frames have 0.4, or 0 where an episode begins
    with pytest.raises(ConfigError, match="expected 9 frames, a window, after a round, found 4"):
        fine_tune(
            replace(REPEATER, window=9), {"action": jnp.zeros(2)}, None, TASK, spec=SPEC, seeds=(0, 3),
            settings=FinetuneSettings(steps=3, num_envs=1), run=RunDirectory(tmp_path / "run"), checkpoint_rounds=1,
        )  # fmt: skip


# --- a run on vectors ---


@dataclass(frozen=True)
class Learner(Repeater):
    """The same on data of any task."""

    inputs: ClassVar[Inputs] = Inputs(windows=True)

    def prepare(self, dataset: Any, task: Any) -> Any:
        return frames_of(dataset).windows(length=self.window)

    def fine_tuning(self) -> "Learner":
        return self

    def frozen(self, state: Any) -> Any:
        return state


@pytest.mark.filterwarnings("ignore::surefoot.errors.SurefootWarning")  # of small data
def test_a_run_on_vectors_goes_on_in_its_own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALGORITHMS, "learner", Learner)
    (tmp_path / "plant.toml").write_text(own_plant.TASK)
    task = get_task(str(tmp_path / "plant.toml"))
    data = surefoot.collect(
        str(tmp_path / "plant.toml"), tmp_path / "data.hdf5", policy="tests.own_plant:Ramp", episodes=2, workers=0
    )
    run = surefoot.train("learner", data, task, out=tmp_path / "run", log_interval=1)
    options: dict[str, Any] = {"steps": 32, "lanes": 2, "workers": 0, "ratio": 0.1, "checkpoint_rounds": 1}
    tuned = run.finetune(tmp_path / "tuned", **options)
    rows = read_rows(tuned.path / "online.jsonl", RoundRow, what="rounds")
    assert [row["environment_steps"] for row in rows] == [16, 32]
    # Valves of 0.4 and a little more: the level rises by 0.2 a step, so that the sixth ends above 0.8.
    assert (rows[0]["violating_episodes"], rows[0]["violating_share"]) == (2, 1.0)
    assert tuned.config.data_fingerprint == run.config.data_fingerprint
    whole = (tuned.path / "online.jsonl").read_bytes()
    checkpoint.remove(max((tuned.path / "checkpoints").iterdir()))
    run.finetune(tuned.path, resume=True, **options)
    assert (tuned.path / "online.jsonl").read_bytes() == whole
    elsewhere = surefoot.finetune(run, tmp_path / "other", lambda: own_plant.Plant(limit=5), **options)
    first, _ = read_rows(elsewhere.path / "online.jsonl", RoundRow, what="rounds")
    assert first["episodes"] == 4  # 8 steps of each: five, and three that are cut
    config = json.loads((run.path / "config.json").read_text())
    config["task_file"]["environment"] = None
    (run.path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="run: expected a task with an environment to act in, found plant, of which"):
        run.finetune(tmp_path / "none", **options)
    assert not (tmp_path / "none").exists()


# --- the command -----------------------------------------------------------------------------------------------------


def test_a_fine_tuning_goes_on_from_the_checkpoint_that_it_began_with(tmp_path: Path) -> None:
    task = get_task("HazardRun")
    algorithm = presets.build("fosp", task, preset="small")

    def begin(run: str, sha256: str, *, resume: bool, step: int = 40) -> RunDirectory:
        config = make_config(
            algorithm, name="fosp", task=task.name, spec=task.spec, seeds=(0,), data_path="x", data_fingerprint="one",
            log_interval=1, checkpoint_interval=1,
        )  # fmt: skip
        loaded = LoadedRun(RunDirectory(tmp_path / run), config, algorithm, None, step, sha256)
        request = command.Finetuning(run=tmp_path / run, out=tmp_path / "tuned", resume=resume)
        return command._start(request, loaded, algorithm, task, FinetuneSettings(60, 1, 0.5), ("surefoot", "finetune"))

    begun = begin("run", "aaaa1111bbbb", resume=False)
    kept = begun.config_path.read_bytes()
    begin("moved", "aaaa1111bbbb", resume=True)  # the same one at another place
    sentence = (
        r"other: expected the run that .*tuned was begun from, found another one .* \(hash .*: aaaa1111 there, cc"
    )
    with pytest.raises(ConfigError, match=sentence):
        begin("other", "cccc2222dddd", resume=True)
    with pytest.raises(ConfigError, match=r"\(updates: 40 there, 80 here; hash"):
        begin("run", "cccc2222dddd", resume=True, step=80)
    assert begun.config_path.read_bytes() == kept
    # One from before hashes were kept goes on as far as is known.
    values = json.loads(kept)
    del values["data_selection"]["trained_sha256"]
    begun.config_path.write_text(json.dumps(values))
    begin("other", "cccc2222dddd", resume=True)
    with pytest.raises(ConfigError, match=r"\(updates: 40 there, 80 here\)"):
        begin("other", "cccc2222dddd", resume=True, step=80)


def test_what_a_fine_tuning_records_is_declared() -> None:
    """A configuration with other fields in its selection is refused."""
    assert {one.name for one in fields(FinetuneSettings)} <= Selection.__annotations__.keys()
