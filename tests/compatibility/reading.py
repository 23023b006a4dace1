"""How today's code reads data, rows and summaries: the one place here that names its modules. A refactoring edits this
file, and no expectation."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from surefoot.algorithms import ALGORITHMS
from surefoot.data import library
from surefoot.envs import point_robot
from surefoot.evaluation.evaluate import summarize_evaluation
from surefoot.evaluation.summarize import budget_figures, protocol_figures, start_figures
from surefoot.hyperparameters import first_names, from_hyperparameters, hyperparameters
from surefoot.report.summary_text import summary_text
from surefoot.tasks import get_task
from surefoot.training import RunDirectory


def read_data(path: Path, task: str, *, mapped: bool = False) -> dict[str, Any]:
    """Fingerprint of the data, and type, shape and SHA-256 of every array."""
    kind = get_task(task)
    if kind.image_shape is not None:
        frames = library.read_frames(path, kind, in_files=False)
        arrays, fingerprint = frames.arrays(), frames.fingerprint()
    else:
        dataset = library.load(path, kind, mapped=mapped or None)
        arrays, fingerprint = dict(dataset.arrays()), dataset.fingerprint()
    return {
        "fingerprint": fingerprint,
        "arrays": {name: f"{array.dtype}{list(array.shape)} {_sha256(array)}" for name, array in arrays.items()},
        "card": library.card_of(path),
    }


def _sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def read_again(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The hyper-parameters in a run's config.json, and the same by the same names after a way through the algorithm's
    class."""
    config = RunDirectory(run).read_config()
    kind = ALGORITHMS[config.algorithm]
    made = from_hyperparameters(kind, config.hyperparameters, source=str(run))
    return json.loads((run / "config.json").read_text())["hyperparameters"], first_names(kind, hyperparameters(made))


def read_arrays(run: Path, step: int) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint by their keys."""
    (path,) = (run / "checkpoints" / f"{step:09d}").glob("arrays-*.safetensors")
    return safetensors.numpy.load(path.read_bytes())


def rows_file(run: Path) -> Path:
    """Where the rows of a run's evaluation lie."""
    budgets = run / "evaluation" / "budget_episodes.jsonl"
    return budgets if budgets.exists() else run / "evaluation" / "episodes.jsonl"


def summarized(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What summary.json says of the evaluation, and the same from the rows."""
    summary = json.loads((run / "summary.json").read_text())
    rows = [json.loads(line) for line in rows_file(run).read_text().splitlines()]
    if "budgets" in summary:
        return summary["budgets"], budget_figures(rows)
    if "protocol" in summary:
        return summary["protocol"], protocol_figures(rows)
    if summary["task"] == "PointRobot":
        return summary["evaluation"], summarize_evaluation(rows, fixed_starts=point_robot.POINT_ROBOT.fixed_starts)
    return summary["evaluation"], start_figures(rows)


def tables(run: Path) -> str:
    """The tables that `surefoot evaluate` prints of a run."""
    return summary_text(json.loads((run / "summary.json").read_text())) + "\n"
