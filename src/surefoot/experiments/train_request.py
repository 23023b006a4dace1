"""Options of a training, and its data: read, checked, selected, prepared."""

from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from surefoot.data import Dataset, TransitionStream, episode_files, library
from surefoot.data.frame_stream import in_memory
from surefoot.data.frames import FrameData
from surefoot.data.mapping import is_mapped
from surefoot.data.remarks import few_episodes, remarks
from surefoot.data.selection import DataFilter, kept_aside, naming, select, selection_name
from surefoot.errors import ConfigError, option
from surefoot.observer import Observer
from surefoot.protocols import Algorithm, LearnsWithoutRewards, SelectsEpisodes
from surefoot.ranges import COUNT, SEED, Range, Ranged
from surefoot.runs.output_folder import DATA
from surefoot.tasks import Task
from surefoot.training import Share

LOG_INTERVAL, CHECKPOINT_INTERVAL = 500, 2500
STREAMED_BYTES = 2 * 2**30
"""Bytes of images from which they stay in their files with stream = auto."""
MAPPED: dict[str, bool | None] = {"auto": None, "always": True, "never": False}
"""Argument `mapped` of `data.load` for each value of `stream`."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings(Ranged):
    """How a run is trained, whatever the algorithm."""

    stream: Literal["auto", "always", "never"] = "auto"
    """Leave the data in the file and gather batches from it: auto does so from 2 GiB on, where the file allows it."""
    data_filter: DataFilter = "all"
    """Episodes to train on: all; safe, whose cost is at most the limit (BC on them is BC-Safe); risky, at least twice
    it; boundary, near it; frontier, the best return at each cost;
    pareto, those near the best return at their cost."""
    filter_cost_limit: Annotated[float | None, Range("[0, inf)")] = None
    """That limit, a sum over an episode; default: the task's limit in the strict protocol."""
    fraction: Annotated[float, Range("(0, 1]")] = 1.0
    """Random share of the episodes to train on, the same for every seed; of those that are not held out."""
    held_out: Annotated[float, Range("[0, 1)")] = 0.0
    """Random share of the episodes with a violation, and of those without, that training never sees: the verdict before
    simulation then looks at them as well. The same for every seed and method."""
    share: Share = "seeds"
    """What several devices share: seeds, each trained on one device; batches, for one seed of large networks (the
    numbers are then those of one device but for rounding)."""
    log_interval: Annotated[int, Range(COUNT)] = LOG_INTERVAL
    """Updates between two rows of metrics."""
    checkpoint_interval: Annotated[int, Range(COUNT)] = CHECKPOINT_INTERVAL
    """Updates between two checkpoints; a killed run loses at most as many."""


def train_settings(options: TrainSettings) -> dict[str, Any]:
    """Fields of `TrainSettings` in options that have more, by name."""
    return {field.name: getattr(options, field.name) for field in fields(TrainSettings)}


@dataclass(frozen=True, kw_only=True)
class TrainRequest(TrainSettings):
    """What to train, on what, and where the run goes."""

    algorithm: Algorithm
    """With its hyper-parameters."""
    name: str
    """The algorithm's, in the table."""
    preset: str | None
    """The named hyper-parameters that it began with."""
    task: Task
    data: Path | Dataset | None = None
    """Where the data lie, or transitions in memory, which the run then keeps; None: the task's published file."""
    out: Path
    """Folder of the run."""
    seeds: Annotated[tuple[int, ...], Range(SEED, fewest=1)]
    """Trained side by side."""
    resume: bool = False
    """Go on with the run in the folder."""
    wandb: bool = False
    """Send metrics to Weights & Biases as well."""

    @property
    def place(self) -> Path:
        """Path of the data, now or after training. Raises `ConfigError` where they are neither named nor published."""
        if isinstance(self.data, Dataset):
            return self.out / DATA
        if self.data is not None:
            return self.data
        if self.task.dsrl_file is None:
            raise ConfigError(
                f"{option('data')}: expected the file to train on, found none; {self.task.name} has no published data."
            )
        return library.find(self.task)


def read_data(
    request: TrainRequest, path: Path, chosen: dict[str, Any], observer: Observer, *, checked: bool
) -> tuple[Dataset | FrameData, Dataset | None]:
    """Read the data of a training.

    Args:
        request: The training.
        path: Path of the data.
        chosen: Selection of episodes.
        observer: Receives progress and remarks.
        checked: Check the data.

    Returns:
        (selected transitions or all frames, held-out transitions or None).

    Raises:
        DataError: The data cannot be used.
    """
    task = request.task
    if task.image_shape is not None:
        frames = _frames(request, path, observer)
        observer.remark(remarks(frames, task, place=str(path)))
        return frames, None
    if isinstance(request.data, Dataset):
        loaded, place = request.data, "episodes"
    else:
        place = str(path)
        with observer.reading(f"checking {path.name}") as report:
            loaded = library.load(path, task, mapped=MAPPED[request.stream], checked=checked, on_progress=report)
    if checked or not is_mapped(loaded.observations):
        observer.remark(remarks(loaded, task, place=place))
    return _selected(path, loaded, chosen, observer), kept_aside(loaded, chosen)


def filter_of(algorithm: object, data_filter: DataFilter) -> DataFilter:
    """Filter of a run: the given one, or that of an algorithm that selects episodes by its mode.

    Args:
        algorithm: The algorithm.
        data_filter: The given filter.

    Returns:
        The filter.

    Raises:
        ConfigError: The two are different filters.
    """
    own = algorithm.data_filter if isinstance(algorithm, SelectsEpisodes) else "all"
    if "all" not in (own, data_filter) and own != data_filter:
        raise ConfigError(
            f"{option('data_filter')}: expected all or {own} with an algorithm whose mode selects episodes, "
            f"found {data_filter}."
        )
    return data_filter if own == "all" else own


def for_data(request: TrainRequest, dataset: Dataset | FrameData, path: Path, observer: Observer) -> TrainRequest:
    """The request with the algorithm changed for data without rewards.

    Args:
        request: The training.
        dataset: Its data.
        path: Path of the data, for errors.
        observer: Receives remarks on changed options.

    Returns:
        The request.

    Raises:
        ConfigError: The algorithm needs rewards.
    """
    if not isinstance(dataset, Dataset) or dataset.rewards is not None:
        return request
    expected = f"{path}: rewards: expected a key of that name, found none"
    ways = f"fisor with {option('weighting')} imitation and bc learn without rewards"
    if not isinstance(request.algorithm, LearnsWithoutRewards):
        raise ConfigError(f"{expected}; {option('algorithm')} {request.name} learns from rewards, {ways}.")
    try:
        algorithm, changes = request.algorithm.without_rewards()
    except ConfigError as error:
        name, colon, sentence = str(error).rstrip(".").partition(":")
        raise ConfigError(f"{expected}; {option(name)}{colon}{sentence}.") from error
    observer.remark([f"{path}: no rewards: {change}" for change in changes])
    return replace(request, algorithm=algorithm)


def _selected(path: Path, loaded: Dataset, chosen: dict[str, Any], observer: Observer) -> Dataset:
    """The episodes that the options ask for; says how many they are where they are not all."""
    with naming(path):
        dataset = select(loaded, chosen)
    if chosen:
        kept, total, what = len(dataset.lengths), len(loaded.lengths), selection_name(chosen)
        observer.say(f"{path}: {kept:,} of {total:,} episodes, {len(dataset):,} transitions ({what}).")
        observer.remark(few_episodes(kept, total, what=f"{path}: {what}"))
    return dataset


def _frames(request: TrainRequest, path: Path, observer: Observer) -> FrameData:
    """The frames of a file, or of a folder of episodes; images stay there where the options or their size say so."""
    if not episode_files.is_folder_of_episodes(path):
        return library.read_frames(path, request.task, in_files=request.stream == "always")
    with observer.progress(f"reading {path.name}", unit="episodes") as line:
        frames = library.read_frames(path, request.task, in_files=True, on_progress=line.report)
    if request.stream == "always" or (request.stream == "auto" and frames.observations.nbytes >= STREAMED_BYTES):
        return frames
    return in_memory(frames)


def prepared(algorithm: Algorithm, dataset: Dataset | FrameData, task: Task) -> Any:
    """Data as the algorithm reads them; transitions in a file are prepared as they are drawn.

    Args:
        algorithm: The algorithm.
        dataset: Selected data.
        task: Task of the data.

    Returns:
        The algorithm's data, or a stream.
    """
    # Segments are read whole.
    if isinstance(dataset, Dataset) and is_mapped(dataset.observations) and not algorithm.inputs.in_memory:
        return TransitionStream(dataset, partial(algorithm.prepare, task=task))
    return algorithm.prepare(dataset, task)


def memory_card(task: Task) -> dict[str, Any]:
    """Card of data that were in memory."""
    card: dict[str, Any] = {"recipe": "surefoot.train, from memory"}
    return card if task.file is None else {**card, library.TASK_FILE: task.file.as_json()}
