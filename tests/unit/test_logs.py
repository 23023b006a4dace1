"""Logs of one's own: every format gives the same transitions, and every fault one sentence and no file."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from tests.data_fixtures import is_one_sentence
from tests.log_formats import FORMATS, as_parquet, imported, pyarrow
from tests.own_log import TANK, tank_columns, write_csv, write_task

from surefoot import data
from surefoot.data.episodes import Episodes
from surefoot.data.logs import import_log, open_log, transitions_of
from surefoot.data.logs.arrays import frame_log
from surefoot.data.logs.importing import SIGNALS_KEY
from surefoot.errors import ConfigError, SurefootError
from surefoot.tasks import get_task
from surefoot.tasks.read_task_file import open_task_file


def test_transitions_of_a_log_by_hand(tmp_path: Path) -> None:
    # Two episodes; the second one trips in its last row and terminates there.
    columns = {
        "episode": np.array([1, 1, 1, 2, 2]),
        "t": np.array([0, 2, 4, 0, 2.0]),
        "level": np.array([0.5, 0.7, 0.9, 0.5, 0.6]),
        "flow_1": np.array([1, 2, 3, 4, 5.0]),
        "flow_2": np.array([0, 0, 0, 0, 1.0]),
        "valve": np.array([0, 5, 10, 10, 0.0]),
        "reward": np.array([1, 2, 3, 4, 5.0]),
        "trip": np.array([0, 0, 0, 0, 1.0]),
        "done": np.array([0, 0, 0, 0, 1.0]),
    }
    out, found = imported(tmp_path, write_csv(tmp_path / "log.csv", columns))
    log = data.load(out, found.task)
    # Rows 0 and 1 are the steps of episode 1, whose row 2 is where it ended; both rows of episode 2 are steps.
    np.testing.assert_allclose(log.observations[:, 0], [0.5, 0.7, 0.5, 0.6])
    np.testing.assert_allclose(log.next_observations[:, 0], [0.7, 0.9, 0.6, 0.6])
    np.testing.assert_allclose(log.actions[:, 0], [-1, 0, 1, -1])  # the valve from 0 to 10
    np.testing.assert_allclose(log.required_rewards, [1, 2, 4, 5])
    assert log.terminated.tolist() == [False, False, False, True]
    assert log.truncated.tolist() == [False, True, False, False]
    # |level - 0.5| - 0.3 of the states entered: -0.1, 0.1, -0.2, -0.2 (its own again); the mean size is 0.15.
    assert found.file.constraint[0].scale == pytest.approx(0.15)
    with h5py.File(out) as file:
        signals = np.asarray(file[SIGNALS_KEY])
        np.testing.assert_allclose(signals[:, 0], np.array([-0.1, 0.1, -0.2, -0.2]) / 0.15, rtol=1e-5)
        np.testing.assert_allclose(signals[:, 1], [0, 0, 0, 1])
    assert log.constraints is not None
    np.testing.assert_allclose(log.constraints, np.array([-0.1, 0.1, -0.2, 0.15]) / 0.15, rtol=1e-5)  # the trip: 1
    np.testing.assert_allclose(log.costs, [0, 1, 0, 1])  # the level's violation, and the trip
    assert found.task.return_min == 3.0  # 1 + 2
    assert found.task.return_max == 9.0  # 4 + 5
    assert found.sentences == [
        "the last row of 1 episodes, terminated or with a cost, is a step into a state that the log does not hold; its "
        "own observation stands for that state"
    ]
    assert data.read_card(out)["task_file"]["observation"]["columns"] == ["level", "flow_1", "flow_2"]


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_transitions(kind: str, tmp_path: Path) -> None:
    columns = tank_columns()
    frame, expected, _ = transitions_of(frame_log(columns), open_task_file(write_task(tmp_path))[0])
    assert len(frame) == 8 * 19 + expected.survey.repeated
    out, found = imported(tmp_path, FORMATS[kind][0](tmp_path, columns), text=FORMATS[kind][1])
    log = data.load(out, found.task)
    for (name, one), (_, other) in zip(log.arrays(), frame.arrays(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6, err_msg=name)


def test_data_frames_and_dates(tmp_path: Path) -> None:
    columns = tank_columns(episodes=2)
    file, reader = open_task_file(write_task(tmp_path))
    expected, _, _ = transitions_of(frame_log(columns), file)
    dates = [f"2026-01-31T12:00:{second:02.0f}" for second in columns["t"]]
    names = [f"run {number:g}" for number in columns["episode"]]
    for frame in (pyarrow.table(columns), {**columns, "t": dates, "episode": names}):
        found, _, _ = transitions_of(frame_log(frame), file)
        assert found.fingerprint() == expected.fingerprint()
    log = write_csv(tmp_path / "log.csv", {**columns, "t": np.array(dates), "episode": np.array(names)})
    import_log(open_log([log]), file, reader, tmp_path / "out.hdf5")
    assert len(data.load(tmp_path / "out.hdf5", transitions_of(frame_log(columns), file)[1].task)) == len(expected)


def test_large_numbers_of_episodes_stay_apart(tmp_path: Path) -> None:
    columns = tank_columns(episodes=2)
    numbers = (2**60 + columns["episode"].astype(np.int64)).astype(object)  # alike in float64
    for log in (write_csv(tmp_path / "log.csv", {**columns, "episode": numbers}),
                as_parquet(tmp_path, {**columns, "episode": numbers.astype(np.int64)})):  # fmt: skip
        _, found = imported(tmp_path, log)
        assert found.survey.episodes == 2
        (tmp_path / "out.hdf5").unlink()


def test_minari_s_dataset(tmp_path: Path) -> None:
    (tmp_path / "set" / "data").mkdir(parents=True)
    random = np.random.default_rng(0)
    with h5py.File(tmp_path / "set" / "data" / "main_data.hdf5", "w") as file:
        for number in range(11):  # episode_10 is the last, not the third
            group = file.create_group(f"episode_{number}")
            group["observations"] = random.normal(size=(5, 2)) + np.array([number, 0])
            group["actions"] = random.uniform(-1, 1, (4, 1))
            group["rewards"] = np.arange(4.0)
            group["terminations"], group["truncations"] = np.zeros(4, bool), np.array([0, 0, 0, 1], bool)
            group["infos/cost"] = np.array([0.0, 0, 0, 0, 1])  # of the five moments
    (tmp_path / "set" / "data" / "metadata.json").write_text("{}")
    text = """\
[task]
name = "minari"
horizon = 4
[observation]
columns = ["observations[*]"]
next_prefix = "next_"
[action]
columns = ["actions"]
[reward]
column = "rewards"
[[constraint]]
name = "cost"
column = "infos/cost"
kind = "cost"
[episodes]
by = "episode"
terminated = "terminations"
truncated = "truncations"
"""
    out, found = imported(tmp_path, tmp_path / "set", text=text)
    log = data.load(out, found.task)
    assert log.lengths.tolist() == [4] * 11
    assert log.costs.reshape(11, 4).tolist() == [[0, 0, 0, 1]] * 11
    means = log.observations.reshape(11, 4, 2)[:, :, 0].mean(1)
    np.testing.assert_allclose(means, np.arange(11), atol=2.0)
    assert (log.next_observations[:-1][~log.truncated[:-1]] == log.observations[1:][~log.truncated[:-1]]).all()


def test_episodes_by_gaps_by_files_and_by_ends(tmp_path: Path) -> None:
    columns = tank_columns(episodes=3, steps=10)
    del columns["episode"]
    columns["t"] = np.concatenate([100 * number + 2.0 * np.arange(10) for number in range(3)])
    columns["done"] = np.tile(np.arange(10) == 9, 3).astype(float)
    columns["trip"][9::10] = 0.0
    log = write_csv(tmp_path / "log.csv", columns)
    by_gaps = TANK.replace('by = "episode"\nterminated = "done"', 'by = "gaps"')
    by_ends = TANK.replace('by = "episode"\n', "")
    by_column = TANK.replace('by = "episode"\nterminated = "done"', 'by = "ends"\ntruncated = "done"')
    lengths = {}
    for name, text in (("gaps", by_gaps), ("ends", by_ends), ("column", by_column)):
        out, found = imported(tmp_path, log, text=text)
        loaded = data.load(out, found.task)
        lengths[name] = (loaded.lengths.tolist(), int(loaded.terminated.sum()))
        out.unlink()
    assert lengths["gaps"] == ([9] * 3, 0)
    assert lengths["ends"] == ([10] * 3, 3)  # a terminated episode keeps its last row
    assert lengths["column"] == ([9] * 3, 0)
    files = tmp_path / "files"
    files.mkdir()
    for number in range(3):
        part = {name: values[10 * number : 10 * number + 10] for name, values in columns.items()}
        write_csv(files / f"{number}.csv", part)
    out, found = imported(tmp_path, files, text=by_gaps.replace('"gaps"', '"files"'))
    assert len(data.load(out, found.task).lengths) == 3


def test_missing_numbers_drop_their_episode_where_asked(tmp_path: Path) -> None:
    columns = tank_columns(episodes=4)
    columns["level"][25] = np.nan
    columns["valve"][19] = np.nan  # in the last row of the first episode, where nothing is chosen any more
    columns["trip"][19] = 0
    log = write_csv(tmp_path / "log.csv", columns)
    dropping = TANK.replace("[episodes]", '[episodes]\nmissing = "drop episode"')
    out, found = imported(tmp_path, log, text=dropping)
    assert (found.survey.episodes, found.survey.dropped) == (3, 1)
    assert found.sentences[0] == "1 episodes were left out, which lack numbers"
    assert len(data.load(out, found.task).lengths) == 3


def _set(name: str, row: int, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(columns: dict[str, Any]) -> None:
        columns[name] = columns[name].astype(object)
        columns[name][row] = value

    return edit


def _rename(old: str, new: str) -> Callable[[dict[str, Any]], None]:
    return lambda columns: columns.__setitem__(new, columns.pop(old))


BAD_LOGS: list[tuple[str, Callable[[dict[str, Any]], None], str]] = [
    ("text in a column", _set("level", 3, "high"), "log.csv: line 5: level: expected a number, found 'high'"),
    ("a missing number", _set("level", 3, ""), "log.csv: line 5: level: expected a number, found none (missing ="),
    ("infinity", _set("level", 3, "inf"), "log.csv: line 5: level: expected a number, found inf"),
    ("minus infinity", _set("level", 3, "-Infinity"), "log.csv: line 5: level: expected a number, found -inf"),
    ("beyond float64", _set("level", 3, "1e400"), "log.csv: line 5: level: expected a number, found inf"),
    ("a nan", _set("level", 3, " NaN"), "log.csv: line 5: level: expected a number, found none (missing ="),
    ("an underscore", _set("level", 3, "1_000"), "log.csv: line 5: level: expected a number, found '1_000'"),
    ("a time with one", _set("t", 3, "1_0"), "log.csv: line 5: t: expected a time in seconds or as 2026"),
    ("thousands", _set("level", 3, "1,000"), "log.csv: line 5: level: expected a number, found '1,000'"),
    (
        "other digits",
        _set("level", 3, "\u0661\u0662"),
        "line 5: level: expected a number, found '\u0661\u0662'",
    ),
    ("hexadecimal", _set("level", 3, "0x10"), "log.csv: line 5: level: expected a number, found '0x10'"),
    ("a flag in digits", _set("done", 3, "\u0661"), "log.csv: line 5: done: expected a number, found '\u0661'"),
    (
        "a time twice",
        _set("t", 3, 4.0),
        "log.csv: line 5: t: expected times that grow within an episode, found 4 twice",
    ),
    (
        "times unsorted",
        _set("t", 3, 1.0),
        "line 5: t: expected times that grow within an episode, found 1, which is -3 s",
    ),
    ("a gap", _set("t", 19, 90.0), "line 21: t: expected 2 s after the row before, found 54 s (gaps ="),
    ("irregular times", _set("t", 19, 37.0), "line 21: t: expected 2 s after the row before, found 1 s; Surefoot does"),
    ("no time", _set("t", 3, ""), "log.csv: line 5: t: expected a time in seconds or as 2026"),
    ("a time of words", _set("t", 3, "noon"), "log.csv: line 5: t: expected a time in seconds or as 2026"),
    ("an episode again", _set("episode", 159, 1), "line 161: episode: expected the rows of an episode one after the"),
    (
        "no episode",
        _set("episode", 0, ""),
        "log.csv: line 2: episode: expected the name of the row's episode, found none",
    ),
    ("returns too large", _set("reward", 3, 1e300), "log.csv: rewards: expected returns that fit into float32, found"),
    ("an action outside", _set("valve", 3, 11), "line 5: valve: expected a number in [0, 10], the bounds in [action]"),
    ("a cost below 0", _set("trip", 3, -1), "line 5: constraint trip: expected a cost of at least 0, found -1"),
    ("a flag of two", _set("done", 3, 2), "line 5: done: expected 0 or 1, true or false, found 2"),
    ("a wrong column", _rename("level", "levl"), "task.toml: line 6: observation.columns: expected a column of"),
    ("no such pattern", _rename("flow_1", "x"), ""),
    ("a wrong reward", _rename("reward", "rewards"), "line 15: reward.column: expected a column of"),
    ("a wrong cost", _rename("trip", "tripped"), "line 24: constraint[1].column: expected a column of"),
    ("a wrong episode", _rename("episode", "ep"), "line 28: episodes.by: expected a column of"),
]


@pytest.mark.parametrize(("edit", "part"), [case[1:] for case in BAD_LOGS], ids=[case[0] for case in BAD_LOGS])
def test_each_fault_is_one_sentence_and_leaves_no_file(
    edit: Callable[[dict[str, Any]], None], part: str, tmp_path: Path
) -> None:
    columns: dict[str, Any] = dict(tank_columns())
    edit(columns)
    log = write_csv(tmp_path / "log.csv", columns)
    if not part:  # flow_2 still fits
        imported(tmp_path, log)
        return
    with pytest.raises(SurefootError) as caught:
        imported(tmp_path, log)
    assert part in str(caught.value)
    assert is_one_sentence(str(caught.value)), caught.value
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv", "task.toml"]


def test_a_horizon_too_short(tmp_path: Path) -> None:
    log = write_csv(tmp_path / "log.csv", tank_columns())
    with pytest.raises(SurefootError) as caught:
        imported(tmp_path, log, text=TANK.replace("horizon = 40", "horizon = 12"))
    expected = "log.csv: line 15: expected an episode's end within 12 steps, the horizon of tank, found none in 14 rows"
    assert expected in str(caught.value)


def test_files_of_mixed_schemas(tmp_path: Path) -> None:
    columns = tank_columns()
    one = write_csv(tmp_path / "a.csv", columns)
    other = write_csv(tmp_path / "b.csv", {**columns, "more": columns["t"]})
    with pytest.raises(SurefootError, match=r"b\.csv: line 1: expected the columns of a\.csv, found 'more' besides\."):
        open_log([one, other])
    with pytest.raises(SurefootError, match=r"expected files of one format, found \.csv and \.parquet\."):
        open_log([one, as_parquet(tmp_path, columns)])
    (tmp_path / "c.csv").write_text(one.read_text().replace("0.5", "0.5,9", 1))
    with pytest.raises(SurefootError, match=r"c\.csv: line 2: expected 9 cells, as in line 1, found 10\."):
        imported(tmp_path, tmp_path / "c.csv")


def test_parquet_without_pyarrow_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = as_parquet(tmp_path, tank_columns(episodes=1))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigError, match=r"pyarrow: expected to be installed.*pip install 'surefoot\[logs\]'\."):
        open_log([path])


def test_what_is_no_log(tmp_path: Path) -> None:
    texts = {"empty.csv": "", "numbers.csv": "1,2\n3,4\n", "twice.csv": "a,a\n3,4\n", "bytes.csv": "\0\1" * 50}
    for name, text in {**texts, "broken.parquet": "PAR1", "notes.txt": "", "latin.csv": "a\n1\n\xf6\n"}.items():
        (tmp_path / name).write_bytes(text.encode("latin1"))
    (tmp_path / "folder").mkdir()
    for name, part in {
        "latin.csv": "line 3: expected text in UTF-8, found other bytes",
        "none.csv": "found nothing at that place",
        "empty.csv": "expected a first line of column names, found an empty file",
        "bytes.csv": "expected a first line of column names, found bytes that are no text",
        "numbers.csv": "expected column names, found numbers alone (1,2)",
        "twice.csv": "expected a name for each column, each once, found 'a' twice",
        "broken.parquet": "expected a readable Parquet file",
        "notes.txt": "found a file that ends in '.txt'",
        "folder": "expected a folder of CSV or Parquet files, found 0 of them",
    }.items():
        with pytest.raises(SurefootError) as caught:
            open_log([tmp_path / name])
        assert part in str(caught.value)
        assert str(tmp_path / name) in str(caught.value)
    with pytest.raises(ConfigError, match="at least one file"):
        open_log([])


@pytest.mark.parametrize(
    ("frame", "part"),
    [
        ("log.csv", "frame: expected a data frame, a table or a dictionary of arrays, found a value of type str"),
        (np.zeros((3, 3)), "frame: expected a data frame, a table or a dictionary of arrays, found a value of type nd"),
        ({"level": [[1], [1, 2]]}, "frame: level: expected one number a row, found rows of different lengths"),
    ],
)
def test_what_is_no_frame(frame: Any, part: str) -> None:
    with pytest.raises(SurefootError) as caught:
        frame_log(frame)
    assert part in str(caught.value)
    assert is_one_sentence(str(caught.value)), caught.value


def test_arrays_that_are_none_or_ragged() -> None:
    task = get_task("PointRobot")
    good: dict[str, Any] = {"observations": [[1.0]], "actions": [[0.0]], "costs": [0.0]}
    good |= {"terminated": [1], "truncated": [0]}
    for key, value, part in (
        ("observations", None, "observations: expected numbers, found none"),
        ("actions", [[1], [2, 3]], "actions: expected one row a step, found rows of different lengths"),
    ):
        with pytest.raises(SurefootError, match=part):
            Episodes.from_arrays(task, **{**good, key: value})
