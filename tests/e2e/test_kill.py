"""A training process that is really killed, several times at random moments, ends with the bits of one that is not."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.e2e.tiny import HYPERPARAMETERS

from surefoot import checkpoint
from surefoot.training import RunDirectory

LOG_INTERVAL, CHECKPOINT_INTERVAL = 10, 30
UPDATES = {"constraint": 700, "reward": 20, "policy": 700}
KILLS = 5
PATIENCE = 240.0
"""Seconds until a process that makes no progress fails the test."""


def command(data_file: Path, out: Path) -> list[str]:
    updates = [word for name, count in UPDATES.items() for word in (f"--{name}-updates", str(count))]
    intervals = ["--log-interval", str(LOG_INTERVAL), "--checkpoint-interval", str(CHECKPOINT_INTERVAL)]
    return [
        *[sys.executable, "-m", "surefoot.cli.main", "train", "--resume", "--seeds", "0:2"],
        *["--data", str(data_file), "--out", str(out), *HYPERPARAMETERS, *updates, *intervals],
    ]


def environment(programs: Path) -> dict[str, str]:
    """Compiled programs are shared between the processes: each would compile for longer than it trains."""
    return os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(programs),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def logged_step(out: Path) -> int:
    """The last update that metrics.jsonl tells of; the file may be half-written."""
    try:
        lines = (out / "metrics.jsonl").read_text().splitlines()
    except FileNotFoundError:
        return 0
    for line in reversed(lines):
        try:
            return int(json.loads(line)["step"])
        except ValueError:
            continue
    return 0


def saved_step(out: Path) -> int:
    """The step of the newest checkpoint; every folder that bears a checkpoint's name must be whole."""
    run = RunDirectory(out)
    steps = [checkpoint.read_metadata(path)["step"] for path in run.checkpoints()]
    return max(steps, default=0)


def start(data_file: Path, out: Path, programs: Path) -> subprocess.Popen[bytes]:
    output = (out.parent / f"{out.name}.log").open("ab")
    with output:
        return subprocess.Popen(command(data_file, out), env=environment(programs), stdout=output, stderr=output)


def kill_while_training(process: subprocess.Popen[bytes], out: Path, delay: float) -> bool:
    """SIGKILL `delay` seconds after training moved on; whether that was before the process ended."""
    before, deadline = saved_step(out), time.monotonic() + PATIENCE
    while process.poll() is None and logged_step(out) <= before:
        assert time.monotonic() < deadline, "training makes no progress"
        time.sleep(0.01)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def test_killed_runs_end_with_the_same_bits(data_file: Path, tmp_path: Path, compilation_cache: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start(data_file, whole, compilation_cache)
    assert process.wait(timeout=PATIENCE) == 0, (tmp_path / "whole.log").read_text()

    moments = random.Random(2024)
    # The first kill lands while Python imports and nothing is there yet.
    process = start(data_file, killed, compilation_cache)
    time.sleep(moments.uniform(0.0, 1.0))
    process.kill()
    assert process.wait() == -signal.SIGKILL

    kills, farthest = 0, 0
    for _ in range(KILLS):
        process = start(data_file, killed, compilation_cache)
        kills += kill_while_training(process, killed, moments.uniform(0.0, 0.3))
        done, saved = logged_step(killed), saved_step(killed)
        assert done - saved <= CHECKPOINT_INTERVAL
        assert saved >= farthest  # what a checkpoint kept is never lost again
        farthest = saved
    assert kills >= 3, "the machine is too fast for these sizes: most processes ended before they were killed"

    process = start(data_file, killed, compilation_cache)
    assert process.wait(timeout=PATIENCE) == 0, (tmp_path / "killed.log").read_text()
    ends = [RunDirectory(out).latest() for out in (whole, killed)]
    assert ends[0] is not None
    assert ends[1] is not None
    assert ends[0].name == ends[1].name == f"{sum(UPDATES.values()):09d}"
    arrays = [{path.name: path.read_bytes() for path in end.glob("*.safetensors")} for end in ends if end is not None]
    assert len(arrays[0]) == 1
    assert arrays[0] == arrays[1]
    assert (whole / "metrics.jsonl").read_bytes() == (killed / "metrics.jsonl").read_bytes()
    assert not [path for path in killed.rglob(".*") if path.name != ".lock"]  # nothing half-written is left
