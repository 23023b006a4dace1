"""Environments of other people behind the one protocol: units, costs, signals, and every fault in one sentence."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests import own_plant
from tests.data_fixtures import is_one_sentence
from tests.plant_task import plant
from tests.toy_algorithm import SPEC, ToyAlgorithm

from surefoot.collection.own import OwnCollection, collect_own, write_log
from surefoot.data import load
from surefoot.data.logs import import_log, open_log
from surefoot.envs.own.making import EnvironmentFault, check_maker, load_from_here
from surefoot.envs.vector import Step
from surefoot.envs.workers import players as players_module
from surefoot.envs.workers.players import Players
from surefoot.envs.workers.process import WorkerDiedError
from surefoot.envs.workers.vector import VectorSimulator
from surefoot.errors import ConfigError, SimulatorError
from surefoot.evaluation.along import StepRecorder
from surefoot.evaluation.protocol import cost_limits
from surefoot.report.along_plots import along_episodes
from surefoot.rollouts.host import walk
from surefoot.tasks import Task
from surefoot.tasks.read_task_file import TaskFileReader
from surefoot.tasks.reference import Reference


def steps_of(task: Task, actions: list[float], *, workers: int = 0) -> list[Step]:
    with VectorSimulator(task, num_envs=1, workers=workers) as env:
        env.reset([7])
        return [env.step(np.array([[action]]), [8]) for action in actions]


def test_actions_in_the_plants_units_are_held_to_their_rates(tmp_path: Path) -> None:
    # Valves: 0.2 -> 6, 1.0 -> 10, then -1 -> 0, which is more than 4 below 10: 6, and 2.
    found = steps_of(plant(tmp_path), [0.2, 1.0, -1.0, -1.0])
    assert [step.observation[0, 1] for step in found] == [6, 10, 6, 2]
    level = found[0].observation[0, 0]
    np.testing.assert_allclose([step.observation[0, 0] - level for step in found], [0, 0.5, 0.6, 0.3], atol=1e-6)


def test_rewards_costs_and_signals_are_computed_as_an_import_would(tmp_path: Path) -> None:
    found = steps_of(plant(tmp_path), [0.2, 1.0, 1.0])
    levels = [float(step.observation[0, 0]) for step in found]  # near 0.6, 1.1 and 1.6
    np.testing.assert_allclose([step.reward[0] for step in found], [-0.1, -0.5, -0.5], atol=1e-6)
    assert [step.cost[0] for step in found] == [0, 2, 2]
    signals = [float(step.constraint[0]) for step in found if step.constraint is not None]
    np.testing.assert_allclose(signals, [(one - 0.8) / 0.5 for one in levels], atol=1e-6)
    assert (cost_limits(plant(tmp_path), "strict"), cost_limits(plant(tmp_path), "dsrl")) == ((3,), (3, 6, 12))


def test_workers_change_no_bit(tmp_path: Path) -> None:
    task = plant(tmp_path)
    actions = np.random.default_rng(0).uniform(-1, 1, 12).tolist()
    for one, other in zip(steps_of(task, actions), steps_of(task, actions, workers=1), strict=True):
        for left, right in zip(one, other, strict=True):
            np.testing.assert_array_equal(left, right)


def test_an_environments_own_limit_on_time_and_the_horizon_cut(tmp_path: Path) -> None:
    own = plant(tmp_path, ('"tests.own_plant:Plant"', '"tests.own_plant:Plant"\nkwargs = { limit = 3 }'))
    assert [bool(step.truncated[0]) for step in steps_of(own, [0.0] * 7)] == [False, False, True] * 2 + [False]
    assert [bool(step.truncated[0]) for step in steps_of(plant(tmp_path), [0.0] * 8)] == [False] * 7 + [True]


def test_columns_are_found_by_their_names_or_by_their_places(tmp_path: Path) -> None:
    turned = plant(tmp_path, ('"level", "flow[0]", "flow[1]"', '"flow[1]", "level"'))
    assert steps_of(turned, [0.2])[0].observation[0, 0] == -6
    # A Dict's keys are in the order of the space, which sorts those of a plain dict: flow before level.
    placed = plant(tmp_path, ('"level", "flow[0]", "flow[1]"', '"a", "b", "level"'))
    assert steps_of(placed, [0.2])[0].observation[0, :2].tolist() == [6, -6]


def test_costs_of_info_are_taken_where_the_file_says(tmp_path: Path) -> None:
    make = '"tests.own_plant:Plant"'
    told = plant(tmp_path, (make, make + '\nkwargs = { fault = "cost" }\ncost = "info.cost"'))
    found = steps_of(told, [0.2, 0.2, 1.0])  # levels near 0.6, 0.7 and more, 1.2
    assert [step.cost[0] for step in found] == [0, 1, 1]
    assert [bool(step.constraint[0] > 0) for step in found if step.constraint is not None] == [False, False, True]


FAULTS = [
    ("no module", ("tests.own_plant:Plant", "nowhere.at_all:Plant"), "environment.make: expected a module and"),
    ("no attribute", ("tests.own_plant:Plant", "tests.own_plant:Plan"), "found no tests.own_plant:Plan"),
    ("no environment", ("tests.own_plant:Plant", "tests.own_plant:wobble"), "environment.make: expected an environ"),
    ("a number", ("tests.own_plant:Plant", "tests.own_plant:NOTHING"), "expected an environment of tests.own_plant:NO"),
    ("other object", ("tests.own_plant:Plant", "tests.own_plant:Ramp"), "expected a gymnasium.Env of tests.own_plant"),
    ("no id", ("tests.own_plant:Plant", "Nowhere-v0"), "expected an environment of Nowhere-v0, found NameNotFound"),
    ("discrete", ("tests.own_plant:Plant", "tests.own_plant:Chooser"), "expected actions of a Box, found Discrete(3)"),
    ("text", ("Plant\"", "Plant\"\nkwargs = { fault = 'text' }"), "expected numbers (a Box, or Dicts and Tuples of"),
    ("unknown argument", ("Plant\"", "Plant\"\nkwargs = { wrong = 1 }"), "environment.make: expected an environment"),
    ("other columns", ('"level", "flow[0]", "flow[1]"', '"level", "flow"'), "observation.columns: expected 3 columns"),
    ("other actions", ('"valve"]\nlow = [0.0]\nhigh = [10.0]\nrate_limit = [4.0]', '"valve", "b"]'), "action.columns"),
    ("bounds", ("high = [10.0]", "high = [11.0]"), "action.high: expected at most 10 for valve, the environment's"),
    ("missing key", ("Plant\"", "Plant\"\nkwargs = { fault = 'no key' }"), "constraint[1].column: expected plant.t"),
    ("missing cost", ("Plant\"", "Plant\"\ncost = 'info.cost'"), "environment.cost: expected a finite number from 0"),
    ("array", ("plant.trips[1]", "plant.trips"), "found an array of the shape [2]"),
    ("nan", ("Plant\"", "Plant\"\nkwargs = { fault = 'nan' }"), "found nan for level in step 3 of the episode with"),
    ("raises", ("Plant\"", "Plant\"\nkwargs = { fault = 'raises' }"), "RuntimeError: the pump is broken; Sorry in a"),
    ("action in a state", ("level - 0.8", "level - 0.1 * valve"), "constraint[0].expression: expected columns of a st"),
    ("infinite", ("level - 0.8", "level / (level - level)"), "constraint[0].expression: expected a finite value, foun"),
    ("negative", ("plant.trips[1]", "column('flow[1]')"), "constraint[1].column"),
]  # fmt: skip


def test_a_module_beside_the_task_file_is_found_by_its_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "plant_beside.py").write_text("class Plant: ...\n")
    file = plant(tmp_path, ("tests.own_plant:Plant", "plant_beside:Plant")).file
    assert file is not None
    check_maker(file, TaskFileReader(tmp_path / "plant.toml", ""))


def test_warnings_of_an_import_are_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "warns_of_onnx.py").write_text("import warnings\nwarnings.warn('no ONNX')\nTHERE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_from_here(Reference("warns_of_onnx:THERE")) == 1


@pytest.mark.parametrize(("change", "sentence"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_faults_are_sentences(change: tuple[str, str], sentence: str, tmp_path: Path) -> None:
    changes = [change] if 'm"' in change[0] or "level - 0.8" not in change[0] else [change, ('unit = "m"\n', "")]
    with pytest.raises(EnvironmentFault) as raised:
        steps_of(plant(tmp_path, *changes), [0.2] * 4)
    assert sentence in str(raised.value)
    assert is_one_sentence(str(raised.value))


# --- logs ------------------------------------------------------------------------------------------------------------


def collected(task: Task, *, workers: int = 0, **what: Any) -> tuple[OwnCollection, dict[str, np.ndarray]]:
    collection = OwnCollection(task, **what)
    with Players(task, workers=workers) as players:
        return collection, collect_own(collection, players)


def test_a_log_that_was_collected_is_imported_to_the_episodes_that_ran(tmp_path: Path) -> None:
    task = plant(tmp_path)
    collection, columns = collected(task, policy="tests.own_plant:Ramp", episodes=3)
    out = tmp_path / "log.csv"
    dataset = write_log(collection, columns, out)
    assert task.file is not None
    data = tmp_path / "data.hdf5"
    import_log(open_log([out]), task.file, TaskFileReader(out, ""), data)
    # Valves 4, 5, ... 10 and 10 again, the bound: levels from 0.5 on 0.4, 0.4, 0.5, 0.7, 1, 1.4, 1.9 and 2.4, an end.
    assert dataset.lengths.tolist() == [8, 8, 8]
    assert dataset.terminated.sum() == 3
    assert dataset.costs.tolist() == [0, 0, 0, 0, 2, 2, 2, 2] * 3
    assert columns["t"][:10].tolist() == [0, 2, 4, 6, 8, 10, 12, 14, 16, 0]  # a row more for the state of the end
    np.testing.assert_allclose(dataset.actions[:8, 0], [-0.2, 0, 0.2, 0.4, 0.6, 0.8, 1, 1], atol=1e-6)
    again = tmp_path / "again.hdf5"
    write_log(collection, columns, again)
    for key in ("observations", "actions", "rewards", "costs", "constraints", "terminated"):
        one, other = (getattr(load(path, task), key) for path in (data, again))
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_a_plant_that_cannot_be_made_is_no_dead_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Shut:
        """A worker that cannot make its environment, and knows none of the later requests."""

        def __init__(self, *_: Any, **__: Any) -> None: ...
        def close(self) -> None: ...

        def wait_open(self) -> None:
            raise SimulatorError("task plant: environment.make: found none.")

        def ask(self, *_: Any) -> None:
            raise WorkerDiedError("asked before it was opened")

    monkeypatch.setattr(players_module, "Worker", Shut)
    deaths: list[Any] = []
    with Players(plant(tmp_path), workers=1, on_death=deaths.append) as players:
        for _ in range(2):  # the second finds the player of the first
            with pytest.raises(SimulatorError, match=r"environment\.make"):
                collect_own(OwnCollection(plant(tmp_path), episodes=1), players)
    assert deaths == []


def test_a_log_is_a_function_of_its_seed_alone(tmp_path: Path) -> None:
    task = plant(tmp_path)
    how: dict[str, Any] = {"policy": "tests.own_plant:wobble", "episodes": 3, "noise": 0.1}
    one, other = collected(task, **how)[1], collected(task, workers=2, **how)[1]
    assert list(one) == list(other)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])
    valve = one["valve"][np.isfinite(one["valve"])]
    assert np.abs(np.diff(valve[:7])).max() <= 4.0 + 1e-12  # the rate that the plant allows
    assert not np.array_equal(collected(task, **how, seed=1)[1]["valve"], one["valve"], equal_nan=True)


def test_transitions_are_in_memory(tmp_path: Path) -> None:
    _, columns = collected(plant(tmp_path), transitions=17)
    assert np.isfinite(columns["valve"]).sum() == 24  # episodes of 8 steps
    _, columns = collected(plant(tmp_path), policy="tests.own_plant:Ramp", episodes=2)
    assert columns["valve"][:3].tolist() == [4, 5, 6]
    starts = np.flatnonzero(columns["t"] == 0)
    assert columns["valve"][starts].tolist() == [4, 4]  # made anew in each


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        ("nothing", "policy: expected random, pid or module:function, found nothing"),
        ("pid", "policy pid: expected an environment that brings its own, make_pid()"),
        ("tests.own_plant:absent", "policy tests.own_plant:absent: expected a module and a function or class in it"),
        ("tests.own_plant:NOTHING", "expected a function or a class, found int"),
        ("tests.own_plant:wrong", "expected 1 finite numbers, found 'open'"),
    ],
)
def test_policies_that_are_none(policy: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        collected(plant(tmp_path), policy=policy, episodes=1)
    assert sentence in str(raised.value)
    assert is_one_sentence(str(raised.value))


def test_a_task_without_environment_or_with_files_as_episodes_collects_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="environment: expected an environment to collect in, found none"):
        OwnCollection(replace(plant(tmp_path), environment=None))
    with pytest.raises(ConfigError, match=r"episodes\.by: expected a column"):
        OwnCollection(plant(tmp_path, ('by = "episode"', 'by = "files"')))


# --- episodes of an evaluation, step by step -------------------------------------------------------------------------


def test_the_steps_of_the_first_episodes_are_kept_and_drawn(tmp_path: Path) -> None:
    make = '"tests.own_plant:Plant"'
    task = plant(tmp_path, (make, make + '\nkwargs = { fault = "cost" }\ncost = "info.cost"'))
    recorder = StepRecorder(task, num_envs=2)
    with VectorSimulator(task, num_envs=2, workers=0) as env:
        first = env.reset([1, 2])
        # Valves 9 and 10: levels from 0.5 on 0.9, 1.3, 1.7 and 2.1, or 1, 1.5 and 2, an end above 2.
        running = np.ones(2, bool)
        for moment in walk(env, first, [np.array([-1, -1])] * 4, lambda number, _: np.array([[0.8], [1.0]])):
            recorder(None, moment, running, 4)
            running &= ~(moment.step.terminated | moment.step.truncated)
    state = ToyAlgorithm().init(SPEC, jax.random.key(0))._replace(value=jnp.array([1.0, 0.0, 0.0]))  # V_h: the level
    found = recorder.arrays(ToyAlgorithm(), jax.tree.map(lambda leaf: leaf[None], state))
    assert np.isfinite(found["cost"]).sum(1).tolist() == [4, 3]
    np.testing.assert_allclose(found["h"][0, 0], (0.9 - 0.8) / 0.5, atol=0.02)
    np.testing.assert_allclose(found["feasible_value"][0], [0.5, 0.9, 1.3, 1.7], atol=0.02)
    assert recorder.remark(task) is None
    assert recorder.steps == 7
    figure = along_episodes(found)
    assert [axes.get_ylabel() for axes in figure.axes] == ["episode 0", "episode 1"]
    told = plant(
        tmp_path, ("level - 0.8", "level - 9"), (make, make + '\nkwargs = { fault = "cost" }\ncost = "info.cost"')
    )
    recorder = StepRecorder(told, num_envs=1)
    with VectorSimulator(told, num_envs=1, workers=0) as env:
        for moment in walk(env, env.reset([1]), [np.array([-1])] * 2, lambda number, _: np.array([[0.8]])):
            recorder(None, moment, np.ones(1, bool), 2)
    assert "info.cost and the signals contradict each other in 2 of 2 steps (100.00%)" in str(recorder.remark(told))


# --- without a task file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make_env", ["tests.own_plant:Plant", own_plant.Plant])
def test_any_gymnasium_environment_is_a_vector_environment(make_env: Any) -> None:
    with VectorSimulator.from_gymnasium(make_env, 2, horizon=5) as env:
        assert env.reset([1, 2]).shape == (2, 3)
        # In the order of the space, which sorts the keys: flow, then level. Half the way of [0, 10] is 5.
        step = env.step(np.array([[0.0], [1.0]]), [3, 4])
    np.testing.assert_allclose(step.observation[:, :2], [[5, -5], [10, -10]])
    assert (step.reward.tolist(), step.cost.tolist()) == ([1, 1], [0, 0])


def test_a_maker_that_no_process_could_import_is_refused() -> None:
    with pytest.raises(ConfigError, match="make: expected a function or a class at the top of a module"):
        VectorSimulator.from_gymnasium(lambda: own_plant.Plant(limit=3), 2, 1)
    with pytest.raises(EnvironmentFault, match=r"expected actions of a Box, found Discrete\(3\)"):
        VectorSimulator.from_gymnasium(own_plant.Chooser)
    with VectorSimulator.from_gymnasium(lambda: own_plant.Plant(limit=1), 2, cost="info.cost") as env:
        env.reset([1, 2])
        with pytest.raises(EnvironmentFault, match=r"environment\.cost: expected a finite number from 0 at info\.cost"):
            env.step(np.zeros((2, 1)), [0, 0])
