"""Runs of the first edition load, act, go on and are summarized as they did then.

On the machine that made them, with the versions and flags that made them, to the bit; on others within rounding, as
far as rounding leaves a decision alone.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.compatibility.behavior import act, same_machine, seeds_of
from tests.compatibility.reading import read_again, read_arrays, rows_file, summarized, tables
from tests.compatibility.recipes import DATA, EXPECTED, HERE, RECIPES, RUNS

from surefoot.cli.main import main

RTOL, ATOL = 1e-5, 1e-5
GOING_ON = ("bc", "fisor_joint", "fisor_returns", "fosp", "safedreamer", "trebi")
"""Runs that are trained on: compiling an update takes seconds, and the others' are these updates."""
EVALUATED = ("fisor_point_robot", "fosp", "trebi")
"""Runs that are evaluated anew: poses, images and budgets, none of which needs a simulator."""


def assert_alike(found: np.ndarray, expected: np.ndarray, *, what: str) -> None:
    """Fail where two arrays differ: in a bit on the same machine, by more than rounding elsewhere."""
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype), what
    if same_machine():
        np.testing.assert_array_equal(found, expected, err_msg=what)
    else:
        np.testing.assert_allclose(found, expected, rtol=RTOL, atol=ATOL, err_msg=what)


def copy_of(name: str, folder: Path, *, last: bool = True) -> Path:
    """A copy of a run, which may be changed and finds its data; without its last checkpoint if not `last`."""
    run = Path(shutil.copytree(RUNS / name, folder / name))
    config = run / "config.json"
    config.write_text(config.read_text().replace("/fixtures", str(HERE)))
    if not last:
        shutil.rmtree(max((run / "checkpoints").iterdir()))
    return run


def last_step(name: str) -> int:
    return max(int(path.name) for path in (RUNS / name / "checkpoints").iterdir())


@pytest.mark.parametrize("name", RECIPES)
def test_a_policy_acts_and_values_as_before(name: str) -> None:
    with np.load(EXPECTED / f"{name}.npz") as archive:
        expected = {key: archive[key] for key in archive.files}
    found = {f"{seed}/{key}": value for seed in seeds_of(name) for key, value in act(name, seed=seed).items()}
    assert found.keys() == expected.keys()
    for key, value in found.items():
        assert_alike(value, expected[key], what=key)


@pytest.mark.parametrize("name", RECIPES)
def test_a_configuration_means_the_same(name: str) -> None:
    """Fields that were added since have the value that says "as before"; all others come back."""
    there, again = read_again(RUNS / name)
    assert {key: again[key] for key in there} == there


@pytest.mark.parametrize("name", GOING_ON)
def test_a_run_goes_on_from_its_checkpoint_to_the_same_end(name: str, tmp_path: Path) -> None:
    run, step = copy_of(name, tmp_path, last=False), last_step(name)
    assert main(["train", "--out", str(run), "--data", str(DATA / RECIPES[name].data), "--resume"]) == 0
    expected, found = read_arrays(RUNS / name, step), read_arrays(run, step)
    assert found.keys() == expected.keys()
    for key, array in found.items():
        assert_alike(array, expected[key], what=key)
    for before, after in zip(metrics_of(RUNS / name), metrics_of(run), strict=True):
        assert {key: after[key] for key in ("step", "phase", "seed")} == {
            key: before[key] for key in ("step", "phase", "seed")
        }
        tolerance = 1e-12 if same_machine() else 1e-4
        assert after["metrics"] == pytest.approx(before["metrics"], rel=tolerance, abs=tolerance)


def metrics_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def leaves_of(value: Any, place: str = "") -> dict[str, Any]:
    """The leaves of JSON values by their places."""
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {key: one for name, inner in items for key, one in leaves_of(inner, f"{place}/{name}").items()}
    return {place: value}


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.after])
def test_rows_are_summarized_and_tabulated_as_before(name: str) -> None:
    expected, found = summarized(RUNS / name)
    assert found.keys() <= expected.keys()
    was, now = leaves_of({key: expected[key] for key in found}), leaves_of(found)
    assert now == {
        place: value if type(value) is not float else pytest.approx(value, rel=1e-12) for place, value in was.items()
    }
    assert tables(RUNS / name) == (EXPECTED / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", EVALUATED)
def test_an_evaluation_gives_the_same_rows(
    name: str, tmp_path: Path, small_evaluations: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Elsewhere episodes part ways after a rounding: there it is the same episodes with the same columns."""
    run = copy_of(name, tmp_path)
    rows_file(run).unlink()
    for command in RECIPES[name].after:
        assert main([str(run) if word == "RUN" else word for word in command.split()]) == 0
    before, after = rows_of(RUNS / name), rows_of(run)
    assert [list(row) for row in after] == [list(row) for row in before]
    told = ("task", "algorithm", "seed", "episode", "start", "pose", "asked", "budget", "level")
    for one, other in zip(before, after, strict=True):
        assert [other.get(key) for key in told] == [one.get(key) for key in told]
    if same_machine():
        assert [_without_times(row) for row in after] == [_without_times(row) for row in before]
        assert margins_of(run) == margins_of(RUNS / name)


def rows_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in rows_file(run).read_text().splitlines()]


def margins_of(run: Path) -> Any:
    """The margins of each seed and level; None where the run is not calibrated."""
    path = run / "calibration.json"
    return json.loads(path.read_text())["seeds"] if path.exists() else None


def _without_times(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if "seconds" not in key}


def test_a_comparison_of_runs_writes_the_same_table(tmp_path: Path) -> None:
    names = ["fisor_decoupled", "bc", "bc_safe"]
    assert main(["report", *[str(RUNS / name) for name in names], "--out", str(tmp_path / "compared")]) == 0
    assert (tmp_path / "compared" / "table.md").read_text() == (EXPECTED / "table.md").read_text()
