"""Surefoot on systems that lack what Linux has: everything can be imported, files are written, commands start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from surefoot import system
from surefoot.files import write_text

LACKING = """
import os, signal, sys, warnings

HIDDEN = ("fcntl", "resource", "termios", "pwd", "grp", "tty", "pty", "syslog", "readline", "crypt")

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

# The standard library and NumPy, JAX and the like run on the systems that are meant: what they take stays theirs.
import h5py, jax, matplotlib.pyplot, numpy, psutil, rich.console, rich.progress, tensorboardX, tyro, equinox, optax
import concurrent.futures.process, getpass, multiprocessing.pool, pydantic, shutil, subprocess, tempfile, gymnasium
import safetensors.numpy
for name in HIDDEN:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Hide())
warnings.simplefilter("error")
warnings.filterwarnings("ignore", "only soft file lock is available")  # neither Unix nor Windows
for name in (
    "posix_fallocate", "fork", "forkpty", "getuid", "geteuid", "getgid", "sched_getaffinity", "sched_yield", "killpg",
    "getpgid", "setsid", "O_NOFOLLOW", "O_DIRECTORY", "sync", "pread", "preadv", "pwrite", "posix_fadvise", "statvfs",
    "mkfifo", "sysconf", "register_at_fork", "getloadavg", "nice", "wait3", "wait4", "chown", "uname",
):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGSTOP", "setitimer", "pthread_kill"):
    delattr(signal, name)
"""
"""What Windows or macOS lack is taken away."""


def run(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", LACKING + script, *words], capture_output=True, text=True, check=False)


def test_every_module_is_imported_files_are_written_and_locked_and_commands_start(tmp_path: Path) -> None:
    done = run(
        """
import importlib, pathlib, pkgutil
import surefoot
skipped = ("surefoot.envs.workers.metadrive_main",)  # for the Python of MetaDrive's environment
for module in pkgutil.walk_packages(surefoot.__path__, "surefoot."):
    if module.name not in skipped:
        importlib.import_module(module.name)

from surefoot.collection.clock import NO_TIME, Clock
from surefoot.collection.store import Store
from surefoot.data.allowance import available_memory
from surefoot.errors import ConfigError
from surefoot.files import aside, sweep, write_json
from surefoot.interrupts import deferred_interrupts, stopping
from surefoot.locks import holding
from surefoot.system import peak_memory

folder = pathlib.Path(sys.argv[1])
write_json(folder / "a.json", {"a": 1})
aside(folder / "b").write_bytes(b"mine")
sweep(folder)
with stopping(), deferred_interrupts() as interrupted:
    assert not interrupted()
assert peak_memory() > 2**20 and available_memory() > 0
assert Clock(NO_TIME).read()["cpu_seconds"] >= 0
with Store(folder / "store").opened({"a": 1}, reserve=3 * 2**20 + 5):
    assert (folder / "store" / "reserve").stat().st_size == 3 * 2**20 + 5
    try:
        with holding(folder / "store", busy="busy"):
            raise AssertionError("two hold the lock")
    except ConfigError as error:
        assert "busy" in str(error), error
import contextlib, io
from surefoot.cli.main import main
with contextlib.redirect_stdout(io.StringIO()) as out:
    assert main(["train", "--help"]) == 0
assert "--checkpoint-interval" in out.getvalue()
print("done")
""",
        str(tmp_path),
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert len([path for path in tmp_path.iterdir() if path.name.endswith(".surefoot.tmp")]) == 1


def test_where_room_cannot_be_allocated_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    for size in (0, 1, 2**20, 2**20 + 1):
        system.allocate(tmp_path / f"{size}", size)
        assert (tmp_path / f"{size}").stat().st_size == size


def test_a_folder_that_cannot_be_synced_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows does not open folders, some network file systems do not flush them."""
    whole = os.open

    def without_folders(path: str, flags: int, *rest: int, **options: int) -> int:
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied")
        return whole(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", without_folders)
    write_text(tmp_path / "a", "text")
    assert (tmp_path / "a").read_text() == "text"
