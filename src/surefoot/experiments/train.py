"""Train an algorithm on data into a run's folder; a killed training resumes from its last checkpoint to the same
bits."""

import hashlib
import json
import shlex
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from surefoot import data, presets
from surefoot.data import Dataset, library
from surefoot.data.describe import coverage
from surefoot.data.selection import selection
from surefoot.errors import ConfigError, option
from surefoot.experiments.agreement import agreed
from surefoot.experiments.judging import episodes_to_judge, judged
from surefoot.experiments.train_request import TrainRequest, filter_of, for_data, memory_card, prepared, read_data
from surefoot.experiments.unread import learning_remarks
from surefoot.faults import Faults
from surefoot.file_sets import check_writable
from surefoot.observer import Counter, Observer
from surefoot.protocols import ActsFeasibly, Algorithm
from surefoot.report.held_out import held_out_verdict
from surefoot.runs.summary import merge_summary
from surefoot.text import duration, shell_word
from surefoot.training import Progress, RunConfig, RunDirectory, WandbLogger, fit, make_config


def train_run(
    request: TrainRequest,
    *,
    command: Sequence[str] = (),
    observer: Observer | None = None,
    faults: Faults | None = None,
) -> RunConfig:
    """Train all seeds. Nothing is written before the data are read and checked.

    Args:
        request: Algorithm, data, target and options.
        command: Command line, which the run records.
        observer: Receives progress, remarks and results.
        faults: Faults of the request found so far.

    Returns:
        Configuration of the run.

    Raises:
        ConfigError: The request cannot be trained, or the folder holds another run.
        DataError: The data cannot be used.
        DivergenceError: A metric or a state is not finite.
    """
    observer = observer or Observer()
    with faults or Faults() as found:
        chosen, path = _checked(request, found)
    directory = RunDirectory(request.out)
    # What a run goes on with was checked when it began; its fingerprint tells whether it is still the same.
    checked = not (request.resume and directory.config_path.exists())
    dataset, held_out = read_data(request, path, chosen, observer, checked=checked)
    request = for_data(request, dataset, path, observer)
    algorithm, task = request.algorithm, request.task
    transitions = prepared(algorithm, dataset, task)
    if checked:
        preset = presets.build(request.name, task, preset=request.preset or presets.DEFAULT_PRESET)
        observer.remark(learning_remarks(algorithm, preset))
    covered = coverage(dataset)
    with observer.reading(f"fingerprint of {path.name}") as report:
        fingerprint = dataset.fingerprint(on_progress=report)
    config = make_config(
        algorithm,
        name=request.name,
        task=task,
        preset=request.preset,
        seeds=request.seeds,
        data_path=str(path.resolve()),
        data_fingerprint=fingerprint,
        log_interval=request.log_interval,
        checkpoint_interval=request.checkpoint_interval,
        command=tuple(command),
        data_selection=chosen if task.vision is None else {**chosen, "vision": task.vision._asdict()},
    )
    to_judge = episodes_to_judge(algorithm, dataset, held_out) if isinstance(dataset, Dataset) else None
    del dataset, held_out  # the device gets a copy of its own, and this one is in the way; a stream keeps it
    began, resumed_at = time.perf_counter(), directory.latest_step()
    with ExitStack() as stack:
        line = stack.enter_context(observer.progress("training", unit="updates"))
        resume = request.resume and directory.latest() is not None
        going = agreed(directory, config, algorithm, observer=observer) if resume else config
        loggers = [_wandb(request.out, going, stack)] if request.wandb else []
        directory.start(going, resume=resume)
        if isinstance(request.data, Dataset) and not (resume and path.exists()):
            data.save(path, request.data, card=memory_card(task))
        states = fit(
            algorithm,
            transitions,
            spec=task.spec,
            seeds=request.seeds,
            log_interval=going.log_interval,
            checkpoint_interval=going.checkpoint_interval,
            run=directory,
            on_progress=lambda progress: _report(line, progress),
            loggers=loggers,
            share=request.share,
        )
    seconds, updates = time.perf_counter() - began, total_updates(algorithm)
    _summarize(directory, covered, seconds=seconds, resumed_at=resumed_at, updates=updates)
    if resumed_at < updates:
        seeds = "1 seed" if len(config.seeds) == 1 else f"{len(config.seeds)} seeds"
        observer.say(f"{request.out}: {updates - resumed_at:,} updates of {seeds} in {duration(seconds)}.")
    if to_judge is not None and isinstance(algorithm, ActsFeasibly) and resumed_at < updates:
        verdict = judged(algorithm, states, to_judge)
        merge_summary(directory.path, {"held_out": verdict})
        observer.say(held_out_verdict(verdict))
    return config


def total_updates(algorithm: Algorithm) -> int:
    """Updates of all phases together."""
    return sum(phase.updates for phase in algorithm.phases)


# --- what is asked for -----------------------------------------------------------------------------------------------


def _checked(request: TrainRequest, faults: Faults) -> tuple[dict[str, Any], Path]:
    """The selection and the place of the data; `faults` gathers what is wrong with the request."""
    task = request.task
    if total_updates(request.algorithm) < 1:
        faults.add("hyper-parameters: expected at least one update in all phases together, found none")
    data_filter = faults.attempt(lambda: filter_of(request.algorithm, request.data_filter), request.data_filter)
    filtered = {"data_filter": data_filter, "fraction": request.fraction, "limit": request.filter_cost_limit}
    filtered |= {"held_out": request.held_out}
    chosen = faults.attempt(lambda: selection(task, **filtered), {})
    with faults.also():
        check_writable(request.out)
    with faults.also():
        _check_images(request, chosen)
    path = faults.attempt(lambda: request.place, Path())
    with faults.also():
        _check_stream(request, path)
    return chosen, path


def _check_stream(request: TrainRequest, path: Path) -> None:
    """`ConfigError` where the data cannot be left in the file as the options ask for."""
    if request.stream != "always" or request.task.image_shape is not None:
        return
    always = f"{option('stream')} always"
    if request.algorithm.inputs.in_memory:
        raise ConfigError(
            f"{always}: expected an algorithm that learns from single transitions, found {request.name}, which reads "
            f"its data whole."
        )
    if isinstance(request.data, Dataset):
        raise ConfigError(f"{always}: expected a file in DSRL's format, found transitions in memory.")
    if path.exists() and (found := library.format_of(path, request.task)) != "dsrl":
        raise ConfigError(
            f"{always}: expected a file in DSRL's format, found {found}'s; `surefoot data convert "
            f"{shell_word(path)} {option('out')} FILE` writes one."
        )


def _check_images(request: TrainRequest, chosen: dict[str, Any]) -> None:
    """`ConfigError` where the options are not for the task's images."""
    task = request.task
    if task.image_shape is None:
        return
    if not request.algorithm.inputs.images:
        raise ConfigError(
            f"{option('algorithm')}: expected one that reads images for {task.name}, as fosp, found {request.name}."
        )
    if chosen:
        raise ConfigError(
            f"{option('data_filter')}, {option('fraction')} and {option('held_out')}: expected none for {task.name}, "
            f"whose data are images."
        )


# --- what is told ----------------------------------------------------------------------------------------------------


def _report(line: Counter, progress: Progress) -> None:
    line.report(
        progress.done,
        progress.total,
        phase=progress.phase,
        rate=progress.updates_per_second,
        remaining=progress.seconds_remaining,
        unit=progress.unit,
    )


def _summarize(
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


def _wandb(out: Path, config: RunConfig, stack: ExitStack) -> WandbLogger:
    """W&B's logger, closed with `stack`; where there is none, an empty folder is not left behind."""
    out.mkdir(parents=True, exist_ok=True)
    identity = json.dumps([str(out.resolve()), config.identities[-1]], sort_keys=True)
    try:
        logger = WandbLogger(
            "surefoot",
            name=out.name,
            run_id=hashlib.sha256(identity.encode()).hexdigest()[:16],
            config=config.hyperparameters,
            directory=out,
        )
    except ConfigError:
        with suppress(OSError):
            out.rmdir()
        raise
    stack.callback(logger.close)
    return logger
