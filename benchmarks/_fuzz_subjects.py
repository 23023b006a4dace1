"""What fuzz.py damages: small files and runs made by the command line, and how each is looked at afterwards.

A look is a function of a folder that returns a digest of what Surefoot made of it, or raises what a user would see.
"""

import contextlib
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import surefoot
from surefoot.cli.main import main
from surefoot.data import episode_files, library, pixels
from surefoot.tasks import get_task

FISOR = """--constraint-updates 40 --reward-updates 20 --policy-updates 20 --value-hidden 16 16 --value-batch-size 32
    --policy-batch-size 32 --diffusion.network.width 16 --diffusion.network.blocks 1 --diffusion.network.time-width 16
    --num-candidates 4 --log-interval 20 --checkpoint-interval 40 --seeds 0:2"""
TREBI = """--model-updates 20 --value-updates 20 --batch-size 16 --network.width 8 --value-network.width 8
    --num-candidates 4 --diffusion-steps 3 --sampler.steps 3 --sampler.warm-steps 1 --plan-horizon 16 --log-interval 20
    --checkpoint-interval 40 --seeds 0 --calibration-segments 32"""
Look = Callable[[Path], str]


class Refused(Exception):
    """A command ended with exit code 2; the message is what it said."""


@dataclass(frozen=True)
class Subject:
    """Files to damage, by the name of their folder, and the looks at them."""

    name: str
    looks: tuple[Look, ...]
    share: float
    """Of the mutations."""
    checksums: bool = True
    """Whether the files carry any: all that Surefoot writes do."""
    also: tuple[Callable[[Path], None], ...] = ()
    """Changes after which other digests are right, too."""


def command(*words: object) -> str:
    """Run a command line in this process; its stdout. Raises `Refused`."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(word) for word in words])
    if code:
        raise Refused(f"{code}: {err.getvalue()}")
    return out.getvalue()


def make(folder: Path, names: Collection[str]) -> None:
    """The files of these subjects, each in a folder of its own."""
    point, pendulum, hazard = folder / "dsrl/point.hdf5", folder / "pendulum.hdf5", folder / "frames/hazard.hdf5"
    for subject in SUBJECTS:
        (folder / subject.name).mkdir(parents=True)
    command("collect", "--task", "PointRobot", "--transitions", 2000, "--out", point)
    _write(pendulum, _walks(3, 1, (200,) * 12), {"task": "SafePendulum"})
    command("collect", "--task", "HazardRun", "--transitions", 300, "--out", hazard)
    makers = {
        "d4rl": lambda: _hopper(folder / "d4rl/hopper.hdf5"),
        "minari": lambda: command("data", "convert", pendulum, "--to", "minari", "--out", folder / "minari/pendulum"),
        "episodes": lambda: _episodes(hazard, folder / "episodes/hazard"),
        "fisor": lambda: _fisor(point, folder / "fisor/run"),
        "trebi": lambda: _trebi(pendulum, folder / "trebi/run"),
    }
    for name, maker in makers.items():
        if name in names:
            maker()


def _episodes(frames: Path, out: Path) -> None:
    task = get_task("HazardRun")
    found = pixels.load(frames, task)
    labels = ["random"] * len(found.episode_starts)
    episode_files.save(out, found, task, labels=labels, card={})


def _fisor(data: Path, out: Path) -> None:
    command("train", "--task", "PointRobot", "--data", data, "--out", out, *FISOR.split())
    command("evaluate", out, "--episodes", 20)


def _trebi(data: Path, out: Path) -> None:
    command("train", "--algorithm", "trebi", "--task", "SafePendulum", "--data", data, "--out", out, *TREBI.split())
    command("evaluate", out, "--budget", 0.5, 1.0, "--episodes", 20, "--num-envs", 20)
    command("calibrate", out, "--level", 0.2)


def _write(path: Path, arrays: dict[str, np.ndarray], card: dict | None) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for key, value in arrays.items():
            file.create_dataset(key, data=value)
        if card:
            file.attrs["card"] = json.dumps(card)


def _walks(observations: int, actions: int, lengths: tuple[int, ...]) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    parts: dict[str, list[np.ndarray]] = {}
    for steps in lengths:
        action = draw.uniform(-1, 1, (steps, actions))
        state = np.zeros((steps + 1, observations))
        state[0] = draw.normal(size=observations)
        for t in range(steps):
            state[t + 1] = 0.95 * state[t] + 0.1 * draw.normal(size=observations) + 0.1 * action[t].mean()
        row = {
            "observations": state[:-1], "next_observations": state[1:], "actions": action,
            "rewards": draw.normal(size=steps), "costs": (draw.random(steps) < 0.1).astype(float),
            "terminals": np.zeros(steps), "timeouts": np.arange(steps) == steps - 1,
        }  # fmt: skip
        for key, value in row.items():
            parts.setdefault(key, []).append(value)
    return {key: np.concatenate(value).astype(np.float32) for key, value in parts.items()}


def _hopper(path: Path) -> None:
    """D4RL's keys: no costs, no next observations; places that go on by 0.01 a step."""
    arrays = _walks(11, 3, (60,) * 6)
    del arrays["costs"], arrays["next_observations"]
    arrays["infos/qpos"] = np.tile(np.arange(60)[:, None] * 0.01, (6, 6)).astype(np.float32)
    _write(path, arrays, None)


# --- looks -----------------------------------------------------------------------------------------------------------


def dataset(name: str, task: str) -> Look:
    """Read as training reads it; the digest is the data's fingerprint."""

    def look(folder: Path) -> str:
        return library.load(folder / name, get_task(task)).fingerprint()

    return look


def images(name: str) -> Look:
    """Read image data, all of their bytes."""

    def look(folder: Path) -> str:
        path = folder / name
        if episode_files.is_folder_of_episodes(path):
            found = episode_files.load(path, get_task("HazardRun"), in_memory=True)
        else:
            found = pixels.load(path, get_task("HazardRun"))
        return found.fingerprint()

    return look


def words(*line: object) -> Look:
    """Run a command whose words `{}` stand for the folder; the digest says only that it went well."""

    def look(folder: Path) -> str:
        command(*(str(word).replace("{}", str(folder)) for word in line))
        return "done"

    return look


def acting(observation_dim: int) -> Look:
    """Load the policy and act; the digest is of the actions."""

    def look(folder: Path) -> str:
        observations = np.linspace(-0.5, 0.5, 3 * observation_dim, dtype=np.float32).reshape(3, -1)
        policy = surefoot.load(folder / "run", seed=0)
        return hashlib.sha256(np.asarray(policy.act(observations)).tobytes()).hexdigest()

    return look


def without_newest(folder: Path) -> None:
    """The run as it was a checkpoint earlier: what is loaded, with a warning, where the newest is damaged."""
    shutil.rmtree(sorted((folder / "run/checkpoints").iterdir())[-1])


SUBJECTS = (
    Subject("dsrl", (dataset("point.hdf5", "PointRobot"), words("data", "info", "{}/point.hdf5")), 0.3),
    Subject(
        "d4rl",
        (dataset("hopper.hdf5", "Hopper"), words("data", "info", "{}/hopper.hdf5", "--task", "Hopper")),
        0.15,
        checksums=False,
    ),
    Subject("minari", (dataset("pendulum", "SafePendulum"), words("data", "info", "{}/pendulum")), 0.2),
    Subject("frames", (images("hazard.hdf5"), words("data", "info", "{}/hazard.hdf5")), 0.125),
    Subject("episodes", (images("hazard"), words("data", "info", "{}/hazard")), 0.125),
    Subject("fisor", (acting(11), words("report", "{}/run")), 0.05, also=(without_newest,)),
    Subject("trebi", (words("report", "{}/run"),), 0.05),
)
