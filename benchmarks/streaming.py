"""Training on a file of 20 GB with at most 2 GB of memory: interrupted, resumed, and compared to the bit.

    nice python benchmarks/streaming.py --folder /somewhere/with/21/GB        # half an hour to an hour

Generates a dataset of PointButton1's shapes (observations of 76 numbers, episodes of 1,000 steps) and runs
`surefoot train` on it, each run in a process of its own. In the middle of the policy phase the first is stopped, its
folder copied as it lies on the disk, which is what a kill at that moment would leave, and let go on to its end; then
another process resumes the copy. With `--kill` there are three: one is killed by SIGKILL at that moment, one resumes
what it left, one runs undisturbed.

Written are, for each process, the peak of its resident memory (VmHWM: all that counts as the process's, the pages of
mapped files too) and the most that samples saw of its two parts, its own memory and those pages. What the system keeps
of the file in its cache beside that belongs to no process. File and runs are removed at the end; those of a benchmark
that was stopped are left.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import _machine
from surefoot.tasks import get_task
from surefoot.training import RunDirectory

TASK = get_task("PointButton1")
LIMIT_MB = 2000.0
UPDATES = {"constraint-updates": 600, "reward-updates": 300, "policy-updates": 600}
LOG_INTERVAL, CHECKPOINT_INTERVAL = 150, 300
MIDDLE = 1350
"""Updates, in the policy phase; the last checkpoint before is at 1,200."""
OPTIONS = ("--stream", "always", "--value-hidden", "32", "32")
"""Data stay in their file; small values, which a pass over all rows for their sampling weights evaluates."""
SAMPLE_SECONDS = 0.25
KEPT = ("VmHWM", "RssAnon", "RssFile", "read_bytes")
"""Of what /proc says; the first never misses a peak."""
ROW_BYTES = 4 * (2 * TASK.observation_dim + TASK.action_dim + 2) + 2


def generate(path: Path, gigabytes: float) -> None:
    """Write random walks of whole episodes, one after the other; their arrays take `gigabytes`."""
    episodes = max(int(gigabytes * 1e9 / ROW_BYTES / TASK.horizon), 1)
    rows, rng = episodes * TASK.horizon, np.random.default_rng(0)
    shapes = {
        "observations": ((rows, TASK.observation_dim), np.float32),
        "next_observations": ((rows, TASK.observation_dim), np.float32),
        "actions": ((rows, TASK.action_dim), np.float32),
        **dict.fromkeys(("rewards", "costs"), ((rows,), np.float32)),
        **dict.fromkeys(("terminals", "timeouts"), ((rows,), np.bool_)),
    }
    with h5py.File(path, "w") as file:
        nodes = {key: file.create_dataset(key, shape, dtype) for key, (shape, dtype) in shapes.items()}
        for first in range(0, rows, TASK.horizon):
            steps = rng.standard_normal((TASK.horizon + 1, TASK.observation_dim), np.float32)
            walk, part = np.cumsum(0.1 * steps, 0, dtype=np.float32), slice(first, first + TASK.horizon)
            ends = np.zeros(TASK.horizon, bool)
            ends[-1] = True
            nodes["observations"][part], nodes["next_observations"][part] = walk[:-1], walk[1:]
            nodes["actions"][part] = rng.uniform(-1, 1, (TASK.horizon, TASK.action_dim))
            nodes["rewards"][part] = 0.01 * steps[1:, 0]
            nodes["costs"][part] = walk[1:, 1] > 3
            nodes["timeouts"][part] = ends
        file.attrs["card"] = json.dumps({"task": TASK.name, "recipe": "benchmarks/streaming.py: random walks"})


@dataclass
class Watch:
    """What /proc says of a process, as last read; memory and reads in 10^6 bytes."""

    process_id: int
    facts: dict[str, Any] = field(default_factory=dict)

    def sample(self) -> bool:
        """Read once; False where the process has ended."""
        place = Path(f"/proc/{self.process_id}")
        try:
            lines = (place / "status").read_text().splitlines() + (place / "io").read_text().splitlines()
            times = [int(word) for word in (place / "stat").read_text().rsplit(")", 1)[1].split()[1:20]]
        except OSError:
            return False
        found = {name: int(value.split()[0]) for name, value in (line.split(":", 1) for line in lines) if name in KEPT}
        if "VmHWM" not in found:  # it has ended, and waits to be asked how
            return False
        ticks = os.sysconf("SC_CLK_TCK")
        self.facts["seconds"] = time.clock_gettime(time.CLOCK_BOOTTIME) - times[18] / ticks
        self.facts["cpu_seconds"] = (times[10] + times[11]) / ticks
        self.facts["peak_memory_mb"] = found["VmHWM"] * 1024 / 1e6
        for name, key in (("own_memory_mb", "RssAnon"), ("pages_of_files_mb", "RssFile")):
            self.facts[name] = max(self.facts.get(name, 0.0), found[key] * 1024 / 1e6)
        self.facts["read_from_disk_mb"] = found["read_bytes"] / 1e6
        return True


def train(path: Path, folder: Path, *, resume: bool = False) -> int:
    """Start `surefoot train` in a process of its own: its number."""
    words = ["train", "--algorithm", "fisor", "--task", TASK.name, "--data", str(path), "--out", str(folder)]
    words += ["--seeds", "0", "--log-interval", str(LOG_INTERVAL), "--checkpoint-interval", str(CHECKPOINT_INTERVAL)]
    words += [word for name, count in UPDATES.items() for word in (f"--{name}", str(count))]
    words += [*OPTIONS, *(["--resume"] if resume else [])]
    print("surefoot", *words, flush=True)
    return subprocess.Popen([Path(sys.executable).with_name("surefoot"), *words]).pid


def watch(
    process_id: int, folder: Path, *, complete: bool = True, at_middle: Callable[[int], None] | None = None
) -> Any:
    """Watch until the process has ended, and call `at_middle` once its log holds update `MIDDLE`; what was seen."""
    seen, log = Watch(process_id), RunDirectory(folder).metrics_path
    while seen.sample():
        if at_middle is not None and log.exists() and f'"step": {MIDDLE},' in log.read_text():
            at_middle(process_id)
            at_middle = None
        time.sleep(SAMPLE_SECONDS)
    last = int(RunDirectory(folder).checkpoints()[-1].name)
    if complete != (last == sum(UPDATES.values())):
        raise SystemExit(f"surefoot train ended at the checkpoint of update {last}")
    facts = seen.facts | {"last_checkpoint": last}
    print(json.dumps(facts), flush=True)  # what a benchmark that is stopped later has found so far
    return facts


def stopped_copy(process_id: int, source: Path, target: Path) -> None:
    """Copy a run's folder while its process is stopped."""
    os.kill(process_id, signal.SIGSTOP)
    shutil.copytree(source, target)
    os.kill(process_id, signal.SIGCONT)
    print(f"{target}: what a kill would have left after update {MIDDLE}", flush=True)


def runs(path: Path, unbroken: Path, resumed: Path, *, kill: bool, adopted: int | None) -> dict[str, Any]:
    """Train as the top of this file says; what was seen of each process."""
    found = {}
    if kill:
        found["killed"] = watch(
            train(path, resumed), resumed, complete=False, at_middle=lambda number: os.kill(number, signal.SIGKILL)
        )
    else:
        first = train(path, unbroken) if adopted is None else adopted
        copy = partial(stopped_copy, source=unbroken, target=resumed)
        found["unbroken"] = watch(first, unbroken, at_middle=copy)
    found["resumed"] = watch(train(path, resumed, resume=True), resumed)
    if kill:
        found["unbroken"] = watch(train(path, unbroken), unbroken)
    return found


def last_state(folder: Path) -> str:
    """SHA-256 of the last checkpoint's arrays and of all metrics."""
    run = RunDirectory(folder)
    (path,) = run.checkpoints()[-1].glob("arrays-*.safetensors")
    return hashlib.sha256(path.read_bytes() + run.metrics_path.read_bytes()).hexdigest()


def main() -> None:
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the file and the runs are made")
    parser.add_argument("--gigabytes", type=float, default=20.0)
    parser.add_argument("--keep", action="store_true", help="leave the file, and use one that was left")
    parser.add_argument("--kill", action="store_true", help="kill a third process instead of copying a folder")
    parser.add_argument("--adopt", type=int, metavar="PID", help="the first run, left by a benchmark that was stopped")
    parser.add_argument("--results", default="streaming", help="name of the file under benchmarks/results")
    options = parser.parse_args()
    path = options.folder / "generated.hdf5"
    options.folder.mkdir(parents=True, exist_ok=True)
    head, began = _machine.head(), time.perf_counter()
    if not (options.keep and path.exists()):
        generate(path, options.gigabytes)
    with h5py.File(path) as file:
        rows = len(file["rewards"])  # pyright: ignore[reportArgumentType]
    print(f"{rows * ROW_BYTES / 1e9:.2f} GB, after {time.perf_counter() - began:.0f} s", flush=True)
    unbroken, resumed = options.folder / "unbroken", options.folder / "resumed"
    found = runs(path, unbroken, resumed, kill=options.kill, adopted=options.adopt)
    same = last_state(unbroken) == last_state(resumed)
    peak = max(part["peak_memory_mb"] for part in found.values())
    print(f"peak memory, MB: {_machine.verdict(peak, LIMIT_MB, at_most=True)}")
    print(f"the resumed run ends with the bits of the unbroken one: {same}")
    results = {"bytes": rows * ROW_BYTES, "rows": rows, "observation_dim": TASK.observation_dim}
    results |= {"updates": UPDATES, "options": OPTIONS, "peak_memory_mb": peak, "limit_mb": LIMIT_MB}
    results |= {"same_bits_after_resuming": same, "processes": found}
    print(_machine.write(options.results, {"measured": head, **results}))
    for folder in (unbroken, resumed):
        shutil.rmtree(folder)
    if not options.keep:
        path.unlink()


if __name__ == "__main__":
    main()
