"""A benchmark's plan: what is read, what is refused in one sentence, what enters a cell's key."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests import own_plant
from tests.data_fixtures import is_one_sentence

from surefoot.collection.own import OwnCollection, collect_own, write_log
from surefoot.envs.workers.players import Players
from surefoot.errors import ConfigError
from surefoot.experiments.plan import Plan, TaskEntry, read_plan
from surefoot.experiments.resolve import identity_of, resolve_cells, resolve_methods
from surefoot.experiments.sources import describe
from surefoot.experiments.store import DataRecord
from surefoot.tasks import get_task
from surefoot.types import BEFORE

RECORD = DataRecord("ball.hdf5", "f" * 64, 10, 20, 5, 500, 0.2, 0.5, 0.9)
PLAN = """
name = "tiny"
seeds = [0, 1]
[tasks]
BallRun = "ball.hdf5"
[tasks.DroneRun]
data = "drone.hdf5"
role = "held-out"
fractions = [0.1, 1.0]
[methods.fisor]
algorithm = "fisor"
[methods.fisor.overrides]
violation_scale = 25.0
diffusion.network.width = 32
[methods.safe]
algorithm = "bc"
data_filter = "safe"
title = "BC-Safe"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "plan.toml"
    path.write_text(text)
    return path


def cells_of(folder: Path, text: str = PLAN, **record: Any) -> list[Any]:
    path = written(folder, text)
    plan = read_plan(path)
    data = dict.fromkeys(plan.tasks, DataRecord(**{**vars(RECORD), **record}))
    return resolve_cells(plan, resolve_methods(plan, str(path)), data, folder)


def test_a_plan_is_read(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, PLAN))
    assert plan.tasks == {
        "BallRun": TaskEntry("ball.hdf5"),
        "DroneRun": TaskEntry("drone.hdf5", "held-out", (0.1, 1.0)),
    }
    assert plan.seeds == (0, 1)
    assert plan.methods["fisor"].overrides == {"violation_scale": 25.0, "diffusion": {"network": {"width": 32}}}
    assert [plan.title_of(key) for key in plan.methods] == ["fisor", "BC-Safe"]


def test_dsrls_names_of_tasks_are_known(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, PLAN.replace("BallRun =", '"OfflineBallRun-v0" =')))
    assert list(plan.tasks) == ["BallRun", "DroneRun"]


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ('name = "tiny"', "", "name: expected a value, found none"),
        ('name = "tiny"', 'name = "a/b"', "name: expected letters"),
        ('name = "tiny"', 'name = "tiny"\nheld_out_log = "a\\u0000"', "held_out_log: expected text without null"),
        ('name = "tiny"', 'name = "tiny"\nepisode = 3', "unknown key 'episode'; did you mean episodes"),
        ('name = "tiny"', 'name = "tiny"\nepisodes = 0', "episodes: expected at least 1, found 0"),
        ('name = "tiny"', 'name = "tiny"\nepisodes = "20"', 'episodes: expected a valid integer, found "20"'),
        ('name = "tiny"', 'name = "tiny"\nepisodes = 2020-01-01', "episodes: expected text, a finite number"),
        ('name = "tiny"', 'name = "tiny"\nbaseline = "bc"', "baseline: expected one of fisor, safe, found bc"),
        ('name = "tiny"', 'name = "tiny"\nprotocols = ["lax"]', "protocols.0: expected 'strict' or 'dsrl'"),
        ("[0, 1]", "[0, 0]", "seeds: expected different ones"),
        ("[0.1, 1.0]", "[0.1, 1.5]", "tasks.DroneRun: fractions: expected a number in (0, 1], found 1.5"),
        ("[0.1, 1.0]", "[0.1, nan]", "tasks.DroneRun.fractions: expected text, a finite number"),
        ('"held-out"', '"secret"', "tasks.DroneRun: role: expected 'development' or 'held-out', found \"secret\""),
        ("role =", "rule =", "tasks.DroneRun: unknown key 'rule'; did you mean role"),
        ("BallRun =", "BalRun =", "tasks: unknown task 'BalRun'; did you mean BallRun"),
        ('BallRun = "ball.hdf5"', "BallRun = 3", "tasks.BallRun: expected a table, found 3"),
        ('algorithm = "bc"', 'algoritm = "bc"', "methods.safe: unknown key 'algoritm'; did you mean algorithm"),
        ('algorithm = "bc"', 'algorithm = "bcq"', "methods.safe: unknown algorithm 'bcq'; did you mean bc"),
        ('algorithm = "bc"', 'algorithm = "bc"\npreset = "smal"', "unknown preset of bc 'smal'; did you mean small"),
        ("violation_scale =", "violation_scal =", "unknown hyper-parameter 'violation_scal'; did you mean violation_"),
        ("violation_scale = 25.0", "margin = -1", "margin: expected a number in [0, inf), found -1"),
        ("violation_scale = 25.0", "budget = 1.0", "overrides.budget: expected none, as fisor takes no budget when it"),
        ("violation_scale = 25.0", "cost_limit = -1", "cost_limit: expected a number in [0, inf), found -1"),
        ('algorithm = "bc"', 'algorithm = "bc"\ncost_limit = 1', "or a hyper-parameter in the table overrides?"),
        (
            'title = "BC-Safe"',
            "overrides = {cost_limit = 1}",
            "overrides.cost_limit: expected none, as bc has no limit on",
        ),
        ("network.width = 32", "network = 3", "overrides.diffusion.network: expected a table, found 3"),
        ('data_filter = "safe"', 'data_filter = "saef"', "data_filter: expected 'all', 'safe', 'risky', 'boundary',"),
        ('data_filter = "safe"', "filter_cost_limit = 3", "expected none with the data filter all"),
        ('title = "BC-Safe"', 'title = "fisor"', "methods: expected different titles, found 'fisor' twice"),
        ("DroneRun]", "HazardRun]", "expected tasks of vectors, found HazardRun"),
        ("[tasks]", "[tasks", ": expected TOML, found a fault"),
    ],
)
def test_faults_of_a_plan_are_one_sentence(old: str, new: str, part: str, tmp_path: Path) -> None:
    assert old in PLAN
    with pytest.raises(ConfigError) as error:
        cells_of(tmp_path, PLAN.replace(old, new, 1))
    assert str(error.value).startswith(f"{tmp_path / 'plan.toml'}: ")
    assert part in str(error.value)
    assert is_one_sentence(str(error.value).replace("?", ".")), str(error.value)


@pytest.mark.parametrize("key", ["tasks", "methods"])
def test_a_plan_needs_tasks_and_methods(key: str, tmp_path: Path) -> None:
    texts = {"tasks": '[methods.a]\nalgorithm = "bc"', "methods": '[tasks]\nBallRun = "a"'}
    with pytest.raises(ConfigError, match=f"{key}: expected a table, found none"):
        read_plan(written(tmp_path, f'name = "a"\n{texts[key]}'))


@pytest.mark.parametrize("text", [f"a = {'[' * 5000}", f"{'a.' * 5000}b = 1", f"a = {'[' * 70}{']' * 70}"])
def test_a_plan_that_is_nested_without_end_is_one_sentence(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a benchmark, found (TOML that is|tables or lists) nested too deeply"):
        read_plan(written(tmp_path, text))


def test_a_missing_plan_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected the plan of a benchmark, found no such file"):
        read_plan(tmp_path / "none.toml")


def test_cells_are_tasks_by_methods_by_fractions(tmp_path: Path) -> None:
    cells = cells_of(tmp_path)
    assert [(cell.task, cell.method, cell.fraction) for cell in cells] == [
        ("BallRun", "fisor", 1.0), ("BallRun", "safe", 1.0), ("DroneRun", "fisor", 0.1), ("DroneRun", "fisor", 1.0),
        ("DroneRun", "safe", 0.1), ("DroneRun", "safe", 1.0),
    ]  # fmt: skip
    assert [cell.held_out for cell in cells] == [False, False, True, True, True, True]
    assert len({cell.key for cell in cells}) == 6
    assert cells[0].seeds == (0, 1)
    assert cells[0].hyperparameters["violation_scale"] == 25.0
    assert cells[0].hyperparameters["diffusion"]["network"]["width"] == 32
    assert cells[0].data == str(tmp_path / "ball.hdf5")
    split = cells_of(tmp_path, PLAN.replace("seeds =", "split_seeds = true\nseeds ="))
    assert [cell.seeds for cell in split[:2]] == [(0,), (1,)]
    assert len(split) == 12


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("violation_scale = 25.0", "violation_scale = 24.0", {"fisor"}),
        ('data_filter = "safe"', 'data_filter = "risky"', {"safe"}),
        ('data_filter = "safe"', 'data_filter = "safe"\nfilter_cost_limit = 3.0', {"safe"}),
        ('name = "tiny"', 'name = "tiny"\nrevision = "2"', {"fisor", "safe"}),
        ("[0, 1]", "[0, 2]", {"fisor", "safe"}),
        # What changes no number of the training.
        ('name = "tiny"', 'name = "other"\nepisodes = 7', set()),
        ('title = "BC-Safe"', "", set()),
        ('data_filter = "safe"', 'data_filter = "safe"\nfilter_cost_limit = 5.0', set()),
    ],
)
def test_a_key_is_of_what_the_numbers_depend_on(old: str, new: str, changes: set[str], tmp_path: Path) -> None:
    before, after = cells_of(tmp_path), cells_of(tmp_path, PLAN.replace(old, new, 1))
    pairs = list(zip(before, after, strict=True))
    assert {one.method for one, other in pairs if one.key != other.key} == changes


def test_other_data_are_other_cells(tmp_path: Path) -> None:
    keys = {cell.key for cell in cells_of(tmp_path)}
    assert not keys & {cell.key for cell in cells_of(tmp_path, fingerprint="e" * 64)}
    assert keys == {cell.key for cell in cells_of(tmp_path, file="elsewhere.hdf5", modified=3)}


def test_a_plan_in_python_is_checked_as_well() -> None:
    with pytest.raises(ConfigError, match="methods: expected at least one method, found none"):
        Plan("a", {"BallRun": TaskEntry("b")}, {})


@dataclass(frozen=True)
class Inner:
    width: int = 3
    later: float = field(default=0.5, metadata={BEFORE: 0.5})


@dataclass(frozen=True)
class Outer:
    sizes: tuple[int, int] = (1, 2)
    inner: Inner = Inner()
    added: Inner | None = field(default=None, metadata={BEFORE: None})
    returns: Inner = field(default=Inner(), metadata={BEFORE: {"width": 3}})


def test_hyperparameters_that_were_added_later_leave_keys_as_they_were() -> None:
    assert identity_of(Outer()) == {"sizes": [1, 2], "inner": {"width": 3}}
    changed = identity_of(Outer(inner=Inner(later=0.6), added=Inner(), returns=Inner(4)))
    assert changed == {
        "sizes": [1, 2], "inner": {"width": 3, "later": 0.6}, "added": {"width": 3}, "returns": {"width": 4},
    }  # fmt: skip


def test_a_task_file_beside_the_plan_is_a_task_of_it(tmp_path: Path) -> None:
    """Its columns may hold a *: the data know which they are."""
    open_columns = own_plant.TASK.replace('"flow[0]", "flow[1]"', '"flow*"')
    (tmp_path / "plant.toml").write_text(open_columns)
    (tmp_path / "whole.toml").write_text(own_plant.TASK)
    collection = OwnCollection(get_task(str(tmp_path / "whole.toml")), policy="tests.own_plant:wobble", episodes=3)
    with Players(collection.task, workers=0) as players:
        write_log(collection, collect_own(collection, players), tmp_path / "plant.hdf5")
    text = 'name = "own"\nseeds = [0]\nepisodes = 1\n[tasks]\n"plant.toml" = "plant.hdf5"\n'
    text += '[methods.bc]\nalgorithm = "bc"\n'
    path = written(tmp_path, text)
    plan = read_plan(path)
    assert list(plan.tasks) == ["plant"]
    found = resolve_methods(plan, str(path), tmp_path)
    assert found["plant", "bc"].task.observation_dim == 3
    assert describe(tmp_path / "plant.hdf5", "plant").episodes == 3
    with pytest.raises(ConfigError, match=r"absent\.toml: expected a task file, found no such file"):
        read_plan(written(tmp_path, text.replace("plant.toml", "absent.toml")))
    with pytest.raises(ConfigError, match="expected each task once, found plant twice"):
        read_plan(written(tmp_path, text.replace('"plant.toml" =', '"whole.toml" = "a"\n"plant.toml" =')))
