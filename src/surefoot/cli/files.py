"""What the commands do with the files of a run: checking the folder, merging the summary."""

import dataclasses
import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.checkpoint import as_json, difference, read_metadata
from surefoot.data.npz_files import Field, check_fields, read_npz
from surefoot.errors import CheckpointError, ConfigError, DataError
from surefoot.evaluation.summary import Summary
from surefoot.files import write_json, write_whole
from surefoot.json_files import read_json
from surefoot.tasks import get_task
from surefoot.training import RunConfig, RunDirectory

SUMMARY = "summary.json"


def visible(folder: Path) -> list[Path]:
    """What lies in a folder, without locks and half-written files; nothing where it does not exist.

    Raises `ConfigError` where something else than a folder has its name.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: expected a folder to write to, found a file.")
    return [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.exists() else []


def check_output_folder(out: Path, *, resume: bool) -> None:
    """`ConfigError` where `out` holds something and is not to be, or cannot be, resumed. Touches nothing."""
    run = RunDirectory(out)
    if not visible(out) or (not run.checkpoints() and _died_early(run)):
        return
    if not resume:
        raise ConfigError(
            f"{out}: expected an empty or new folder, found files; add --resume to go on with the run in it, "
            f"or choose another folder with --out."
        )
    if not run.config_path.exists():
        raise ConfigError(f"{out}: expected a run to resume, found other files; choose another folder with --out.")


def check_spec(run: RunDirectory, config: RunConfig) -> None:
    """Raise `ConfigError` where a run's data have other shapes or horizons than its task."""
    task = get_task(config.task)
    expected, found = as_json(dataclasses.asdict(task.spec)), as_json(dataclasses.asdict(config.spec))
    if expected != found:
        raise ConfigError(f"{run.config_path}: task {task.name}: {difference('spec', expected, found)}.")


def check_origin(run: RunDirectory, config: RunConfig, summary: Mapping[str, Any]) -> None:
    """Raise `ConfigError` where the configuration is not that of the run's task, of its checkpoint and its summary."""
    check_spec(run, config)
    try:
        latest = run.latest()
    except CheckpointError:  # what was measured with them is there still
        latest = None
    if latest is not None:
        _check_same(run, read_metadata(latest), config.identity_of(latest), "checkpoint")
    names = ("task", "algorithm", "seeds")
    named = {name: config.identity[name] for name in names} | {"preset": config.preset}
    _check_same(run, summary, named, "summary")
    if "fingerprint" in (data := summary.get("data", {})):
        names = ("filter", "cost_limit", "fraction", "fraction_seed", "held_out", "held_out_seed")
        chosen = {name: data[name] for name in names if name in data}
        found = {name: config.data_selection[name] for name in names if name in config.data_selection}
        _check_same(run, {"data_selection": chosen}, {"data_selection": found}, "summary")


def _check_same(run: RunDirectory, there: Mapping[str, Any], configured: Mapping[str, Any], what: str) -> None:
    for name, value in configured.items():
        if name in there and there[name] != value:
            sentence = difference(name, there[name], value)
            raise ConfigError(f"{run.config_path}: it is not that of the run's {what}: {sentence}.")


_BEGUN = {"config.json", "checkpoints", "metrics.jsonl", "tensorboard", "wandb", "replay", "online.jsonl"}
"""What training makes before its first checkpoint."""


def _died_early(run: RunDirectory) -> bool:
    """Whether the folder holds no more than a training that died before its first checkpoint has left."""
    if not {path.name for path in visible(run.path)} <= _BEGUN or (not run.config_path.exists() and _holds_files(run)):
        return False
    try:
        return not run.config_path.exists() or bool(run.read_config())
    except ConfigError:  # another program's
        return False


def _holds_files(run: RunDirectory) -> bool:
    return any(path.is_file() for path in run.path.rglob("*") if path.name[0] != ".")


def read_summary(run: Path) -> dict[str, Any]:
    """The run's summary; empty where none was written. Raises `ConfigError` where it is not one."""
    path = run / SUMMARY
    if not path.exists():
        return {}
    found: Any = read_json(path, Summary, what="the summary of a run", advice="evaluate again, or remove the key")
    return found


def merge_summary(run: Path, changes: Mapping[str, Any], *, without: Collection[str] = ()) -> dict[str, Any]:
    """Replace the given keys of the run's summary, in one step; returns the whole. `without`: keys that go."""
    summary = merged_summary(run, changes, without=without)
    write_json(run / SUMMARY, summary)
    return summary


def merged_summary(run: Path, changes: Mapping[str, Any], *, without: Collection[str] = ()) -> dict[str, Any]:
    """The run's summary with changes as `merge_summary` makes them; writes nothing."""
    return {**{key: value for key, value in read_summary(run).items() if key not in without}, **changes}


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """An .npz file in one step."""
    write_whole(path, npz_content(arrays))


def npz_content(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays as the content of an .npz file."""
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def read_arrays(path: Path, *groups: Mapping[str, Field], what: str = "arrays") -> dict[str, np.ndarray]:
    """The arrays of such a file that `groups` declare, each group as a whole or not at all; empty where there is none.

    Raises `ConfigError` where it cannot be read as `what`.
    """
    if not path.exists():
        return {}
    try:
        arrays = read_npz(path, only=set().union(*groups))
        for group in groups:
            if group.keys() & arrays.keys():
                check_fields(path, arrays, group)
    except DataError as error:
        detail = str(error).removeprefix(f"{path}: ").removesuffix(".")
        raise ConfigError(
            f"{path}: expected {what}, found a file that cannot be read ({detail}); evaluate again."
        ) from error
    return arrays
