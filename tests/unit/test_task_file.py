"""Task files: what they say, and every mistake in one sentence with file, line, key, expected and found."""

import json
from importlib.resources import files
from pathlib import Path

import pytest
from tests.data_fixtures import is_one_sentence

from surefoot.errors import ConfigError
from surefoot.tasks.read_task_file import TaskFileReader, matches, parse_task_file, read_task_file, task_schema
from surefoot.tasks.toml_lines import key_lines, line_of

BOILER = """\
[task]
name = "boiler"
horizon = 400
reference_returns = "from data"

[observation]
columns = ["level", "pressure", "flow_*"]
units = { level = "m", pressure = "bar" }

[action]
columns = ["valve", "heater"]
low = [0.0, 0.0]
high = [1.0, 250.0]
rate_limit = [0.1, 50.0]

[reward]
expression = "-abs(level - setpoint)"

[[constraint]]
name = "level"
expression = "abs(level - 0.5) - 0.3"
unit = "m"
scale = "from data"

[[constraint]]
name = "trip"
column = "trip"
kind = "cost"
limit = 0

[episodes]
by = "episode_id"
time = "t"
step_seconds = 1.0

[environment]
make = "target_gym:BoilerDrum"
cost = "info.cost"
"""
"""The specification's file."""


def written(folder: Path, text: str) -> Path:
    path = folder / "task.toml"
    path.write_text(text)
    return path


def test_the_specification_s_file(tmp_path: Path) -> None:
    found = read_task_file(written(tmp_path, BOILER))
    assert (found.task.name, found.task.horizon) == ("boiler", 400)
    assert found.action.high == (1.0, 250.0)
    assert [one.of_state for one in found.constraint] == [True, False]  # a signal is of the state, a cost of the step
    assert [one.name for one in found.signals] == ["level"]
    assert found.observation.columns[-1] == "flow_*"  # waits for a log


def test_a_file_kept_as_json_is_the_same_file(tmp_path: Path) -> None:
    path = written(tmp_path, BOILER)
    found = read_task_file(path)
    kept = json.loads(json.dumps(found.as_json()))
    assert parse_task_file(kept, TaskFileReader(path, "")) == found


def test_the_schema_in_the_package_is_that_of_the_classes() -> None:
    shipped = json.loads(files("surefoot").joinpath("tasks/task.schema.json").read_text())
    assert shipped == json.loads(json.dumps(task_schema()))
    assert shipped["$defs"]["TaskTable"]["properties"]["horizon"]["description"] == "Longest episode, in steps."


BAD = [
    ("unknown key", 'name = "boiler"', 'name = "boiler"\nhorizn = 3', 3, "task.horizn: expected 'horizon', found"),
    ("unknown table", "[environment]", "[environs]", 36, "environs: expected 'environment', found a key"),
    ("unknown key in a list", 'unit = "m"', 'units = "m"', 22, "constraint[0].units: expected 'unit', found a key"),
    ("missing key", "horizon = 400\n", "", 1, "task.horizon: expected a value, found none"),
    (
        "missing table",
        BOILER[BOILER.index("[action]") : BOILER.index("[reward]")],
        "",
        None,
        "action: expected a value, found none",
    ),
    ("text for a number", "horizon = 400", 'horizon = "400"', 3, 'task.horizon: expected a valid integer, found "400"'),
    (
        "horizon of none",
        "horizon = 400",
        "horizon = 0",
        3,
        "task.horizon: expected greater than or equal to 1, found 0",
    ),
    ("a date", "horizon = 400", "horizon = 2026-01-01", 3, "task.horizon: expected a number or a text, found the date"),
    ("infinity", 'scale = "from data"', "scale = inf", 23, "constraint[0].scale: expected a finite number, found inf"),
    (
        "a word for a scale",
        'scale = "from data"',
        'scale = "big"',
        23,
        'scale: expected "from data" or a number above 0',
    ),
    (
        "a scale of none",
        'scale = "from data"',
        "scale = 0.0",
        23,
        'expected "from data" or a number above 0, found 0.0',
    ),
    ("returns reversed", '"from data"\n\n', "[5, 1]\n\n", 4, "expected [low, high] with low < high, found [5, 1]"),
    (
        "one return",
        '"from data"\n\n',
        "[5]\n\n",
        4,
        'reference_returns: expected "from data" or [low, high], found [5]',
    ),
    ("name of a built-in", '"boiler"', '"PointRobot"', 2, "expected a name of your own, found that of the built-in"),
    ("name with a slash", '"boiler"', '"../boiler"', 2, "task.name: expected letters, digits"),
    ("no columns", '["valve", "heater"]', "[]", 11, "action.columns: expected at least one, found []"),
    ("a column twice", '["valve", "heater"]', '["valve", "valve"]', 11, "expected each column once, found 'valve'"),
    ("bounds reversed", "low = [0.0, 0.0]", "low = [2.0, 0.0]", 12, "expected low < high, found 2 and 1 for valve"),
    (
        "too few bounds",
        "low = [0.0, 0.0]",
        "low = [0.0]",
        12,
        "expected 2 numbers, one for each of valve, heater, found 1",
    ),
    ("one side", "high = [1.0, 250.0]\n", "", 10, "action.high: expected bounds on both sides, found one side alone"),
    ("a rate of none", "[0.1, 50.0]", "[0.1, 0.0]", 14, "action.rate_limit[1]: expected greater than 0, found 0.0"),
    ("no unit", 'level = "m"', 'level = "banana"', 8, "observation.units.level: expected a unit as m/s, kPa or degC"),
    (
        "unit of no column",
        "{ level",
        "{ lever",
        8,
        "observation.units.lever: expected one of the columns level, pressure",
    ),
    (
        "unit of another kind",
        'unit = "m"',
        'unit = "bar"',
        22,
        "constraint[0].unit: expected a unit of the kind m, as abs",
    ),
    ("unit of another size", 'unit = "m"', 'unit = "cm"', 22, "constraint[0].unit: expected the unit m, as abs"),
    (
        "units mixed",
        "level - 0.5",
        "level - pressure",
        21,
        "expression: expected units of one kind, found level in m and",
    ),
    (
        "an expression with a call",
        "abs(level - 0.5)",
        "open(level)",
        21,
        "constraint[0].expression: expected no call but",
    ),
    (
        "a power bomb",
        "abs(level - 0.5)",
        "level - 9**9**9",
        21,
        "expression: expected finite numbers, found 9 ** 9 ** 9",
    ),
    ("no column", "abs(level - 0.5) - 0.3", "1 - 2", 21, "constraint[0].expression: expected at least one column, by"),
    (
        "a scale beyond 32 bits",
        'scale = "from data"',
        "scale = 1e-300",
        23,
        "scale: expected a number from 1.17549e-38",
    ),
    ("a horizon too long", "horizon = 400", "horizon = 2147483648", 3, "horizon: expected at most 2,147,483,647 steps"),
    ("a broken expression", "abs(level - 0.5)", "abs(level -", 21, "constraint[0].expression: expected an expression"),
    (
        "column and expression",
        'name = "level"',
        'name = "level"\ncolumn = "x"',
        19,
        "expected a column or an expression",
    ),
    (
        "neither of both",
        'column = "trip"\n',
        "",
        25,
        "constraint[1]: expected a column or an expression, found neither",
    ),
    ("a name twice", 'name = "trip"', 'name = "level"', 26, "constraint[1].name: expected a name that no other"),
    ("limit of a signal", 'unit = "m"', "limit = 2", 22, "constraint[0].limit: expected none for a signal"),
    ("unit of a cost", "limit = 0", 'unit = "m"', 29, "constraint[1].unit: expected none for a cost, found 'm'"),
    ("kind unknown", 'kind = "cost"', 'kind = "hope"', 28, "constraint[1].kind: expected 'signal' or 'cost', found"),
    ("no episode ends", 'by = "episode_id"\n', "", 31, "episodes.by: expected a column that tells episodes apart"),
    (
        "gaps without steps",
        '"episode_id"\ntime = "t"\nstep_seconds = 1.0',
        '"gaps"',
        31,
        "episodes.time: expected a value",
    ),
    ("steps without time", 'time = "t"\n', "", 31, "episodes.time: expected the column of times"),
    (
        "bad maker",
        '"target_gym:BoilerDrum"',
        '"a b"',
        37,
        "environment.make: expected a Gymnasium id or module:function",
    ),
    ("a strange table", "[environment]", "[-1]", 36, "-1: expected one of task, observation, action, constraint"),
    ("a cost elsewhere", 'cost = "info.cost"', 'cost = "cost"', 38, "environment.cost: expected a place in info"),
    ("a list as argument", 'cost = "info.cost"', "kwargs = { size = [1] }", 38, "environment.kwargs.size: expected"),
    ("broken TOML", "horizon = 400", "horizon = ", 3, "expected TOML, found a fault (Invalid value)"),
]


@pytest.mark.parametrize(("old", "new", "line", "part"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_each_mistake_is_one_sentence(old: str, new: str, line: int | None, part: str, tmp_path: Path) -> None:
    assert BOILER.count(old) >= 1
    path = written(tmp_path, BOILER.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        read_task_file(path, taken=["PointRobot"])
    message = str(caught.value)
    assert message.startswith(f"{path}: line {line}: " if line else f"{path}: "), message
    assert part in message
    assert is_one_sentence(message), message


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a task file, found no such file"):
        read_task_file(tmp_path / "none.toml")
    bad = tmp_path / "bad.toml"
    bad.write_bytes(b"[task]\nname = '\xff'\n")
    with pytest.raises(ConfigError, match="line 2: expected text in UTF-8"):
        read_task_file(bad)
    marked = tmp_path / "marked.toml"  # as editors on Windows write it
    marked.write_bytes(b"\xef\xbb\xbf" + BOILER.encode())
    assert read_task_file(marked) == read_task_file(written(tmp_path, BOILER))
    bad.write_text("a = " + "[" * 5000)
    with pytest.raises(ConfigError, match=r"found (TOML that is nested too deeply|a fault)"):
        read_task_file(bad)


def test_lines_of_keys() -> None:
    text = '[a]\nb.c = 1\n"d e" = 2\n[[f]]\ng = 3\n[[f]]\ng = 4 # [x]\n[f.h]\ni = 5\n'
    lines = key_lines(text)
    assert lines[("a", "b", "c")] == 2
    assert lines[("a", "d e")] == 3
    assert [lines[("f", number, "g")] for number in (0, 1)] == [5, 7]
    assert line_of(text, ("f", 1, "unknown", 3)) == 6
    assert line_of(text, ("nothing",)) is None


def test_patterns() -> None:
    assert matches("flow_*", "flow_12")
    assert matches("observation[*]", "observation[3]")
    assert not matches("flow_*", "inflow_1")
    assert not matches("a.c", "abc")
