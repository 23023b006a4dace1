"""`surefoot collect` of a real simulator: stopped by Ctrl-C, killed, and then finished by the same command."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from tests.e2e.test_kill import PATIENCE, environment

from surefoot import data
from surefoot.collection.store import Store
from surefoot.tasks import get_task

TASK = get_task("BallRun")
STEPS, SEED = 12_800, 3
"""Four iterations of 32 simulators for 100 steps: as long as an episode."""


def command(out: Path) -> list[str]:
    options = ["--task", TASK.name, "--steps", str(STEPS), "--transitions", "2000", "--seed", str(SEED)]
    return [sys.executable, "-m", "surefoot.cli.main", "collect", *options, "--workers", "0", "--out", str(out)]


def stop(out: Path, programs: Path, *, parts: int, number: signal.Signals) -> tuple[int, str]:
    """Start, send the signal once so many files of episodes are there; exit code and stderr."""
    process = subprocess.Popen(command(out), env=environment(programs), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + PATIENCE
    while len(Store.beside(out).parts()) < parts:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the collection makes no progress"
        time.sleep(0.01)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=PATIENCE)
    return process.returncode, stderr


def test_the_same_command_goes_on(tmp_path: Path, compilation_cache: Path) -> None:
    out = tmp_path / "ball.hdf5"
    code, stderr = stop(out, compilation_cache, parts=1, number=signal.SIGINT)
    assert code == 130
    assert "interrupted: start the same command again; what was collected from a simulator is kept." in stderr
    assert "Traceback" not in stderr
    parts = len(Store.beside(out).parts())
    code, _ = stop(out, compilation_cache, parts=parts + 1, number=signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert not out.exists()

    last = subprocess.run(command(out), env=environment(compilation_cache), capture_output=True, text=True, check=True)
    assert f"{out}: " in last.stdout
    assert "falls short: best normalized return: wanted at least 0.85" in last.stdout
    assert [path.name for path in tmp_path.iterdir()] == [out.name]  # the folder beside it is gone
    dataset, card = data.load(out, TASK), data.read_card(out)
    assert (dataset.lengths == TASK.horizon).all()
    assert len(dataset) == card["coverage"]["transitions"] >= 2000
    assert card["origin"] == "recreated by Surefoot, not the published file"
    assert card["seed"] == SEED
    assert 1 <= card["processes"] <= 3  # those that finished an iteration
    assert card["versions"]["pybullet"] == "3.2.7"
    # Four iterations of 32 episodes, and what the killed processes had kept beyond their checkpoints.
    assert 4 * 32 <= card["episodes_collected"] <= 6 * 32
    assert len(np.unique(dataset.observations[dataset.episode_starts], axis=0)) == len(dataset.returns)


def test_a_simulator_in_processes_of_its_own_gives_the_same_data(tmp_path: Path, compilation_cache: Path) -> None:
    """One iteration, with the simulators in this process and in two others."""
    found = []
    for workers in ("0", "2"):
        out = tmp_path / f"{workers}.hdf5"
        words = command(out)
        words[words.index("--steps") + 1], words[words.index("--workers") + 1] = "3200", workers
        subprocess.run(words, env=environment(compilation_cache), check=True, capture_output=True)
        found.append(data.load(out, TASK).fingerprint())
    assert found[0] == found[1]


def test_a_worker_that_is_killed_is_reported_and_loses_no_episode(tmp_path: Path, compilation_cache: Path) -> None:
    """Two iterations in two processes, of which one is killed after the first."""
    out = tmp_path / "ball.hdf5"
    words = command(out)
    words[words.index("--steps") + 1], words[words.index("--workers") + 1] = "6400", "2"
    words[words.index("--transitions") + 1] = "1000000"
    process = subprocess.Popen(words, env=environment(compilation_cache), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + PATIENCE
    while not Store.beside(out).parts():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the collection makes no progress"
        time.sleep(0.01)
    os.kill(_children(process.pid)[0], signal.SIGKILL)
    _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, stderr
    assert "warning: a process that simulates BallRun died (killed by signal 9" in stderr
    dataset = data.load(out, TASK)
    assert (dataset.lengths == TASK.horizon).all()
    # The first 32 episodes, and of the second the 16 of the process that lived; those begun again end too late.
    assert 48 <= len(dataset.returns) <= 64


def _children(process: int) -> list[int]:
    """Process ids, oldest first."""
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(word) for word in text.split()]
