"""An evaluation is one set of files: whole or refused, whatever fills up, dies or is mixed."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.data_fixtures import is_one_sentence
from tests.stub_planner import StubPlanner
from tests.stub_run import know_the_stub, stub_run

from surefoot.cli.main import main
from surefoot.errors import ConfigError
from surefoot.evaluation import rows
from surefoot.file_sets import check_writable, write_together
from surefoot.interrupts import Stopped
from surefoot.runs.evaluation_files import NotKeptError, keep, kept

OLD, NEW = {"episodes.jsonl": b"old rows\n", "paths.npz": b"old"}, {"episodes.jsonl": b"new rows\n", "region.npz": b"n"}


@pytest.fixture
def evaluated(tmp_path: Path) -> Path:
    keep(tmp_path, {"evaluation": OLD}, {"figure": 1, "stays": 2})
    return tmp_path


def contents(run: Path) -> dict[str, bytes]:
    """The files of the evaluation that a reader accepts."""
    names = ("episodes.jsonl", "paths.npz", "region.npz")
    return {name: path.read_bytes() for name in names if (path := kept(run, "evaluation", name)) is not None}


def test_a_later_evaluation_replaces_all_of_an_earlier_one(evaluated: Path) -> None:
    assert contents(evaluated) == OLD
    assert keep(evaluated, {"evaluation": NEW, "rollouts": {}}, {"figure": 3})["figure"] == 3
    assert contents(evaluated) == NEW
    assert sorted(path.name for path in (evaluated / "evaluation").iterdir()) == sorted(NEW)
    assert json.loads((evaluated / "summary.json").read_text())["stays"] == 2
    # Of another part, which leaves this one as it is.
    keep(evaluated, {"evaluation_Other": {"episodes_Other.jsonl": b""}}, {})
    assert contents(evaluated) == NEW


def test_figures_and_rows_of_two_evaluations_are_refused(evaluated: Path, tmp_path: Path) -> None:
    summary = (evaluated / "summary.json").read_bytes()
    keep(evaluated, {"evaluation": NEW}, {"figure": 3})
    (evaluated / "summary.json").write_bytes(summary)  # an old summary beside new rows
    with pytest.raises(ConfigError) as refused:
        contents(evaluated)
    assert "are of different evaluations; evaluate again" in str(refused.value)
    assert is_one_sentence(str(refused.value))
    (evaluated / "evaluation" / "episodes.jsonl").unlink()
    with pytest.raises(
        ConfigError, match=r"episodes\.jsonl: expected a file of the run's evaluation, found no such file"
    ):
        contents(evaluated)
    (evaluated / "evaluation").rename(tmp_path / "away")  # records that were published without their files
    assert contents(evaluated) == {}


def test_runs_of_earlier_versions_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "paths.npz").write_bytes(b"x")
    (tmp_path / "summary.json").write_text("{}")
    assert contents(tmp_path) == {"paths.npz": b"x"}


@pytest.mark.parametrize("files", [{"evaluation": {"../../x.npz": {"size": 1, "sha256": ""}}}, {"evaluation": []}, [],
                                   {"evaluation": {"paths.npz": {"size": "1", "sha256": ""}}}])  # fmt: skip
def test_a_list_of_other_files_is_refused(files: object, evaluated: Path) -> None:
    (evaluated / "summary.json").write_text(json.dumps({"files": files}))
    for work in (lambda: contents(evaluated), lambda: keep(evaluated, {"evaluation": NEW}, {})):
        with pytest.raises(ConfigError, match=r"summary\.json: files") as refused:
            work()
        assert is_one_sentence(str(refused.value))


def full_disks(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A disk that is full at the first, the second, ... fsync."""
    real, number = os.fsync, errno.ENOSPC
    for allowed in range(100):
        left = [allowed]

        def fsync(descriptor: int, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(number, os.strerror(number))
            real(descriptor)

        monkeypatch.setattr("os.fsync", fsync)
        yield allowed


def test_a_full_disk_leaves_the_earlier_evaluation(evaluated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disks = full_disks(monkeypatch)
    for _ in range(3):  # two files and the summary
        next(disks)
        with pytest.raises(NotKeptError) as refused:
            keep(evaluated, {"evaluation": NEW}, {"figure": 3})
        assert "no space left on the disk; free some" in str(refused.value)
        assert str(evaluated) in str(refused.value)
        assert ".tmp" not in str(refused.value)
        assert is_one_sentence(str(refused.value))
        assert refused.value.summary["figure"] == 3
        assert contents(evaluated) == OLD
        assert sorted(path.name for path in (evaluated / "evaluation").iterdir()) == sorted(OLD)
    next(disks)
    keep(evaluated, {"evaluation": NEW}, {"figure": 3})
    assert contents(evaluated) == NEW


KILLED = """
import os, signal, sys
from pathlib import Path
import surefoot.file_sets
real, left = os.replace, [int(sys.argv[1])]
def replace(*paths):
    left[0] -= 1
    if left[0] < 0: os.kill(os.getpid(), signal.SIGKILL)
    real(*paths)
os.replace = replace
surefoot.file_sets.write_together({Path(name): name.encode() for name in sys.argv[2:]})
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_kill_at_any_rename_leaves_the_old_set_the_new_one_or_a_sentence(tmp_path: Path) -> None:
    said = []
    for renames in range(4):
        run = tmp_path / str(renames)
        paths = [run / "evaluation" / "episodes.jsonl", run / "evaluation" / "paths.npz", run / "summary.json"]
        keep(run, {"evaluation": OLD}, {})
        done = subprocess.run([sys.executable, "-c", KILLED, str(renames), *map(str, paths)], check=False)
        assert done.returncode == (0 if renames == 3 else -9)
        try:
            assert contents(run) == OLD
            said.append("old")
        except ConfigError as error:
            said.append("refused" if "evaluate again" in str(error) else "new")
    assert said[:3] == ["old", "refused", "refused"]
    # The next writer removes what the killed ones left.
    write_together({tmp_path / "0" / "evaluation" / "x": b"", tmp_path / "0" / "y": b""})
    assert not [path for path in (tmp_path / "0").rglob("*") if path.name.endswith(".tmp")]


def test_a_signal_among_the_renames_waits_for_the_last(evaluated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, it left rows of one evaluation beside the summary of another."""
    real, sent = os.replace, []

    def replace(*paths: Path) -> None:
        real(*paths)
        if not sent:
            sent.append(os.kill(os.getpid(), signal.SIGTERM))

    monkeypatch.setattr("surefoot.file_sets.os.replace", replace)
    with pytest.raises(Stopped):
        keep(evaluated, {"evaluation": NEW}, {"figure": 3})
    assert contents(evaluated) == NEW
    assert json.loads((evaluated / "summary.json").read_text())["figure"] == 3


def test_a_folder_that_cannot_be_written_to_is_known_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_writable(tmp_path / "new" / "deep")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file: expected a folder to write to, found something else"):
        check_writable(tmp_path / "file" / "deep")
    said = {errno.EACCES: "permission denied", errno.EROFS: "read-only", errno.ENOSPC: "full"}
    for number, words in said.items():

        def refuse(path: Path, content: bytes, number: int = number) -> None:
            raise OSError(number, os.strerror(number), str(path))

        monkeypatch.setattr("surefoot.file_sets.write_bytes", refuse)
        with pytest.raises(ConfigError, match=words) as refused:
            check_writable(tmp_path / "new")
        assert is_one_sentence(str(refused.value))
        assert ".tmp" not in str(refused.value)


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    know_the_stub(monkeypatch)
    return stub_run(tmp_path / "run", StubPlanner())


def test_the_table_is_printed_where_the_rows_cannot_be_written(
    planned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", str(planned), "--budget", "0.5", "--episodes", "2", "--num-envs", "1"]
    full, real, calls = [True], rows.json_rows, []

    def json_rows(rows: list[dict[str, object]]) -> bytes:
        calls.append(len(rows))
        if full[0] and len(calls) != 2:  # a little space in between
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(rows)

    monkeypatch.setattr(rows, "json_rows", json_rows)
    assert main(words) == 2
    printed = capsys.readouterr()
    assert "ratio 0.5" in printed.out
    (sentence,) = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert (
        "budget_episodes.jsonl: the evaluation could not be written (no space left on the disk; free some)" in sentence
    )
    assert calls == [1, 2, 1, 2]  # the second block took the rows of the first along
    assert not (planned / "summary.json").exists()
    full[0] = False
    assert main(words) == 0
    assert calls[4:] == [1, 1]  # what was written is not rolled out again
    assert main(["report", str(planned)]) == 0


def test_rows_of_an_unfinished_evaluation_are_not_reported(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(planned), "--budget", "0.5", "--episodes", "2"]) == 0
    assert main(["report", str(planned)]) == 0
    page, file = (planned / "report.html").read_bytes(), planned / "evaluation" / "budget_episodes.jsonl"
    rows = file.read_text()
    other = json.loads(rows.splitlines()[0]) | {"setting": "another", "cost": 1e6}
    file.write_text(f"{rows}{json.dumps(other)}\n{{")
    assert main(["report", str(planned)]) == 0
    assert (planned / "report.html").read_bytes() == page
    file.write_text(rows.replace('"cost": 2.0', '"cost": 1.0'))
    capsys.readouterr()
    assert main(["report", str(planned)]) == 2
    assert "are of different evaluations; evaluate again" in capsys.readouterr().err


def test_every_command_that_writes_knows_first_whether_it_may(
    planned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path, content: bytes) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr("surefoot.file_sets.write_bytes", refuse)
    new, run, nowhere = str(tmp_path / "new" / "out.hdf5"), str(planned), str(tmp_path / "nowhere.hdf5")
    commands = [
        f"evaluate {run} --budget 0.5",
        f"calibrate {run}",
        f"bench act {run} --batch 1",
        f"report {run}",
        f"report {run} {run} --out {new}",
        f"train --task PointRobot --data {nowhere} --out {new}",
        f"finetune {run} --out {new}",
        f"sweep --task BallRun --data {nowhere} --out {new}",
        f"collect --task PointRobot --out {new}",
        f"data subset {nowhere} --task PointRobot --share 0.5 --out {new}",
        f"data convert {nowhere} --task PointRobot --to dsrl --out {new}",
        f"import diffuser {nowhere} --task hopper-medium-v2 --data {nowhere} --out {new}",
    ]
    for command in commands:
        code, said = main(command.split()), capsys.readouterr().err
        assert code == 2, command
        assert "expected a folder that can be written to, found one that cannot (read-only file system)." in said, said
    assert not (tmp_path / "new").exists()
