"""Make the runs and data files of this folder anew: python -m tests.compatibility.make_fixtures [NAME ...].

To be run by the code whose behaviour is to be kept, never to let a changed behaviour pass. Names are those of runs;
without any everything is made. What the policies do is written to expected/ at the end. "rows NAME ..." evaluates these
runs anew and leaves all else as it is.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tests.compatibility.behavior import write_expected
from tests.compatibility.reading import read_data, rows_file, tables
from tests.compatibility.recipes import DATA, DATA_FILES, EXPECTED, HERE, RECIPES, RUNS, XLA_FLAGS, train_words
from tests.tiny_trebi import pendulum_data

from surefoot import data
from surefoot.cli.main import main
from surefoot.data import episode_files, library, npz_chunks
from surefoot.data.minari import save_minari
from surefoot.evaluation import images
from surefoot.evaluation.kinds import point_robot
from surefoot.tasks import get_task

ENVIRONMENT = {"XLA_FLAGS": XLA_FLAGS, "MPLBACKEND": "agg", "JAX_NUM_CPU_DEVICES": "1", "JAX_PLATFORMS": "cpu"}
"""That of `make test`."""
COMPARED = ("fisor_decoupled", "bc", "bc_safe")
STARTER = HERE.parent / "data" / "ballrun_starter.hdf5"


def surefoot(words: Sequence[str]) -> None:
    if main(words) != 0:
        raise SystemExit(f"failed: surefoot {' '.join(words)}")


def make_data() -> None:
    """A few episodes in every format."""
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir()
    ball = get_task("BallRun")
    starter = data.load(STARTER, ball)
    by_cost = np.argsort(starter.cost_returns, kind="stable")
    few = starter.select(np.sort(by_cost[np.linspace(0, len(by_cost) - 1, 8).astype(int)]))
    data.save(DATA / "ballrun.hdf5", few, card={"task": "BallRun", "recipe": "eight episodes of the starter set"})
    save_minari(DATA / "ballrun_minari", few.select([0, 7]), ball, card={"recipe": "two episodes"})
    surefoot(["collect", "--transitions", "600", "--seed", "1", "--out", str(DATA / "point_robot.hdf5")])
    pendulum_data(DATA / "pendulum.hdf5", episodes=10)
    make_d4rl(DATA / "half_cheetah_d4rl.hdf5")
    hazard = get_task("HazardRun")
    surefoot(["collect", "--task", "HazardRun", "--transitions", "90", "--out", str(DATA / "hazard_run.hdf5")])
    frames = library.read_frames(DATA / "hazard_run.hdf5", hazard, in_files=False)
    npz_chunks.write_chunks(DATA / "hazard_run_chunks", frames, length=50)
    labels = ["random", "careless", "careful"][: len(frames.lengths)]
    episode_files.save(DATA / "hazard_run_episodes", frames, hazard, labels=labels, card={"seed": 0})


def make_d4rl(path: Path) -> None:
    """Sixty rows without costs, next observations or timeouts; one episode terminates."""
    import h5py

    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["observations"] = rng.normal(0, 3, (60, 17))
        file["actions"] = rng.uniform(-1, 1, (60, 6)).astype(np.float32)
        file["rewards"] = rng.normal(size=60)
        file["terminals"] = np.arange(60) == 24


def make_run(name: str) -> None:
    """Train and measure; the last two checkpoints stay."""
    run = RUNS / name
    shutil.rmtree(run, ignore_errors=True)
    surefoot(train_words(name, out=run.relative_to(HERE)))
    measure(name, RECIPES[name].after)


def evaluate_again(name: str) -> None:
    """The rows of a run that is kept: for a commit that changes rollouts on purpose, and nothing else."""
    run = RUNS / name
    config = run / "config.json"
    config.write_text(config.read_text().replace("/fixtures", str(HERE)))
    rows_file(run).unlink()
    measure(name, [command for command in RECIPES[name].after if command.startswith("evaluate")])
    (EXPECTED / f"{name}.txt").write_text(tables(run))


def measure(name: str, commands: Sequence[str]) -> None:
    """Run commands on a run, and leave in it what other machines may see."""
    run = RUNS / name
    for command in commands:
        surefoot([str(run.relative_to(HERE)) if word == "RUN" else word for word in command.split()])
    shutil.rmtree(run / "tensorboard", ignore_errors=True)
    for path in {*run.rglob("*.lock"), *run.rglob(".*")}:
        path.unlink()
    for path in [*run.glob("*.json")]:
        path.write_text(path.read_text().replace(str(HERE), "/fixtures"))


def write_read() -> None:
    """Write what is read from the files: arrays of data, tables of evaluations, the table of a comparison."""
    found = {name: read_data(DATA / name, task) for name, task in DATA_FILES.items()}
    (EXPECTED / "data.json").write_text(json.dumps(found, indent=1) + "\n")
    for name in RECIPES:
        if (RUNS / name / "evaluation").exists():
            (EXPECTED / f"{name}.txt").write_text(tables(RUNS / name))
    with tempfile.TemporaryDirectory() as folder:
        surefoot(["report", *[str(RUNS / name) for name in COMPARED], "--out", f"{folder}/compared"])
        shutil.copy(f"{folder}/compared/table.md", EXPECTED / "table.md")


def check_paths() -> None:
    """Refuse a file that names a folder of this machine."""
    for path in HERE.rglob("*.json*"):
        if str(HERE) in path.read_text():
            raise SystemExit(f"{path}: names a folder of this machine")


def make(names: Sequence[str]) -> None:
    """Make all, or the named runs; "data" makes the data."""
    os.chdir(HERE)
    # A page of 201 x 201 cells takes most of a megabyte; the image episodes are few.
    point_robot.RESOLUTION, images._AT_ONCE = 11, 2
    if not names or "data" in names:
        make_data()
    chosen = RECIPES if not names else [name for name in names if name in RECIPES]
    for name in chosen:
        if "rows" in names:
            evaluate_again(name)
        else:
            make_run(name)
            write_expected([name])
    if not names or "read" in names:
        write_read()
        check_paths()
        print(f"{sum(path.stat().st_size for path in HERE.rglob('*') if path.is_file()):,} bytes")


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        words = [sys.executable, "-m", "tests.compatibility.make_fixtures", *sys.argv[1:]]
        os.execve(sys.executable, words, {**os.environ, **ENVIRONMENT})
    make(sys.argv[1:])
