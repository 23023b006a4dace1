"""Temporary names: recognised later, created exclusively; swept only once their writer is dead, and never links."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from surefoot import checkpoint, files
from surefoot.data import replacing
from surefoot.errors import ConfigError, DataError
from surefoot.experiments.data_source import check_output
from surefoot.files import aside, is_temporary, replacement, sweep, write_bytes, write_text
from surefoot.locks import holding, holding_file
from surefoot.runs.files import write_arrays


def dead_writer(path: Path) -> Path:
    """A temporary name for `path` that a process made which has ended."""
    script = "import sys; from pathlib import Path; from surefoot.files import aside; print(aside(Path(sys.argv[1])))"
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def dead(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name alone."""
    return dead_writer(tmp_path_factory.mktemp("dead") / "data.hdf5").name


def test_temporary_names_are_hidden_new_and_recognised(tmp_path: Path) -> None:
    names = {aside(tmp_path / "data.hdf5").name for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith(f".data.hdf5.{os.getpid()}-") and is_temporary(name) for name in names)
    for name in (
        "data.hdf5",
        ".data.hdf5.77.tmp",
        ".git",
        ".x.surefoot.tmp",
        "x.1-00000000-00000000-00000000.surefoot.tmp",
    ):
        assert not is_temporary(name)


@pytest.mark.parametrize("name", ["a" * 255, "ä" * 127, "\udcff" * 200, "two\nlines"])
def test_any_name_that_a_file_can_have_can_be_written(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "content")
    assert (tmp_path / name).read_text() == "content"
    assert is_temporary(aside(tmp_path / name).name)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_dead_writers_file_and_folder_are_swept(tmp_path: Path, dead: str) -> None:
    (tmp_path / dead).mkdir()
    (tmp_path / dead / "arrays").write_bytes(b"123")
    other = tmp_path / f".other{dead.removeprefix('.data.hdf5')}"
    other.write_bytes(b"123")
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def write_data(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(b"data")


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_text(path, "{}"),
        write_data,
        lambda path: write_arrays(path, {"a": np.zeros(3)}),
        lambda path: checkpoint.save(path, {"a": np.zeros(3)}, {}),
    ],
)
def test_the_next_writer_sweeps(write: Callable[[Path], None], tmp_path: Path, dead: str) -> None:
    (tmp_path / dead).write_bytes(b"123")
    write(tmp_path / "other.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["other.npz"]


def test_a_living_writers_file_stays(tmp_path: Path, dead: str) -> None:
    mine = aside(tmp_path / "data.hdf5")
    mine.write_bytes(b"123")
    number = dead.split(".")[3].split("-")[0]
    running = tmp_path / dead.replace(f".{number}-", f".{os.getppid()}-")
    running.write_bytes(b"123")
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {mine.name, running.name}


def test_a_number_that_is_used_again_does_not_keep_a_dead_writers_file(tmp_path: Path, dead: str) -> None:
    """In a container every process may have the number 1, also the one that sweeps."""
    number = dead.split(".")[3].split("-")[0]
    (tmp_path / dead.replace(f".{number}-", f".{os.getpid()}-")).write_bytes(b"123")
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_machines_file_stays_for_a_day(tmp_path: Path, dead: str) -> None:
    _, host, *_ = dead.split(".")[3].split("-")
    foreign = [tmp_path / dead.replace(host, "0123abcd").replace("data", name) for name in ("new", "old")]
    for path in foreign:
        path.write_bytes(b"123")
    yesterday = time.time() - files.FOREIGN_SECONDS - 60
    os.utime(foreign[1], (yesterday, yesterday))
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [foreign[0]]
    sweep(tmp_path, exclusive=True)  # whoever holds the lock knows better
    assert list(tmp_path.iterdir()) == []


def test_links_and_what_others_made_stay(tmp_path: Path, dead: str) -> None:
    home, folder = tmp_path / "home", tmp_path / "run"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id").write_text("key")
    folder.mkdir()
    (folder / dead).symlink_to(home)
    (folder / dead.replace("data", "file")).symlink_to(home / ".ssh" / "id")
    (folder / dead.replace("data", "gone")).symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / dead.replace("data", "pipe"))
    for name in (".git", ".cache", ".x.tmp", ".notes.77.tmp", ".0123456789abcdef0123456789abcdef.tmp"):
        (folder / name).mkdir()
    before = sorted(path.name for path in folder.iterdir())
    sweep(folder, exclusive=True, former=r"data\.hdf5")
    assert sorted(path.name for path in folder.iterdir()) == before
    assert (home / ".ssh" / "id").read_text() == "key"


def test_a_link_within_a_leftover_is_not_followed(tmp_path: Path, dead: str) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "key").write_text("key")
    (tmp_path / dead).mkdir()
    (tmp_path / dead / "link").symlink_to(tmp_path / "home")
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert (tmp_path / "home" / "key").read_text() == "key"


def test_leftovers_of_earlier_versions_are_swept_by_name(tmp_path: Path) -> None:
    for name in (
        ".config.json.77.tmp",
        ".000000014.1.old",
        ".other.json.77.tmp",
        ".config.json.tmp",
        ".config.json.0.tmp",
    ):
        (tmp_path / name).write_text("{")
    sweep(tmp_path, former=r"config\.json|[0-9]{9}")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".config.json.0.tmp", ".config.json.tmp", ".other.json.77.tmp",
    ]  # fmt: skip


def test_a_folder_that_is_none_is_not_swept(tmp_path: Path) -> None:
    sweep(tmp_path / "nowhere")
    (tmp_path / "file").write_text("text")
    sweep(tmp_path / "file")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    sweep(tmp_path / "loop")


def test_a_file_is_created_and_never_written_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    monkeypatch.setattr(files.secrets, "token_hex", lambda count: "00000000")
    aside(tmp_path / "a.json").symlink_to(victim)
    aside(tmp_path / "b.json").symlink_to(tmp_path / "nowhere")
    for name in ("a.json", "b.json"):
        with pytest.raises(FileExistsError):
            write_text(tmp_path / name, "new")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


def test_a_pipe_or_a_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"  # what a device is, too; as root /dev/null was a file from then on
    os.mkfifo(pipe)
    for write in (lambda: write_text(pipe, "new"), lambda: files.write_whole(pipe, b"new")):
        with pytest.raises(FileExistsError, match="a device, a pipe or a socket has this name"):
            write()
    with pytest.raises(DataError, match="a device, a pipe or a socket has this name"), replacing(pipe):
        pass
    with pytest.raises(ConfigError, match="pipe: expected a name for a file, found a device, a pipe or a socket"):
        check_output(pipe, overwrite=True)
    assert pipe.is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
    with pytest.raises(ConfigError, match="expected a name for a file, found a folder"):  # after all the work before
        check_output(tmp_path, overwrite=True)


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    with pytest.raises(FileNotFoundError), replacement(tmp_path / "a") as temporary:
        write_bytes(temporary / "half", b"half")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


# --- locks -----------------------------------------------------------------------------------------------------------


def test_a_killed_holder_frees_the_lock(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from surefoot.locks import holding\n"
        "with holding(Path(sys.argv[1]), busy='busy'): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(ConfigError, match=r": another one has it\."), holding(tmp_path, busy="another one has it"):
            pass
        process.kill()
    with holding(tmp_path, busy="another one has it"):
        pass


def test_a_lock_is_not_opened_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(victim)
    sentence = r"expected a folder that can be written to, with a file \.lock"
    with pytest.raises(ConfigError, match=sentence), holding(tmp_path / "run", busy="busy"):
        pass
    assert victim.read_text() == "precious"


def test_another_files_content_under_the_name_of_a_lock_stays(tmp_path: Path) -> None:
    (tmp_path / ".data.lock").write_text("precious")
    for name in ("data", "other"):
        with holding_file(tmp_path / name, busy="busy"):
            pass
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {".data.lock": "precious"}


@pytest.mark.parametrize("name", ["file", "file/run", "link"])
def test_a_place_that_is_no_folder_is_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with (
        pytest.raises(ConfigError, match="expected a folder that can be written to"),
        holding(tmp_path / name, busy="x"),
    ):
        pass


def test_a_file_system_without_locks_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS answers so where its lock service is not there: not the word for another process."""
    fcntl = pytest.importorskip("fcntl")

    def without(descriptor: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", without)
    with pytest.raises(ConfigError, match="found a fault \\(No locks available\\)"), holding(tmp_path, busy="busy"):
        pass
