"""The folder of one training run: its configuration, its checkpoints, its logs.

config.json            what was run, written once
checkpoints/000012000  named by the number of updates done; the last two are kept
metrics.jsonl          one row per log point and seed
tensorboard/seed_0     the same curves for TensorBoard
"""

import dataclasses
import itertools
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surefoot import checkpoint
from surefoot.checkpoint import DamagedCheckpointError, as_json, difference
from surefoot.errors import CheckpointError, ConfigError
from surefoot.files import sweep, write_json
from surefoot.json_files import check_json, read_json
from surefoot.locks import holding
from surefoot.tasks import Task
from surefoot.training.run_config import FORMAT_VERSION, MOST_SEEDS, RunConfig, Selection

KEPT_CHECKPOINTS = 2
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunDirectory:
    """Paths of a run, and how its files are written and read. Making one touches nothing."""

    path: Path

    @property
    def config_path(self) -> Path:
        return self.path / "config.json"

    @property
    def checkpoints_path(self) -> Path:
        return self.path / "checkpoints"

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    def tensorboard_path(self, seed: int) -> Path:
        """Folder of one seed's TensorBoard events."""
        return self.path / "tensorboard" / f"seed_{seed}"

    def start(self, config: RunConfig, *, resume: bool) -> None:
        """Write the configuration of a new run, or check that of the run to resume.

        Args:
            config: Configuration of the run.
            resume: Go on with a run that is there, or start one where there is none, so that a killed command can be
                repeated unchanged. False: replace a run without checkpoints.

        Raises:
            ConfigError: The folder holds another run, or one with checkpoints that is not to be resumed.
        """
        if not self.config_path.exists():
            write_json(self.config_path, _config_values(config))
        elif resume:
            self.check_identity(config)
        elif self.checkpoints():
            raise ConfigError(f"{self.path}: already holds a run; resume it or choose another folder.")
        else:
            self.rewrite(config)

    def rewrite(self, config: RunConfig) -> None:
        """Replace the folder's configuration. Raises `ConfigError` where another process trains in the folder."""
        with self.locked():
            write_json(self.config_path, _config_values(config))

    def check_identity(self, config: RunConfig) -> None:
        """Raise `ConfigError` where the run in this folder is not the one that `config` describes."""
        wanted, found = self.read_config().identity, config.identity
        # A run from before a hyper-parameter was added lacks it; `fit` checks that it has the value of then.
        known = wanted["hyperparameters"]
        found["hyperparameters"] = {name: value for name, value in found["hyperparameters"].items() if name in known}
        for field in wanted:
            if wanted[field] != found[field]:
                sentence = difference(field, wanted[field], found[field])
                raise ConfigError(f"{self.config_path}: the run there is another one, {sentence}.")
        there, here = (_learned_from(one.definition) for one in (self.read_config(), config))
        for field in there.keys() & here.keys():
            if there[field] != here[field]:
                sentence = difference(field, there[field], here[field])
                raise ConfigError(f"{self.config_path}: the run there is on another task {config.task}, {sentence}.")

    def read_config(self) -> RunConfig:
        """The configuration in config.json. Raises `ConfigError` where there is none that can be used."""
        if not self.config_path.exists():
            raise ConfigError(f"{self.path}: expected a run directory, found no config.json there.")
        what = "the configuration of a run"
        values: dict[str, Any] = read_json(self.config_path, dict[str, Any], what=what)
        if "format_version" not in values:
            raise ConfigError(f"{self.config_path}: expected {what}, found other JSON.")
        if (version := values["format_version"]) != FORMAT_VERSION:
            raise ConfigError(
                f"{self.config_path}: format_version: expected {FORMAT_VERSION}, found {json.dumps(version):.60}."
            )
        names = {one.name for one in dataclasses.fields(RunConfig)}
        selection = values.setdefault("data_selection", {})  # runs from before there were selections have none
        if isinstance(selection, dict) and "lanes" in selection:
            selection.setdefault("num_envs", selection.pop("lanes"))  # its former name
        values.setdefault("extensions", [])
        values.setdefault("task_file", None)
        values.setdefault("definition", None)
        if wrong := sorted(names ^ values.keys()):
            sentence = "expected a value, found none" if wrong[0] in names else "expected no such field, found one"
            raise ConfigError(f"{self.config_path}: {wrong[0]}: {sentence}.")
        config: RunConfig = check_json(values, RunConfig, place=str(self.config_path), what=what)
        place = f"{self.config_path}: data_selection"
        check_json(values["data_selection"], Selection, place=place, what=what)
        if strange := sorted(values["data_selection"].keys() - Selection.__annotations__.keys()):
            raise ConfigError(f"{place}: {strange[0]}: expected no such field, found one.")
        if len(config.seeds) > MOST_SEEDS:
            raise ConfigError(f"{self.config_path}: seeds: expected at most {MOST_SEEDS}, found {len(config.seeds):,}.")
        return dataclasses.replace(config, hyperparameters=config.by_todays_names(config.hyperparameters))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing to this run; the system frees the lock of a killed process.

        Raises:
            ConfigError: Another process has the lock, or the folder cannot be written to.
        """
        with holding(self.path, busy="another process is training in this folder"):
            _make_folder(self.checkpoints_path)
            yield

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def checkpoints(self) -> list[Path]:
        """Folders with the name of a checkpoint, oldest first; their content is not read."""
        if not self.checkpoints_path.is_dir():
            return []
        named = [path for path in self.checkpoints_path.iterdir() if _is_checkpoint_name(path.name) and path.is_dir()]
        return sorted(named, key=lambda path: int(path.name))

    def latest(self) -> Path | None:
        """The newest whole checkpoint; None where none was written yet.

        Half-written leftovers are ignored. A damaged checkpoint, and a copy under another one's number, is skipped with
        a warning in the log.

        Raises:
            CheckpointError: All checkpoints are damaged, or one has an unknown format.
        """
        candidates = self.checkpoints()
        for path in reversed(candidates):
            try:
                step = checkpoint.read_metadata(path).get("step")
                if isinstance(step, int) and step != int(path.name):
                    raise DamagedCheckpointError(f"{path}: step: expected {int(path.name)} as its name, found {step}.")
                return path
            except DamagedCheckpointError as error:
                _LOGGER.warning("passing over a damaged checkpoint: %s", error)
        if candidates:
            raise CheckpointError(f"{self.checkpoints_path}: expected a whole checkpoint, found only damaged ones.")
        return None

    def latest_step(self) -> int:
        """Updates done at the newest whole checkpoint; 0 where there is none."""
        latest = self.latest()
        return 0 if latest is None else int(latest.name)

    def save_checkpoint(self, step: int, state: Any, metadata: Mapping[str, Any]) -> Path:
        """Write a checkpoint, then remove all but the last two.

        Args:
            step: Updates done, which name the folder.
            state: States of all seeds.
            metadata: Identity of the run and name of the phase.

        Returns:
            Folder of the checkpoint.
        """
        path = self.checkpoints_path / f"{step:09d}"
        checkpoint.save(path, state, {**metadata, "step": step})
        for old in self.checkpoints()[:-KEPT_CHECKPOINTS]:
            checkpoint.remove(old)
        return path

    def discard_after(self, step: int) -> None:
        """Remove leftovers of killed writers, and checkpoints beyond `step`, which `latest` skipped. The caller holds
        the lock.

        Only what was made here is removed, and no link is followed. Anything else with the name of a checkpoint beyond
        `step` is renamed, with a warning in the log.
        """
        sweep(self.path, former=r"config\.json|metrics\.jsonl")
        sweep(self.checkpoints_path, exclusive=True, former=_CHECKPOINT_NAME)
        if not self.checkpoints_path.is_dir():
            return
        for path in self.checkpoints_path.iterdir():
            if _is_checkpoint_name(path.name) and int(path.name) > step and not checkpoint.remove(path):
                free = next(place for number in itertools.count(1)
                            if not os.path.lexists(place := path.with_name(f"{path.name}.found-{number}")))  # fmt: skip
                os.rename(path, free)
                _LOGGER.warning("%s: not a checkpoint of this run; it is now called %s", path, free.name)


_LEARNED_FROM = ("action_dim", "constraints", "horizon", "image_shape", "observation_dim")
"""Fields of a task on which what is learned depends."""


def _learned_from(task: Task | None) -> dict[str, Any]:
    values = {} if task is None else as_json(dataclasses.asdict(task))
    return {name: value for name, value in values.items() if name in _LEARNED_FROM}


_CHECKPOINT_NAME = "[0-9]{9,}"


def _is_checkpoint_name(name: str) -> bool:
    return re.fullmatch(_CHECKPOINT_NAME, name) is not None


def _config_values(config: RunConfig) -> dict[str, Any]:
    """As config.json has them: what was added later is left out where there is none, as in runs from before."""
    values = dataclasses.asdict(config)
    later = ("extensions", "task_file", "definition")
    return {name: value for name, value in values.items() if value or name not in later}


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{path}: expected a folder that can be written to, found a fault ({error.strerror or error})."
        ) from error
