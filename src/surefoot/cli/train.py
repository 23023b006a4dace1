"""`surefoot train`: any algorithm on a data file, every hyper-parameter a flag."""

import hashlib
import json
import shlex
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import tyro

from surefoot import presets
from surefoot.cli.collect import coverage
from surefoot.cli.data_source import naming
from surefoot.cli.faults import Faults
from surefoot.cli.judging import episodes_to_judge, judged, say_verdict
from surefoot.cli.next_commands import measuring_command
from surefoot.cli.options import choose_or_refuse, one_thread_a_device, parse_seeds, parse_with_hyperparameters
from surefoot.cli.progress import ProgressLine, duration, reading_progress
from surefoot.cli.remarks import StrictOption, remark
from surefoot.cli.resume import agreed, check_agreement, resumed_choice, run_to_resume, train_defaults
from surefoot.cli.terminal import say
from surefoot.cli.unread import learning_remarks, refuse_unread
from surefoot.data import Dataset, TransitionStream, episode_files, library
from surefoot.data.frame_stream import in_memory
from surefoot.data.frames import FrameData
from surefoot.data.mapping import is_mapped
from surefoot.data.own_tasks import find_task, find_task_file
from surefoot.data.remarks import few_episodes, remarks
from surefoot.data.selection import DataFilter, kept_aside, select, selection, selection_name
from surefoot.errors import ConfigError, flag
from surefoot.file_sets import check_writable
from surefoot.protocols import Algorithm, LearnsWithoutRewards
from surefoot.ranges import COUNT, Range, check_fields
from surefoot.runs.origin import check_spec
from surefoot.runs.output_folder import check_output_folder
from surefoot.runs.summary import merge_summary
from surefoot.tasks import Task
from surefoot.text import shell_word
from surefoot.training import Progress, RunConfig, RunDirectory, Share, WandbLogger, fit, make_config

LOG_INTERVAL, CHECKPOINT_INTERVAL = 500, 2500
STREAMED_BYTES = 2 * 2**30
"""Images from this size on stay in their files with --stream auto."""
MAPPED: dict[str, bool | None] = {"auto": None, "always": True, "never": False}
"""--stream as `data.load` takes it."""
Hyper = TypeVar("Hyper")


@dataclass(frozen=True, kw_only=True)
class TrainOptions(StrictOption, Generic[Hyper]):
    """Train an algorithm for several seeds at once. Its hyper-parameters follow the options of the run itself;
    --algorithm and --preset change which there are and their defaults."""

    algorithm: str = "fisor"
    """Name of the algorithm."""
    task: str = "PointRobot"
    """Name of the task, or a task file of your own that ends in .toml."""
    preset: str = presets.DEFAULT_PRESET
    """Named hyper-parameters that the flags below start from."""
    data: Path | None = None
    """HDF5 file to train on, in DSRL's format or D4RL's, a Minari dataset's folder, or a file or a folder of images; by
    default the task's published file in DSRL's folder."""
    stream: Literal["auto", "always", "never"] = "auto"
    """Leave the data in the file and gather batches from it: auto does so from 2 GiB on, where the file allows it."""
    out: Path
    """Folder of the run, made if missing."""
    data_filter: DataFilter = "all"
    """Episodes to train on: all; safe, whose cost is at most the limit (BC on them is BC-Safe); risky, at least twice
    it; boundary, near it; frontier, the best return at each cost."""
    filter_cost_limit: Annotated[float | None, Range("[0, inf)")] = None
    """That limit, a sum over an episode; default: the task's limit in the strict protocol."""
    fraction: Annotated[float, Range("(0, 1]")] = 1.0
    """Random share of the episodes to train on, the same for every seed; of those that are not held out."""
    held_out: Annotated[float, Range("[0, 1)")] = 0.0
    """Random share of the episodes with a violation, and of those without, that training never sees: the verdict before
    simulation then looks at them as well. The same for every seed and method."""
    seeds: str = "0:3"
    """Trained side by side: a range as 0:3 (without 3), a list as 0,1,2 or one number."""
    share: Share = "seeds"
    """What several devices share: seeds, each trained on one device; batches, for one seed of large networks (the
    numbers are then those of one device but for rounding)."""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """Go on with the run in the folder from its last checkpoint; it ends with the same bits. Its options are those of
    the run; more updates than before train longer, where that is as if it had been asked for at first."""
    log_interval: Annotated[int, Range(COUNT)] = LOG_INTERVAL
    """Updates between two rows of metrics."""
    checkpoint_interval: Annotated[int, Range(COUNT)] = CHECKPOINT_INTERVAL
    """Updates between two checkpoints; a killed run loses at most as many."""
    wandb: tyro.conf.FlagCreatePairsOff[bool] = False
    """Send metrics to Weights & Biases as well."""
    hyper: Annotated[Hyper, tyro.conf.arg(name="")]
    """Hyper-parameters."""

    def __post_init__(self) -> None:
        check_fields(self, called=flag)


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    with Faults() as faults:
        resumed = run_to_resume(arguments)
        if resumed is None:
            choice, defaults = choose_or_refuse(TrainOptions, arguments, faults), {}
        else:
            choice, defaults = resumed_choice(resumed, arguments, faults), train_defaults(resumed.read_config())
        one_thread_a_device(choice)
        options: TrainOptions[Any] = parse_with_hyperparameters(
            TrainOptions,
            arguments,
            choice,
            command="train",
            faults=faults,
            algorithm=choice.algorithm,
            task=choice.task.name,
            preset=choice.preset,
            out=tyro.MISSING,
            **defaults,
        )
        refuse_unread(options.hyper, choice.defaults, faults)
        with faults.also():
            check_output_folder(options.out, resume=options.resume)
        if resumed is not None:
            with faults.also():
                check_spec(resumed, resumed.read_config())
            check_agreement(resumed, options, resumed.read_config(), faults)
        train(options, command=("surefoot", "train", *arguments), faults=faults)
    say(f"{options.out}: trained; measure it with: {measuring_command(options.hyper, choice.task, options.out)}")


def train(options: TrainOptions[Any], *, command: Sequence[str], faults: Faults | None = None) -> RunConfig:
    """Train what the options say, into their folder. Nothing is made before the data were read and found good.
    `faults`: those of the command line so far."""
    with faults or Faults() as found:
        seeds, task, chosen, path = _checked(options, found)
    directory = RunDirectory(options.out)
    # What a run goes on with was checked when it began; its fingerprint tells whether it is still the same.
    checked = not (options.resume and directory.config_path.exists())
    dataset, held_out = _dataset(options, path, task, chosen, checked=checked)
    options = _for_data(options, dataset, path)
    transitions = _prepared(options.hyper, dataset, task)
    if checked:
        preset = presets.build(options.algorithm, task, preset=options.preset)
        remark(learning_remarks(options.hyper, preset), strict=options.strict)
    covered = coverage(dataset)
    with reading_progress(f"fingerprint of {path.name}") as report:
        fingerprint = dataset.fingerprint(on_progress=report)
    own = find_task_file(options.task, data=options.data)
    config = make_config(
        options.hyper,
        name=options.algorithm,
        task=task,
        preset=options.preset,
        seeds=seeds,
        data_path=str(path.resolve()),
        data_fingerprint=fingerprint,
        log_interval=options.log_interval,
        checkpoint_interval=options.checkpoint_interval,
        command=tuple(command),
        task_file=None if own is None else own.as_json(),
        data_selection=chosen if task.vision is None else {**chosen, "vision": task.vision._asdict()},
    )
    to_judge = episodes_to_judge(options.hyper, dataset, held_out) if isinstance(dataset, Dataset) else None
    del dataset, held_out  # the device gets a copy of its own, and this one is in the way; a stream keeps it
    began, resumed_at = time.perf_counter(), directory.latest_step()
    with ExitStack() as stack:
        line = stack.enter_context(ProgressLine("training", unit="updates"))
        resume = options.resume and directory.latest() is not None
        going = agreed(directory, config, options.hyper) if resume else config
        loggers = [_wandb(options, going, stack)] if options.wandb else []
        directory.start(going, resume=resume)
        states = fit(
            options.hyper,
            transitions,
            spec=task.spec,
            seeds=seeds,
            log_interval=going.log_interval,
            checkpoint_interval=going.checkpoint_interval,
            run=directory,
            on_progress=lambda progress: _report(line, progress),
            loggers=loggers,
            share=options.share,
        )
    seconds = time.perf_counter() - began
    updates = _total_updates(options.hyper)
    _summarise(directory, covered, seconds=seconds, resumed_at=resumed_at, updates=updates)
    if to_judge is not None and resumed_at < updates:
        verdict = judged(options.hyper, states, to_judge)
        merge_summary(directory.path, {"held_out": verdict})
        say_verdict(verdict)
    return config


def _checked(options: TrainOptions[Any], faults: Faults) -> tuple[tuple[int, ...], Task, dict[str, Any], Path]:
    """The seeds, the task, the selection and the place of the data; `faults` gathers what is wrong with the options."""
    task = find_task(options.task, data=options.data)
    seeds = faults.attempt(lambda: parse_seeds(options.seeds), ())
    with faults.also():
        _check_intervals(options)
    filtered = {"data_filter": options.data_filter, "fraction": options.fraction, "limit": options.filter_cost_limit}
    filtered |= {"held_out": options.held_out}
    chosen = faults.attempt(lambda: selection(task, **filtered), {})
    with faults.also():
        check_writable(options.out)
    with faults.also():
        _check_images(options, task, chosen)
    path = faults.attempt(lambda: _data_path(options, task), Path())
    with faults.also():
        _check_stream(options, path, task)
    return seeds, task, chosen, path


def _data_path(options: TrainOptions[Any], task: Task) -> Path:
    if options.data is not None:
        return options.data
    if task.dsrl_file is None:
        raise ConfigError(f"--data: expected the file to train on, found none; {task.name} has no published data.")
    return library.find(task)


def _check_stream(options: TrainOptions[Any], path: Path, task: Task) -> None:
    """`ConfigError` where the data cannot be left in the file as the options ask for."""
    if options.stream != "always" or task.image_shape is not None:
        return
    if options.hyper.inputs.windows:
        raise ConfigError(
            f"--stream always: expected an algorithm that learns from single transitions, found {options.algorithm}, "
            f"which reads its data whole."
        )
    if path.exists() and (found := library.format_of(path, task)) != "dsrl":
        raise ConfigError(
            f"--stream always: expected a file in DSRL's format, found {found}'s; `surefoot data convert "
            f"{shell_word(path)} --out FILE` writes one."
        )


def _dataset(
    options: TrainOptions[Any], path: Path, task: Task, chosen: dict[str, Any], *, checked: bool
) -> tuple[Dataset | FrameData, Dataset | None]:
    """The data of the file, transitions, of which the chosen ones, or frames; and the transitions kept aside."""
    if task.image_shape is None:
        with reading_progress(f"checking {path.name}") as report:
            loaded = library.read(path, task, mapped=MAPPED[options.stream], checked=checked, on_progress=report)
        if checked or not is_mapped(loaded.observations):
            remark(remarks(loaded, task, place=str(path)), strict=options.strict)
        return _selected(options, path, loaded, chosen), kept_aside(loaded, chosen)
    frames = _frames(options, path, task)
    remark(remarks(frames, task, place=str(path)), strict=options.strict)
    return frames, None


def _for_data(options: TrainOptions[Any], dataset: Dataset | FrameData, path: Path) -> TrainOptions[Any]:
    """The options with the algorithm as it learns from these data: without reward values where there are no rewards.
    Raises `ConfigError` where it needs some."""
    if not isinstance(dataset, Dataset) or dataset.rewards is not None:
        return options
    expected = f"{path}: rewards: expected a key of that name, found none"
    ways = "fisor with --weighting imitation and bc learn without rewards"
    if not isinstance(options.hyper, LearnsWithoutRewards):
        raise ConfigError(f"{expected}; --algorithm {options.algorithm} learns from rewards, {ways}.")
    try:
        algorithm, changes = options.hyper.without_rewards()
    except ConfigError as error:
        raise ConfigError(f"{expected}; --{str(error).rstrip('.')}.") from error
    remark([f"{path}: no rewards: {change}" for change in changes], strict=options.strict)
    return replace(options, hyper=algorithm)


def _check_images(options: TrainOptions[Any], task: Task, chosen: dict[str, Any]) -> None:
    """`ConfigError` where the options are not for the task's images."""
    if task.image_shape is None:
        return
    if not options.hyper.inputs.images:
        raise ConfigError(
            f"--algorithm: expected one that reads images for {task.name}, as fosp, found {options.algorithm}."
        )
    if chosen:
        raise ConfigError(
            f"--data-filter, --fraction and --held-out: expected none for {task.name}, whose data are images."
        )


def _selected(options: TrainOptions[Any], path: Path, loaded: Dataset, chosen: dict[str, Any]) -> Dataset:
    """The episodes that the options ask for; says how many they are where they are not all."""
    with naming(path):
        dataset = select(loaded, chosen)
    if chosen:
        kept, total, what = len(dataset.lengths), len(loaded.lengths), selection_name(chosen)
        say(f"{path}: {kept:,} of {total:,} episodes, {len(dataset):,} transitions ({what}).")
        remark(few_episodes(kept, total, what=f"{path}: {what}"), strict=options.strict)
    return dataset


def _frames(options: TrainOptions[Any], path: Path, task: Task) -> FrameData:
    """The frames of a file, or of a folder of episodes; images stay there where the options or their size say so."""
    if not episode_files.is_folder_of_episodes(path):
        return library.read_frames(path, task, in_files=options.stream == "always")
    with ProgressLine(f"reading {path.name}", unit="episodes") as line:
        frames = library.read_frames(path, task, in_files=True, on_progress=line.report)
    if options.stream == "always" or (options.stream == "auto" and frames.observations.nbytes >= STREAMED_BYTES):
        return frames
    return in_memory(frames)


def _prepared(algorithm: Algorithm, dataset: Dataset | FrameData, task: Task) -> Any:
    """The data as the algorithm sees them; transitions that stay in their file are prepared when drawn."""
    # Segments are read whole.
    if isinstance(dataset, Dataset) and is_mapped(dataset.observations) and not algorithm.inputs.windows:
        return TransitionStream(dataset, partial(algorithm.prepare, task=task))
    return algorithm.prepare(dataset, task)


def _report(line: ProgressLine, progress: Progress) -> None:
    line.report(
        progress.done,
        progress.total,
        phase=progress.phase,
        rate=progress.updates_per_second,
        remaining=progress.seconds_remaining,
        unit=progress.unit,
    )


def _summarise(
    directory: RunDirectory, found: dict[str, Any], *, seconds: float, resumed_at: int, updates: int
) -> None:
    """The run's part of summary.json, from the configuration that its first command wrote."""
    config = directory.read_config()
    training: dict[str, Any] = {"updates": updates, "resumed_at": resumed_at, "seconds": round(seconds, 3)}
    merge_summary(
        directory.path,
        {
            "task": config.task,
            "algorithm": config.algorithm,
            "preset": config.preset,
            "seeds": list(config.seeds),
            "command": shlex.join(config.command),
            "config": config.hyperparameters,
            "versions": config.versions,
            "data": {
                "path": config.data_path,
                "fingerprint": config.data_fingerprint,
                **config.data_selection,
                **found,
            },
            # A finished run that is asked to go on trains nothing: what was measured then stays.
            **({"training": training} if resumed_at < updates else {}),
        },
    )
    if resumed_at < updates:
        seeds = "1 seed" if len(config.seeds) == 1 else f"{len(config.seeds)} seeds"
        done = f"{updates - resumed_at:,} updates of {seeds}"
        say(f"{directory.path}: {done} in {duration(seconds)}.")


def _total_updates(algorithm: Algorithm) -> int:
    return sum(phase.updates for phase in algorithm.phases)


def _check_intervals(options: TrainOptions[Any]) -> None:
    if _total_updates(options.hyper) < 1:
        raise ConfigError("hyper-parameters: expected at least one update in all phases together, found none.")


def _wandb(options: TrainOptions[Any], config: RunConfig, stack: ExitStack) -> WandbLogger:
    """W&B's logger, closed with `stack`; where there is none, an empty folder is not left behind."""
    options.out.mkdir(parents=True, exist_ok=True)
    identity = json.dumps([str(options.out.resolve()), config.identities[-1]], sort_keys=True)
    try:
        logger = WandbLogger(
            "surefoot",
            name=options.out.name,
            run_id=hashlib.sha256(identity.encode()).hexdigest()[:16],
            config=config.hyperparameters,
            directory=options.out,
        )
    except ConfigError:
        with suppress(OSError):
            options.out.rmdir()
        raise
    stack.callback(logger.close)
    return logger
