"""Fine-tune a trained run online, in its own task or one with equal observations and actions, into a new folder."""

import dataclasses
import os
import shlex
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from surefoot.data import Dataset
from surefoot.data.frame_stream import in_memory
from surefoot.data.frames import FrameData, frames_of
from surefoot.data.remarks import remarks
from surefoot.envs.pure import PureTask, pure_task_of
from surefoot.errors import ConfigError, option
from surefoot.evaluation.alike import check_alike, name_of, rate_remarks, task_beside
from surefoot.evaluation.cameras import choose_renderer
from surefoot.evaluation.evaluation import OpenEnvironment
from surefoot.experiments.agreement import refuse_differing, ways
from surefoot.faults import Faults
from surefoot.file_sets import check_writable
from surefoot.observer import Observer
from surefoot.protocols import Algorithm, FineTunes
from surefoot.ranges import COUNT, Range
from surefoot.rollouts.stream import OnlineSimulator
from surefoot.routes import Routes, refuse_others
from surefoot.runs.loaded import LoadedRun, load_run
from surefoot.runs.run_data import data_task, run_data
from surefoot.runs.summary import merge_summary
from surefoot.tasks import Task
from surefoot.tasks.action_units import ActionUnits
from surefoot.training import RunConfig, RunDirectory, make_config
from surefoot.training.finetune import FinetuneSettings, fine_tune


@dataclass(frozen=True, kw_only=True)
class FinetuneRequest(FinetuneSettings):
    """How a run goes on online."""

    task: str | None = None
    """Where to fine-tune, by default the run's own task: a name or a task file that looks the same to the policy."""
    workers: Annotated[int | None, Range("[0, 1024]")] = None
    """Simulators only: processes that share the environments, 0 for this one; by default one per core."""
    checkpoint_rounds: Annotated[int, Range(COUNT)] = 5
    """Rounds between two checkpoints; a killed run loses at most as many."""


@dataclass(frozen=True, kw_only=True)
class Finetuning(FinetuneRequest):
    """Which run goes on, how, and where the new one goes."""

    run: Path
    """Folder of the trained run."""
    out: Path
    """Folder of the fine-tuned run."""
    without_offline_data: bool = False
    """Start with an empty replay, where the offline data are gone."""
    resume: bool = False
    """Go on with the run in the folder."""


_ALL = frozenset(field.name for field in dataclasses.fields(Finetuning)) | {"strict"}
ROUTES: Routes = {"pure": _ALL - {"workers"}, "in a simulator": _ALL}
"""Kind of environment -> the options that are read."""


def finetune_run(
    request: Finetuning,
    *,
    command: Sequence[str] = (),
    given: Collection[str] = (),
    observer: Observer | None = None,
    open_environment: OpenEnvironment | None = None,
    faults: Faults | None = None,
) -> list[dict[str, Any]]:
    """Fine-tune all seeds of a run.

    Args:
        request: Run, target and settings.
        command: Command line, which the new run records.
        given: Options that the user named, which are refused where nothing reads them.
        observer: Receives progress and remarks.
        open_environment: Opens environments in place of the task's own.
        faults: Faults of the request found so far.

    Returns:
        Rows of the new run's online.jsonl.

    Raises:
        ConfigError: The run cannot be fine-tuned so.
    """
    observer = observer or Observer()
    with faults or Faults() as found:
        loaded, algorithm, task = _checked(request, given, found, elsewhere=open_environment is not None)
    observer.remark(rate_remarks(loaded, task))
    offline = _offline_data(request, loaded, observer)
    settings = FinetuneSettings(request.steps, request.num_envs, request.ratio, request.online_share)
    directory = _start(request, loaded, algorithm, task, settings, command)
    freeze = jax.jit(jax.vmap(algorithm.frozen))
    with (
        _opened(task, request, observer, open_environment) as where,
        observer.progress(f"fine-tuning on {task.name}", unit="rounds") as line,
    ):
        rows = fine_tune(
            algorithm,
            jax.tree.map(jnp.copy, freeze(loaded.states)),
            offline,
            where,
            spec=task.spec,
            seeds=loaded.config.seeds,
            settings=settings,
            run=directory,
            checkpoint_rounds=request.checkpoint_rounds,
            on_progress=line.report,
        )
    merge_summary(
        request.out,
        {
            "task": task.name,
            "algorithm": loaded.config.algorithm,
            "seeds": list(loaded.config.seeds),
            "command": shlex.join(command),
            "online": {"settings": dataclasses.asdict(settings), "last_rounds": rows[-len(loaded.config.seeds) :]},
        },
    )
    return rows


def _checked(
    request: Finetuning, given: Collection[str], faults: Faults, *, elsewhere: bool
) -> tuple[LoadedRun, FineTunes, Task]:
    """The run, its algorithm as it goes on, and where; `faults` gathers what is wrong with the request. `elsewhere`: in
    environments that the caller opens."""
    check_writable(request.out)
    with faults.also():
        if request.without_offline_data and (request.online_share or "online_share" in given):
            raise ConfigError(
                f"{option('online_share')}: expected none with {option('without_offline_data')}, where every "
                f"episode is new, found {request.online_share:g}."
            )
    loaded = load_run(request.run, {})
    if not isinstance(loaded.algorithm, FineTunes):
        raise ConfigError(
            f"{request.run}: expected an algorithm that can be fine-tuned, found {loaded.config.algorithm}."
        )
    task = task_beside(loaded, request.task)
    if task.environment is None and not elsewhere:
        raise ConfigError(
            f"{request.run}: expected a task with an environment to act in, found {task.name}, of which there are "
            f"logs alone; a task file names one in its table [environment]."
        )
    simulated = task.simulated or elsewhere
    route, whose = ("in a simulator", "") if simulated else ("pure", f"{task.name}, which has no simulator")
    with faults.also():
        refuse_others(request, ROUTES[route], whose, given=given)
    check_alike(loaded, task)
    return loaded, loaded.algorithm.fine_tuning(), task


@contextmanager
def _opened(
    task: Task, request: Finetuning, observer: Observer, open_environment: OpenEnvironment | None
) -> Iterator[PureTask | OnlineSimulator]:
    """The task to act in, for as long as the block runs."""
    if not task.simulated and open_environment is None:
        yield pure_task_of(task)
        return
    if task.vision is not None:
        choose_renderer(task, observer)
    # Here: nothing else of this command needs a simulator.
    from surefoot.envs.workers.vector import VectorSimulator

    workers = min(request.num_envs, os.cpu_count() or 1) if request.workers is None else request.workers
    units = ActionUnits.with_rates(task.file)
    if open_environment is not None:
        opened = open_environment(task, request.num_envs, workers)
    else:
        opened = VectorSimulator(task, num_envs=request.num_envs, workers=workers)
    with opened as environment:
        yield OnlineSimulator(environment, task.spec.observation_shape, task.horizon, units=units)


def _offline_data(request: Finetuning, loaded: LoadedRun, observer: Observer) -> FrameData | None:
    if request.without_offline_data:
        return None
    found = run_data(loaded.directory, loaded.config)
    data = found.transitions if found.frames is None else found.frames
    if data is None:
        raise ConfigError(
            f"{request.run}: expected the offline data, found none: {found.reason}; without "
            f"them the model forgets what they taught it, costs that became rare first, and learns from the first "
            f"round's episodes alone, which {option('without_offline_data')} accepts."
        )
    observer.remark(remarks(data, data_task(loaded.config), place=str(found.path)))
    # The replay grows beside them.
    return frames_of(data) if isinstance(data, Dataset) else in_memory(data)


def _start(
    request: Finetuning,
    loaded: LoadedRun,
    algorithm: Algorithm,
    task: Task,
    settings: FinetuneSettings,
    command: Sequence[str],
) -> RunDirectory:
    """Write the run's configuration, or check that the one to resume was asked for the same."""
    config = make_config(
        algorithm,
        name=loaded.config.algorithm,
        task=task,
        preset=loaded.config.preset,
        seeds=loaded.config.seeds,
        data_path=loaded.config.data_path,
        data_fingerprint=loaded.config.data_fingerprint,
        log_interval=1,
        checkpoint_interval=request.checkpoint_rounds,
        command=tuple(command),
        data_selection={
            "data_task": loaded.config.data_selection.get("data_task", loaded.config.task),
            "offline_data": not request.without_offline_data,
            "trained_updates": loaded.step,
            "trained_sha256": loaded.sha256,
            **({} if task.vision is None else {"vision": task.vision._asdict()}),
            **dataclasses.asdict(settings),
        },
    )
    directory = RunDirectory(request.out)
    if directory.config_path.exists() and (request.resume or directory.checkpoints()):
        there = directory.read_config()
        _check_source(request, loaded, there)
        for name, value in config.data_selection.items():
            if name != "trained_sha256" and there.data_selection.get(name) != value:
                expected = there.data_selection.get(name)
                raise ConfigError(f"{directory.config_path}: {name}: expected {expected}, found {value}.")
    directory.start(config, resume=request.resume)
    return directory


def _check_source(request: Finetuning, loaded: LoadedRun, there: RunConfig) -> None:
    """Raise `ConfigError` where a fine-tuning that is gone on with was begun from another run or checkpoint. Of one
    from before checkpoints' hashes were kept only the number of updates is known."""
    began = there.data_selection
    known = {"trained_updates": loaded.step, "trained_sha256": loaded.sha256}
    other = [name for name, value in known.items() if name in began and began[name] != value]
    if other:
        words = {"trained_updates": "updates", "trained_sha256": "hash of the checkpoint"}
        differences = "; ".join(
            f"{words[name]}: {_brief(began[name])} there, {_brief(known[name])} here" for name in other
        )
        raise ConfigError(
            f"{request.run}: expected the run that {request.out} was begun from, found another one or another "
            f"checkpoint of it ({differences}); name that run, or choose another folder with {option('out')}."
        )


def _brief(value: Any) -> str:
    """A number of updates, or the begin of a hash."""
    return f"{value:,}" if isinstance(value, int) else f"{value!s:.8}"


def check_finetuning(run: RunDirectory, request: Finetuning, there: Finetuning, faults: Faults) -> None:
    """Collect the differences between a request and the fine-tuning to resume.

    Args:
        run: Folder of the fine-tuned run.
        request: The request.
        there: The run's settings.
        faults: Collects a sentence for each difference.
    """
    names = ("num_envs", "ratio", "online_share", "checkpoint_rounds", "without_offline_data")
    task = run.read_config().task
    found: dict[str, Any] = {"task": task if request.task is None else name_of(request.task)}
    wanted: dict[str, Any] = {"task": task}
    if request.steps > there.steps:
        faults.add(
            f"{run.path}: {option('steps')}: the run has {there.steps:,}, found {request.steps:,}; a longer "
            f"fine-tuning holds more new frames than this one's checkpoints have room for; {ways()}"
        )
    else:
        found, wanted = {**found, "steps": request.steps}, {**wanted, "steps": there.steps}
    with faults.also():
        refuse_differing(
            run,
            {**wanted, **{name: getattr(there, name) for name in names}},
            {**found, **{name: getattr(request, name) for name in names}},
        )
