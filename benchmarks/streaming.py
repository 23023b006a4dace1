"""Training on a file of 20 GB with at most 2 GB of memory, and resuming it to the bit.

    python benchmarks/streaming.py --folder /somewhere/with/20/GB

Generates a dataset of PointButton1's shapes (observations of 76 numbers, episodes of 1,000 steps), loads it mapped
with every check, and trains FISOR on it once through; then again in a new process from the last checkpoint but one, in
the middle of the weighted phase. The peak of each process's resident memory counts. The file is removed afterwards.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import _machine
from surefoot import data, presets
from surefoot.data import TransitionStream
from surefoot.tasks import get_task
from surefoot.training import RunDirectory, fit, make_config

TASK = get_task("PointButton1")
LIMIT_MB = 2000.0
SIZES = {"constraint_updates": 1000, "reward_updates": 500, "policy_updates": 1000}
HIDDEN = (64, 64)
"""Units of the values: what a pass over all rows for their sampling weights costs is mostly these."""
LOG_INTERVAL, CHECKPOINT_INTERVAL = 250, 500


def generate(path: Path, gigabytes: float) -> int:
    """Write random walks of whole episodes, one after the other; returns the bytes of their arrays."""
    row = 4 * (2 * TASK.observation_dim + TASK.action_dim + 2) + 2
    episodes = max(int(gigabytes * 1e9 / row / TASK.horizon), 1)
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
    return rows * row


def train(path: Path, folder: Path) -> dict[str, Any]:
    """Load, check and train; returns seconds and the peak of memory of each step."""
    steps: dict[str, Any] = {}

    def measured(name: str, work: Any) -> Any:
        began = time.perf_counter()
        result = work()
        steps[name] = {"seconds": time.perf_counter() - began, "peak_memory_mb": _machine.peak_memory_mb()}
        print(f"{name}: {steps[name]['seconds']:.1f} s, peak {steps[name]['peak_memory_mb']:.0f} MB", flush=True)
        return result

    dataset = measured("load and check", lambda: data.load(path, TASK, mapped=True))
    fingerprint = measured("fingerprint", dataset.fingerprint)
    measured("episode statistics", lambda: (dataset.returns, dataset.cost_returns, dataset.violating_steps))
    algorithm = dataclasses.replace(presets.build("fisor", TASK, preset="small"), **SIZES, value_hidden=HIDDEN)
    stream = TransitionStream(dataset, partial(algorithm.prepare, task=TASK))
    run = RunDirectory(folder)
    config = make_config(
        algorithm, name="fisor", task=TASK.name, spec=TASK.spec, seeds=(0,), data_path=str(path),
        data_fingerprint=fingerprint, log_interval=LOG_INTERVAL, checkpoint_interval=CHECKPOINT_INTERVAL,
    )  # fmt: skip
    run.start(config, resume=True)
    options: Any = {"spec": TASK.spec, "seeds": (0,), "log_interval": LOG_INTERVAL, "run": run}
    options |= {"checkpoint_interval": CHECKPOINT_INTERVAL, "on_progress": _show}
    measured("train", lambda: fit(algorithm, stream, **options))
    return steps


def _show(progress: Any) -> None:
    rate = "" if progress.updates_per_second is None else f", {progress.updates_per_second:.1f} updates/s"
    print(f"  {progress.phase}: {progress.done} of {progress.total}{rate}", flush=True)


def last_state(folder: Path) -> str:
    """SHA-256 of the last checkpoint's arrays."""
    (path,) = RunDirectory(folder).checkpoints()[-1].glob("arrays-*.safetensors")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def in_process(*words: str) -> dict[str, Any]:
    """What a step in a process of its own found."""
    done = subprocess.run([sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, text=True)
    lines = done.stdout.splitlines()
    print("\n".join(lines[:-1]), flush=True)
    return json.loads(lines[-1])


def main() -> None:
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the file and the runs are made")
    parser.add_argument("--gigabytes", type=float, default=20.0)
    parser.add_argument("--keep", action="store_true", help="leave the file, and use one that was left")
    parser.add_argument("--results", default="streaming", help="name of the file under benchmarks/results")
    parser.add_argument("--step", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    path = options.folder / "generated.hdf5"
    if options.step:
        print(json.dumps(train(path, options.step)))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    head = _machine.head()
    try:
        began = time.perf_counter()
        size = path.stat().st_size if options.keep and path.exists() else generate(path, options.gigabytes)
        print(f"generated {size / 1e9:.2f} GB in {time.perf_counter() - began:.0f} s", flush=True)
        runs = {name: options.folder / name for name in ("unbroken", "resumed")}
        step = partial(in_process, "--folder", str(options.folder), "--step")
        found = {"unbroken": step(str(runs["unbroken"]))}
        # As a kill in the last stretch would have left it: without the last checkpoint.
        shutil.copytree(runs["unbroken"], runs["resumed"])
        shutil.rmtree(RunDirectory(runs["resumed"]).checkpoints()[-1])
        found["resumed"] = step(str(runs["resumed"]))
        same = last_state(runs["unbroken"]) == last_state(runs["resumed"])
    finally:
        if not options.keep:
            path.unlink(missing_ok=True)
        for name in ("unbroken", "resumed"):
            shutil.rmtree(options.folder / name, ignore_errors=True)
    peak = max(part["peak_memory_mb"] for steps in found.values() for part in steps.values())
    rows = size // (4 * (2 * TASK.observation_dim + TASK.action_dim + 2) + 2)
    print(f"peak memory, MB: {_machine.verdict(peak, LIMIT_MB, at_most=True)}")
    print(f"resumed run ends with the same bits: {same}")
    results = {"bytes": size, "rows": rows, "observation_dim": TASK.observation_dim, "updates": SIZES, "hidden": HIDDEN}
    results |= {"peak_memory_mb": peak, "limit_mb": LIMIT_MB, "same_bits_after_resuming": same, "processes": found}
    print(_machine.write(options.results, {"measured": head, **results}))


if __name__ == "__main__":
    main()
