"""Checks of a folder that training is to write to: it is new, empty, or holds a run to resume."""

from pathlib import Path

from surefoot.errors import ConfigError, option
from surefoot.training import RunDirectory


def visible(folder: Path) -> list[Path]:
    """Content of a folder without locks and half-written files; empty where the folder does not exist. Raises
    `ConfigError` for a file."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: expected a folder to write to, found a file.")
    return [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.exists() else []


def check_output_folder(out: Path, *, resume: bool) -> None:
    """Check that training may write to a folder; the folder is not changed.

    Args:
        out: The folder.
        resume: Go on with a run that it holds.

    Raises:
        ConfigError: It holds files and is not to be resumed, or cannot be.
    """
    run = RunDirectory(out)
    if not visible(out) or (not run.checkpoints() and _died_early(run)):
        return
    if not resume:
        raise ConfigError(
            f"{out}: expected an empty or new folder, found files; add {option('resume')} to go on with the run in it, "
            f"or choose another folder with {option('out')}."
        )
    if not run.config_path.exists():
        raise ConfigError(
            f"{out}: expected a run to resume, found other files; choose another folder with {option('out')}."
        )


DATA = "data.hdf5"
"""Name of the file for data that were in memory when a run was trained on them, and for a quickstart's."""
_BEGUN = {"config.json", DATA, "checkpoints", "metrics.jsonl", "tensorboard", "wandb", "replay", "online.jsonl"}
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
