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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from typing_extensions import TypedDict

from surefoot import checkpoint
from surefoot.checkpoint import DamagedCheckpointError, as_json, difference
from surefoot.errors import CheckpointError, ConfigError
from surefoot.files import sweep, write_json
from surefoot.hyperparameters import hyperparameters
from surefoot.json_files import check_json, read_json
from surefoot.locks import holding
from surefoot.protocols import Algorithm
from surefoot.ranges import COUNT, NUMBER, SEED, Range, check_fields, check_relation
from surefoot.tasks import TASKS, Task, get_task
from surefoot.tasks.own_task import kept_task_file, task_of
from surefoot.types import DataSpec

FORMAT_VERSION = 1
KEPT_CHECKPOINTS = 2
MOST_SEEDS = 1024
"""Of one run; they are trained side by side in memory."""
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Extension:
    """How training was made longer."""

    updates: Annotated[int, Range(NUMBER)]
    """Done by then."""
    before: dict[str, int]
    """The numbers of updates that were changed, as they were before."""
    command: tuple[str, ...]
    """The command line."""

    def __post_init__(self) -> None:
        check_fields(self, part="extensions")


class Selection(TypedDict, total=False):
    """Which data a run learned from, as far as commands read it: fields of `RunConfig.data_selection`."""

    filter: str
    """Kind of the filter."""
    cost_limit: float
    """The filter's."""
    fraction: float
    """Share of the file's episodes."""
    fraction_seed: int
    """Of their choice."""
    held_out: float
    """Share of the file's episodes that training never saw."""
    held_out_seed: int
    """Of their choice."""
    vision: dict[str, Any]
    """The cameras of a task of images."""
    data_task: str
    """Whose data they are, where the run went on in another task."""
    offline_data: bool
    """Whether a fine-tuning began with the offline data."""
    trained_updates: int
    """Of the run that a fine-tuning began from."""
    trained_sha256: str
    """Of its checkpoint's arrays."""
    steps: int
    """Environment steps of a fine-tuning, of each seed; the three below are its, too."""
    lanes: int
    """Robots side by side."""
    ratio: float
    """Updates per environment step."""
    online_share: float
    """Of each batch, drawn from new frames alone."""


@dataclass(frozen=True)
class RunConfig:
    """What a run was asked to do, resolved: everything needed to repeat it, and to load what it learned."""

    algorithm: str
    """Name in the table of algorithms."""
    task: str
    """The task's name."""
    preset: str | None
    """Name of the preset that changed defaults, if any."""
    seeds: Annotated[tuple[int, ...], Range(SEED, fewest=1)]
    """Trained side by side, in this order."""
    hyperparameters: dict[str, Any]
    """Every field of the algorithm, as JSON values."""
    spec: DataSpec
    """Shapes of the task's data."""
    data_path: str
    """The file trained on."""
    data_fingerprint: str
    """Of what the file held; a run resumes on the same data only."""
    log_interval: Annotated[int, Range(COUNT)]
    """Updates between two rows of metrics."""
    checkpoint_interval: Annotated[int, Range(COUNT)]
    """Updates between two checkpoints."""
    command: tuple[str, ...]
    """The command line that started the run."""
    versions: dict[str, str]
    """Python and packages."""
    data_selection: dict[str, Any] = dataclasses.field(default_factory=dict)
    """The filter and the share of the file's episodes that were trained on; empty where it was all of it."""
    extensions: tuple[Extension, ...] = ()
    """How training was made longer, one after the other."""
    format_version: Annotated[int, Range(COUNT)] = FORMAT_VERSION
    """Of config.json."""
    task_file: dict[str, Any] | None = None
    """The whole task file of a task of one's own, as JSON; None for a task of the table."""
    definition: Task | None = None
    """The whole task, where it is in no table and came from no file: an object in Python, or of another package."""

    def __post_init__(self) -> None:
        check_fields(self)
        name = self.task if self.definition is None else self.definition.name
        check_relation(self, name == self.task, "definition", f"expected that of {self.task}, found that of {name}")

    def known_task(self) -> Task:
        """The task: that which the run keeps, itself or as a task file, or that of the table. Raises `ConfigError`."""
        if self.definition is not None:
            return self.definition
        if self.task_file is None:
            return get_task(self.task)
        return task_of(kept_task_file(self.task_file, place="config.json: task_file"))

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to continue this run, as JSON values."""
        names = ("algorithm", "task", "hyperparameters", "seeds", "data_fingerprint")
        return as_json({name: getattr(self, name) for name in names})

    @property
    def identities(self) -> tuple[dict[str, Any], ...]:
        """That of now, then those before each extension, the latest first: what the run's checkpoints may carry."""
        found = [self.identity]
        for extension in reversed(self.extensions):
            values = {**found[-1]["hyperparameters"], **extension.before}
            found.append({**found[-1], "hyperparameters": values})
        return tuple(found)

    def identity_of(self, path: Path) -> dict[str, Any]:
        """The identity under which the checkpoint at `path` was written; that of now where it is none of the run's."""
        carried = checkpoint.read_metadata(path).get("hyperparameters")
        return next((one for one in self.identities if one["hyperparameters"] == carried), self.identity)

    def extended(self, values: Mapping[str, Any], *, updates: int, command: Sequence[str]) -> "RunConfig":
        """The configuration with other numbers of updates, after `updates` of them."""
        before = {name: self.hyperparameters[name] for name in values}
        record = Extension(updates, before, tuple(command))
        changed = {**self.hyperparameters, **as_json(dict(values))}
        return dataclasses.replace(self, hyperparameters=changed, extensions=(*self.extensions, record))

    def differing(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Those of these hyper-parameters that are others than the run's."""
        return {name: value for name, value in values.items() if self.hyperparameters.get(name) != as_json(value)}


def make_config(
    algorithm: Algorithm, *, name: str, task: Task | str, seeds: tuple[int, ...], data_path: str,
    data_fingerprint: str, log_interval: int, checkpoint_interval: int, spec: DataSpec | None = None,
    preset: str | None = None,
    command: tuple[str, ...] = (), data_selection: Mapping[str, Any] | None = None,
) -> RunConfig:  # fmt: skip
    """The configuration of a run of `algorithm`, which the table calls `name`; adds hyper-parameters and versions.

    `task`: the whole task, which is kept where no table has it, or a name in the table; `spec`: by default the task's.
    Raises `ConfigError` where the data's path or a word of the command is no text: JSON could not give it back.
    """
    for word in (data_path, *command):
        if not word.isascii() and any("\ud800" <= letter <= "\udfff" for letter in word):
            raise ConfigError(f"{word}: expected a name in UTF-8, which a run can keep, found other bytes.")
    if isinstance(task, str):
        named, definition, task_file = task, None, None
        spec = get_task(task).spec if spec is None else spec
    else:
        named, spec = task.name, task.spec
        task_file = None if task.file is None else task.file.as_json()
        definition = None if task_file or TASKS.get(named) == task else task
    return RunConfig(
        algorithm=name,
        task=named,
        preset=preset,
        seeds=tuple(seeds),
        hyperparameters=hyperparameters(algorithm),
        spec=spec,
        definition=definition,
        data_path=data_path,
        data_fingerprint=data_fingerprint,
        log_interval=log_interval,
        checkpoint_interval=checkpoint_interval,
        command=tuple(command),
        versions=checkpoint.versions(),
        data_selection=dict(data_selection or {}),
        task_file=task_file,
    )


@dataclass(frozen=True)
class RunDirectory:
    """The paths of a run, and how its files are written and read back. Opening one touches nothing."""

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
        """TensorBoard's events of one seed."""
        return self.path / "tensorboard" / f"seed_{seed}"

    def start(self, config: RunConfig, *, resume: bool) -> None:
        """Write the configuration of a new run, or check that of the one to resume.

        `resume` where nothing was started yet starts it, so that a killed command can be repeated as it stands. Without
        `resume` a run takes the place of one that has no checkpoint. Raises `ConfigError` where a run is there and
        `resume` is not asked for, or where it is another run.
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
        """Let another configuration take the place of the one that is there. Raises `ConfigError` where another process
        trains in the folder."""
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
        values.setdefault("data_selection", {})  # runs from before there were selections have none
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
        return config

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing to this run; the system frees the lock of a killed one.

        Raises `ConfigError` where another process has it, and where the folder cannot be written to.
        """
        with holding(self.path, busy="another process is training in this folder"):
            _make_folder(self.checkpoints_path)
            yield

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def checkpoints(self) -> list[Path]:
        """Folders with the name of a checkpoint, oldest first; not looked into."""
        if not self.checkpoints_path.is_dir():
            return []
        named = [path for path in self.checkpoints_path.iterdir() if _is_checkpoint_name(path.name) and path.is_dir()]
        return sorted(named, key=lambda path: int(path.name))

    def latest(self) -> Path | None:
        """The newest whole checkpoint, None where none was written yet.

        Half-written leftovers are ignored; a damaged one, and another one's copy under a number that is not its own,
        are passed over with a warning in the log. Raises
        `CheckpointError` where all are damaged, and where one has an unknown format.
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
        """Write the checkpoint of `step` updates, then remove all but the last two."""
        path = self.checkpoints_path / f"{step:09d}"
        checkpoint.save(path, state, {**metadata, "step": step})
        for old in self.checkpoints()[:-KEPT_CHECKPOINTS]:
            checkpoint.remove(old)
        return path

    def discard_after(self, step: int) -> None:
        """Remove what killed writers left behind, and checkpoints beyond `step`: those that `latest` passed over.

        Only what was made here is removed, and no link is followed. What else has the name of a checkpoint beyond
        `step` gets another name, with a warning in the log. The caller holds the lock.
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
