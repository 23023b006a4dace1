"""The configuration of a training run: resolved options, as config.json keeps them."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from typing_extensions import TypedDict

from surefoot import checkpoint
from surefoot.algorithms import ALGORITHMS
from surefoot.checkpoint import as_json
from surefoot.errors import ConfigError
from surefoot.hyperparameters import hyperparameters, renamed
from surefoot.protocols import Algorithm
from surefoot.ranges import COUNT, NUMBER, SEED, Range, Ranged, Relation
from surefoot.tasks import TASKS, Task, get_task
from surefoot.tasks.own_task import kept_task_file, task_of
from surefoot.types import DataSpec

FORMAT_VERSION = 1
MOST_SEEDS = 1024
"""Most seeds of one run, which are trained side by side in memory."""


@dataclass(frozen=True)
class Extension(Ranged, part="extensions"):
    """One extension of training by more updates."""

    updates: Annotated[int, Range(NUMBER)]
    """Updates done before it."""
    before: dict[str, int]
    """Former values of the changed numbers of updates."""
    command: tuple[str, ...]
    """Command line of the extension."""


class Selection(TypedDict, total=False):
    """The data that a run learned from, as far as commands read them: fields of `RunConfig.data_selection`."""

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
    num_envs: int
    """Environments side by side."""
    ratio: float
    """Updates per environment step."""
    online_share: float
    """Of each batch, drawn from new frames alone."""


@dataclass(frozen=True)
class RunConfig(Ranged):
    """Resolved options of a run: everything needed to repeat it, and to load its policies."""

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

    def _relations(self) -> Iterator[Relation]:
        name = self.task if self.definition is None else self.definition.name
        yield Relation(name == self.task, "definition", f"expected that of {self.task}, found that of {name}")

    def known_task(self) -> Task:
        """The run's task: the one that it keeps, itself or as a task file, or that of the table. Raises
        `ConfigError`."""
        if self.definition is not None:
            return self.definition
        if self.task_file is None:
            return get_task(self.task)
        return task_of(kept_task_file(self.task_file, place="config.json: task_file"))

    @property
    def identity(self) -> dict[str, Any]:
        """Options that a checkpoint must share to continue this run, as JSON values."""
        names = ("algorithm", "task", "hyperparameters", "seeds", "data_fingerprint")
        return as_json({name: getattr(self, name) for name in names})

    @property
    def identities(self) -> tuple[dict[str, Any], ...]:
        """Identities that the run's checkpoints may carry: the present one, then those before each extension, the
        latest first."""
        found = [self.identity]
        for extension in reversed(self.extensions):
            values = {**found[-1]["hyperparameters"], **extension.before}
            found.append({**found[-1], "hyperparameters": values})
        return tuple(found)

    def identity_of(self, path: Path) -> dict[str, Any]:
        """Identity under which the checkpoint at `path` was written; the present one where it is none of the run's."""
        carried = checkpoint.read_metadata(path).get("hyperparameters")
        known = self.by_todays_names(carried) if isinstance(carried, dict) else carried
        identity = next((one for one in self.identities if one["hyperparameters"] == known), None)
        return self.identity if identity is None else {**identity, "hyperparameters": carried}

    def by_todays_names(self, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
        """Hyper-parameters under their present names; those of the run's algorithm may have former ones."""
        kind = ALGORITHMS.get(self.algorithm)
        return dict(hyperparameters) if kind is None else renamed(kind, hyperparameters)

    def extended(self, values: Mapping[str, Any], *, updates: int, command: Sequence[str]) -> "RunConfig":
        """Configuration with more updates.

        Args:
            values: Changed numbers of updates, by hyper-parameter.
            updates: Updates done so far.
            command: Command line of the extension.

        Returns:
            The configuration with one more entry in `extensions`.
        """
        before = {name: self.hyperparameters[name] for name in values}
        record = Extension(updates, before, tuple(command))
        changed = {**self.hyperparameters, **as_json(dict(values))}
        return dataclasses.replace(self, hyperparameters=changed, extensions=(*self.extensions, record))

    def differing(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the given hyper-parameters whose values differ from the run's."""
        return {name: value for name, value in values.items() if self.hyperparameters.get(name) != as_json(value)}


def make_config(
    algorithm: Algorithm, *, name: str, task: Task | str, seeds: tuple[int, ...], data_path: str,
    data_fingerprint: str, log_interval: int, checkpoint_interval: int, spec: DataSpec | None = None,
    preset: str | None = None,
    command: tuple[str, ...] = (), data_selection: Mapping[str, Any] | None = None,
) -> RunConfig:  # fmt: skip
    """The configuration of a run, with hyper-parameters and versions filled in.

    Args:
        algorithm: Algorithm with its hyper-parameters.
        name: Its name, as `algorithm_class` knows it.
        task: The task, which is kept where no table has it, or a name in the table.
        seeds: Seeds, trained side by side.
        data_path: File that is trained on.
        data_fingerprint: SHA-256 of the file's content.
        log_interval: Updates between rows of metrics.
        checkpoint_interval: Updates between checkpoints.
        spec: Shapes of the data; None: the task's.
        preset: Preset that changed defaults, or None.
        command: Command line of the run.
        data_selection: Filter and share of the episodes; None: all.

    Returns:
        The configuration.

    Raises:
        ConfigError: The data's path or a word of the command is not text, so that JSON could not keep it.
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
