"""`surefoot evaluate` on tasks whose observations are images: episodes, and what p knows of violations to come."""

import json
from typing import Any

import jax
import numpy as np

from surefoot.cli.files import merge_summary, run_frames
from surefoot.cli.loaded_run import FOLDER, LoadedRun
from surefoot.cli.progress import ProgressLine
from surefoot.envs.pure import PURE_TASKS
from surefoot.errors import ConfigError
from surefoot.evaluation.images import WITHIN, evaluate_seed, score_infeasibility
from surefoot.evaluation.metrics import summarise
from surefoot.files import write_text
from surefoot.tasks import get_task


def evaluate_on_images(loaded: LoadedRun, *, episodes: int, where: str | None) -> dict[str, Any]:
    """Measure every seed of a run, on its own task or on the one called `where`; writes rows and summary into the run
    and returns the summary, whose "evaluation" is then of that task.

    Raises `ConfigError` where the two tasks are not of the same images and actions.
    """
    trained = get_task(loaded.config.task)
    task = trained if where is None else get_task(where)
    if task.spec != trained.spec:
        raise ConfigError(f"--task: expected a task that looks like {trained.name}, {trained.spec}, found {task.spec}.")
    rows: list[dict[str, Any]] = []
    scores = []
    with ProgressLine("evaluating", unit="episodes") as line:
        for place, seed in enumerate(loaded.config.seeds):
            state = jax.tree.map(lambda leaf, place=place: leaf[place], loaded.states)
            found, visited = evaluate_seed(
                loaded.algorithm, state, PURE_TASKS[task.name], task.name, episodes=episodes, seed=seed
            )
            rows += [{"task": task.name, "algorithm": loaded.config.algorithm, **row} for row in found]
            if hasattr(loaded.algorithm, "window_infeasibility"):
                scores.append(score_infeasibility(loaded.algorithm, state, visited))
            line.report((place + 1) * episodes, len(loaded.config.seeds) * episodes)
    path = loaded.directory.path
    name = "episodes.jsonl" if where is None else f"episodes_{task.name}.jsonl"
    write_text(path / FOLDER / name, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))
    figures: dict[str, Any] = summarise(rows)
    if (data := run_frames(loaded.directory, loaded.config)) is not None:
        figures["data"] = {
            "episodes": len(data.lengths),
            "return_mean": float(np.mean(data.returns)),
            "violating_steps_mean": float(np.mean(data.violating_steps)),
            "violation_free_rate": float(np.mean(data.violating_steps == 0)),
        }
    key = "evaluation" if where is None else f"evaluation_{task.name}"
    changes: dict[str, Any] = {key: figures, "acting": {"step": loaded.step, "task": task.name}}
    if scores:
        changes[f"{key}_infeasibility"] = {"auroc": scores, "violation_within_steps": WITHIN}
    return {**merge_summary(path, changes), "evaluation": figures}
