"""`surefoot evaluate`: the policy from drawn and fixed starts, the learned feasible region against the exact one."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array, Float

from surefoot.algorithms.fisor_weights import Extraction
from surefoot.cli.files import merge_summary, run_data
from surefoot.cli.options import parse
from surefoot.cli.progress import ProgressLine
from surefoot.data import Dataset
from surefoot.envs import point_robot
from surefoot.errors import ConfigError
from surefoot.evaluation.evaluate import episode_rows, roll_out_seeds, summarise_data, summarise_evaluation
from surefoot.evaluation.rollouts import Records
from surefoot.evaluation.starts import Starts, draw_starts
from surefoot.files import write_text
from surefoot.report.tables import evaluation_rows, key_figure_rows, key_figures, plain_table, verdict
from surefoot.safety.exact import TOP_SPEED, ExactSet, cell_centres, slice_poses, solve_point_robot
from surefoot.safety.region import SLICES, score_region
from surefoot.training import LoadedPolicy, RunConfig, RunDirectory, load_policy

FOLDER = "evaluation"
PICTURED_EPISODES = 200
"""Of each start set, of the first seed, whose paths are kept for the pictures."""
RESOLUTION, EXTENT = 201, 2.7
"""Cells along each side of a region slice, and half its side in metres."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Measure the policy and the feasible region of a run. The options that change how the policy acts leave the run
    itself as it was trained; results of an earlier evaluation are replaced."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    episodes: int = 1000
    """Episodes of each seed from feasible starts; half as many from infeasible ones."""
    extraction: Extraction | None = None
    """Which candidate acts, instead of the trained configuration's."""
    margin: float | None = None
    """A candidate counts as feasible where Q_h <= -margin, in units of h, instead of the configuration's."""
    num_candidates: int | None = None
    """Actions sampled per decision, instead of the configuration's."""


class LoadedRun(NamedTuple):
    """All seeds of a run."""

    directory: RunDirectory
    config: RunConfig
    algorithm: Any
    states: Any
    """With a leading seed axis."""
    step: int
    """Updates trained."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    options = parse(EvaluateOptions, arguments, command="evaluate")
    print(table(evaluate(options)))


def evaluate(options: EvaluateOptions, *, dataset: Dataset | None = None) -> dict[str, Any]:
    """Measure a run, write what was found into it, and return its summary. `dataset` spares reading it again."""
    if options.episodes < 1:
        raise ConfigError(f"--episodes: expected at least 1, found {options.episodes}.")
    loaded = load_run(options.run, acting_overrides(options))
    if loaded.config.task != "PointRobot":
        raise ConfigError(f"{options.run}: expected a run of PointRobot, found one of {loaded.config.task}.")
    dataset = run_data(loaded.directory, loaded.config) if dataset is None else dataset
    with ProgressLine("solving the exact feasible set", unit="sets") as line:
        exact = solve_point_robot()
        line.report(1, 1)
    starts = draw_starts(exact.value, feasible=options.episodes, infeasible=max(1, options.episodes // 2))
    data_figures = None if dataset is None else summarise_data(dataset, exact.value, top_speed=TOP_SPEED)
    region = measure_region(loaded, exact)
    del exact, dataset  # hundreds of megabytes that the rollouts need not stand beside
    with ProgressLine("evaluating", unit="episodes") as line:
        records = roll_out_seeds(
            loaded.algorithm,
            loaded.states,
            starts.poses,
            seeds=loaded.config.seeds,
            on_progress=line.report,
        )
    return _write(loaded, starts, records, region=region, data_figures=data_figures, changed=acting_overrides(options))


def table(summary: dict[str, Any]) -> str:
    """The tables that the commands print, and the verdict."""
    judged = key_figures(summary)
    parts = [plain_table(evaluation_rows(summary)), plain_table(key_figure_rows(judged)), verdict(judged)]
    return "\n\n".join(part for part in parts if part)


def acting_overrides(options: EvaluateOptions) -> dict[str, Any]:
    """The options that were given among those that change how the policy acts."""
    given = {name: getattr(options, name) for name in ("extraction", "margin", "num_candidates")}
    return {name: value for name, value in given.items() if value is not None}


def load_run(path: Path, overrides: dict[str, Any]) -> LoadedRun:
    """The states of all seeds, and the algorithm with `overrides`, which it must know (`ConfigError`)."""
    directory = RunDirectory(path)
    config = directory.read_config()
    policies: list[LoadedPolicy] = [load_policy(path, seed=seed) for seed in config.seeds]
    algorithm = policies[0].algorithm
    fields = {field.name for field in dataclasses.fields(algorithm)}  # type: ignore[arg-type]
    for name in overrides:
        if name not in fields:
            flag = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{path}: algorithm '{config.algorithm}' has no {name}; leave {flag} out.")
    states = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[policy.state for policy in policies])
    changed = dataclasses.replace(algorithm, **overrides)  # type: ignore[type-var]
    return LoadedRun(directory, config, changed, states, policies[0].step)


class Region(NamedTuple):
    """Feasible values on the published slices, and how well the learned ones agree with the exact ones."""

    learned: Float[np.ndarray, "slice seed y x"]
    exact: Float[np.ndarray, "slice y x"]
    scores: dict[str, Any]
    """Means over the seeds, a list over slices for each score; "per_seed" holds [seed][slice]."""


def measure_region(loaded: LoadedRun, exact: ExactSet) -> Region | None:
    """The feasible region of every seed; None where the algorithm has none."""
    if not hasattr(loaded.algorithm, "feasible_value"):
        return None

    @jax.jit
    def values_of(states: Any, observations: Float[Array, "n obs"]) -> Float[Array, "seed n"]:
        # One seed after the other: the activations of 40,000 observations should be in memory once.
        return jax.lax.map(lambda state: loaded.algorithm.feasible_value(state, observations), states)

    poses = [slice_poses(speed, heading, resolution=RESOLUTION, extent=EXTENT) for speed, heading in SLICES]
    observations = [point_robot.observe(jnp.asarray(part, jnp.float32)) for part in poses]
    learned = np.stack([np.asarray(values_of(loaded.states, part)) for part in observations])
    values = np.stack([exact.value(part) for part in poses])
    scored = [[score_region(learned[i, s], values[i]) for i in range(len(SLICES))] for s in range(learned.shape[1])]
    names = scored[0][0]._fields
    per_seed = {name: [[getattr(score, name) for score in slices] for slices in scored] for name in names}
    means = {name: np.mean(numbers, axis=0).tolist() for name, numbers in per_seed.items()}
    grid = (RESOLUTION, RESOLUTION)
    return Region(
        learned.reshape(*learned.shape[:2], *grid), values.reshape(len(SLICES), *grid), {**means, "per_seed": per_seed}
    )


def _write(
    loaded: LoadedRun,
    starts: Starts,
    records: Records,
    *,
    region: Region | None,
    data_figures: dict[str, Any] | None,
    changed: dict[str, Any],
) -> dict[str, Any]:
    config, path = loaded.config, loaded.directory.path
    method = {
        "task": config.task,
        "algorithm": config.algorithm,
        "extraction": getattr(loaded.algorithm, "extraction", "single"),
    }
    rows = episode_rows(records, starts, seeds=config.seeds, method=method)
    write_text(path / FOLDER / "episodes.jsonl", "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))
    _write_arrays(path / FOLDER / "paths.npz", _pictured(starts, records))
    if region is not None:
        axis = cell_centres(RESOLUTION, EXTENT)
        # float16 keeps its relative precision down to zero, where the borders are drawn.
        arrays = {"learned": region.learned.astype(np.float16), "exact": region.exact.astype(np.float16), "axis": axis}
        _write_arrays(path / FOLDER / "region.npz", arrays)
    acting = {name: getattr(loaded.algorithm, name) for name in ("extraction", "margin", "num_candidates")
              if hasattr(loaded.algorithm, name)}  # fmt: skip
    figures = summarise_evaluation(rows)
    changes: dict[str, Any] = {
        "evaluation": figures if data_figures is None else {**figures, "data": data_figures},
        "acting": {"step": loaded.step, **acting, "overrides": changed},
    }
    if region is not None:
        changes["feasible_region"] = region.scores
    return merge_summary(path, changes)


def _pictured(starts: Starts, records: Records) -> dict[str, np.ndarray]:
    """Positions [episodes, HORIZON + 1, 2] by start set: the first seed's first ones, the fixed starts of every seed.

    float32, because a rounded position would move a violation's border.
    """
    sets = np.array(starts.sets)
    chosen = {name: np.flatnonzero(sets == name)[:PICTURED_EPISODES] for name in ("feasible", "infeasible")}
    paths = {name: records.path[0, rows] for name, rows in chosen.items()}
    fixed = np.asarray(records.path)[:, sets == "fixed"]
    return {**paths, "fixed": fixed.reshape(-1, *fixed.shape[2:])}  # type: ignore[dict-item]


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    temporary.replace(path)
