"""`surefoot finetune`: a trained run goes on online, in its own task or in one that looks alike."""

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
import tyro

from surefoot.cli.options import parse
from surefoot.cli.progress import ProgressLine, Terminal
from surefoot.cli.remarks import StrictOption, remark
from surefoot.cli.resume import recorded_options, run_to_resume
from surefoot.cli.routes import given_options
from surefoot.cli.terminal import say
from surefoot.data.frame_stream import in_memory
from surefoot.data.frames import FrameData
from surefoot.data.remarks import remarks
from surefoot.envs.pure import PureTask, pure_task_of
from surefoot.errors import ConfigError, flag
from surefoot.evaluation.cameras import check_cameras, choose_renderer
from surefoot.experiments.agreement import refuse_differing, ways
from surefoot.faults import Faults
from surefoot.file_sets import check_writable
from surefoot.protocols import Algorithm, FineTunes
from surefoot.ranges import COUNT, Range, check_fields
from surefoot.rollouts.stream import OnlineSimulator
from surefoot.routes import Routes, refuse_others
from surefoot.runs.loaded import LoadedRun, load_run
from surefoot.runs.output_folder import check_output_folder
from surefoot.runs.run_data import data_task, run_data
from surefoot.runs.summary import merge_summary
from surefoot.tasks import Task, get_task
from surefoot.text import shell_word
from surefoot.training import RunConfig, RunDirectory, make_config
from surefoot.training.finetune import FinetuneSettings, fine_tune


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(StrictOption):
    """Go on with a trained run online. The offline policy is kept frozen beside the one that learns (FOSP); new
    episodes join the offline data; what fine-tuning itself costs is written to online.jsonl."""

    run: tyro.conf.Positional[Path]
    """Folder of the trained run."""
    out: Path
    """Folder of the fine-tuned run, made if missing."""
    task: str | None = None
    """Where to fine-tune, by default the run's own task; it must look the same."""
    steps: Annotated[int, Range("[1, 10^9]")] = 1500
    """Environment steps of each seed, rounded up to whole rounds of `lanes` episodes."""
    lanes: Annotated[int, Range("[1, 65536]")] = 10
    """Episodes side by side; after each of them come the updates."""
    ratio: Annotated[float, Range("(0, inf)")] = 0.5
    """Updates per environment step."""
    online_share: Annotated[float, Range("[0, 1]")] = 0.0
    """Share of each batch that is drawn from the new episodes alone; 0: every window of offline and new ones is as
    likely (the authors')."""
    workers: Annotated[int | None, Range("[0, 1024]")] = None
    """Simulators only: processes that share the lanes, 0 for this one; by default one per core."""
    checkpoint_rounds: Annotated[int, Range(COUNT)] = 5
    """Rounds between two checkpoints; a killed run loses at most as many."""
    without_offline_data: tyro.conf.FlagCreatePairsOff[bool] = False
    """Start with an empty replay, where the offline data are gone. That costs: the model forgets what they taught it,
    rare costs first, and the first updates learn from the first round's episodes alone."""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """Go on with the run in the folder from its last checkpoint, with its own options; it ends with the same bits."""

    def __post_init__(self) -> None:
        check_fields(self, called=flag)


_COMMON = frozenset(
    (
        "run",
        "out",
        "task",
        "steps",
        "lanes",
        "ratio",
        "online_share",
        "checkpoint_rounds",
        "without_offline_data",
        "resume",
        "strict",
    )
)
ROUTES: Routes = {"pure": _COMMON, "in a simulator": _COMMON | {"workers"}}
"""Where a run is fine-tuned -> the options that are read."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    with Faults() as faults:
        resumed = run_to_resume(arguments)
        there = None if resumed is None else recorded_options(resumed, FinetuneOptions, command="finetune")
        options = parse(FinetuneOptions, arguments, command="finetune", default=there, faults=faults)
        with faults.also():
            check_output_folder(options.out, resume=options.resume)
        if resumed is not None and there is not None:
            _check_agreement(resumed, options, there, faults)
        given = given_options(FinetuneOptions, arguments, refused=faults.flags)
        rows = finetune(options, command=("surefoot", "finetune", *arguments), given=given, faults=faults)
    last = [row for row in rows if row["round"] == rows[-1]["round"]]
    cost, episodes = sum(row["total_cost"] for row in last), sum(row["episodes"] for row in last)
    violating = sum(row["violating_episodes"] for row in last)
    say(f"{options.out}: {episodes:,} episodes, {violating:,} of them with a violation, cost {cost:g} in all.")
    if rates := [rate for row in rows if (rate := row["metrics"].get("act/online_rate")) is not None]:
        say(f"The actor that learns acted in {sum(rates) / len(rates):.1%} of the steps, the offline one in the rest.")
    say(f"measure it with: surefoot evaluate {shell_word(options.out)}")


def finetune(
    options: FinetuneOptions,
    *,
    command: Sequence[str],
    given: Collection[str] = (),
    faults: Faults | None = None,
) -> list[dict[str, Any]]:
    """Fine-tune what the options say, into their folder; the rows of its log. `given`: the options that a command line
    names. `faults`: those of the command line so far."""
    with faults or Faults() as found:
        loaded, algorithm, task = _checked(options, given, found)
    offline = _offline_data(options, loaded)
    settings = FinetuneSettings(options.steps, options.lanes, options.ratio, options.online_share)
    directory = _start(options, loaded, algorithm, task, settings, command)
    freeze = jax.jit(jax.vmap(algorithm.frozen))
    with _opened(task, options) as where, ProgressLine(f"fine-tuning on {task.name}", unit="rounds") as line:
        rows = fine_tune(
            algorithm,
            jax.tree.map(jnp.copy, freeze(loaded.states)),
            offline,
            where,
            spec=task.spec,
            seeds=loaded.config.seeds,
            settings=settings,
            run=directory,
            checkpoint_rounds=options.checkpoint_rounds,
            on_progress=line.report,
        )
    merge_summary(
        options.out,
        {
            "task": task.name,
            "algorithm": loaded.config.algorithm,
            "seeds": list(loaded.config.seeds),
            "command": shlex.join(command),
            "online": {"settings": dataclasses.asdict(settings), "last_rounds": rows[-len(loaded.config.seeds) :]},
        },
    )
    return rows


def _checked(options: FinetuneOptions, given: Collection[str], faults: Faults) -> tuple[LoadedRun, FineTunes, Task]:
    """The run, its algorithm as it goes on, and where; `faults` gathers what is wrong with the options."""
    check_writable(options.out)
    with faults.also():
        if options.without_offline_data and (options.online_share or "online_share" in given):
            raise ConfigError(
                f"--online-share: expected none with --without-offline-data, where every episode is new, found "
                f"{options.online_share:g}."
            )
    loaded = load_run(options.run, {})
    if not isinstance(loaded.algorithm, FineTunes):
        raise ConfigError(
            f"{options.run}: expected an algorithm that can be fine-tuned, found {loaded.config.algorithm}."
        )
    trained = loaded.config.known_task()
    task = trained if options.task is None else get_task(options.task)
    route, whose = ("in a simulator", "") if task.simulated else ("pure", f"{task.name}, which has no simulator")
    with faults.also():
        refuse_others(options, ROUTES[route], whose, given=given)
    check_cameras(loaded, task)
    if task.image_shape is None:
        raise ConfigError(f"--task: expected a task of images, as HazardRun, found {task.name}.")
    return loaded, loaded.algorithm.fine_tuning(), task


def _check_agreement(run: RunDirectory, options: FinetuneOptions, there: FinetuneOptions, faults: Faults) -> None:
    """Gather in `faults` where options that are given with --resume are not those of the fine-tuning to go on with."""
    names = ("lanes", "ratio", "online_share", "checkpoint_rounds", "without_offline_data")
    task = run.read_config().task
    found: dict[str, Any] = {"task": task if options.task is None else get_task(options.task).name}
    wanted: dict[str, Any] = {"task": task}
    if options.steps > there.steps:
        faults.add(
            f"{run.path}: --steps: the run has {there.steps:,}, found {options.steps:,}; a longer fine-tuning holds "
            f"more new frames than this one's checkpoints have room for; {ways()}"
        )
    else:
        found, wanted = {**found, "steps": options.steps}, {**wanted, "steps": there.steps}
    with faults.also():
        refuse_differing(
            run,
            {**wanted, **{name: getattr(there, name) for name in names}},
            {**found, **{name: getattr(options, name) for name in names}},
        )


@contextmanager
def _opened(task: Task, options: FinetuneOptions) -> Iterator[PureTask | OnlineSimulator]:
    """The task to act in, for as long as the block runs."""
    if not task.simulated:
        yield pure_task_of(task)
        return
    choose_renderer(task, Terminal())
    # Here: nothing else of this command needs a simulator.
    from surefoot.envs.workers.vector import VectorSimulator

    workers = min(options.lanes, os.cpu_count() or 1) if options.workers is None else options.workers
    with VectorSimulator(task, num_envs=options.lanes, workers=workers) as environment:
        yield OnlineSimulator(environment, task.spec.observation_shape, task.horizon)


def _offline_data(options: FinetuneOptions, loaded: LoadedRun) -> FrameData | None:
    if options.without_offline_data:
        return None
    found = run_data(loaded.directory, loaded.config)
    if found.frames is None:
        raise ConfigError(
            f"{options.run}: expected the offline data, found none: {found.reason}; without "
            f"them the model forgets what they taught it, costs that became rare first, and learns from the first "
            f"round's episodes alone, which --without-offline-data accepts."
        )
    remark(remarks(found.frames, data_task(loaded.config), place=str(found.path)), strict=options.strict)
    return in_memory(found.frames)  # the replay grows beside them


def _start(
    options: FinetuneOptions,
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
        checkpoint_interval=options.checkpoint_rounds,
        command=tuple(command),
        data_selection={
            "data_task": loaded.config.data_selection.get("data_task", loaded.config.task),
            "offline_data": not options.without_offline_data,
            "trained_updates": loaded.step,
            "trained_sha256": loaded.sha256,
            **({} if task.vision is None else {"vision": task.vision._asdict()}),
            **dataclasses.asdict(settings),
        },
    )
    directory = RunDirectory(options.out)
    if directory.config_path.exists() and (options.resume or directory.checkpoints()):
        there = directory.read_config()
        _check_source(options, loaded, there)
        for name, value in config.data_selection.items():
            if name != "trained_sha256" and there.data_selection.get(name) != value:
                expected = there.data_selection.get(name)
                raise ConfigError(f"{directory.config_path}: {name}: expected {expected}, found {value}.")
    directory.start(config, resume=options.resume)
    return directory


def _check_source(options: FinetuneOptions, loaded: LoadedRun, there: RunConfig) -> None:
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
            f"{options.run}: expected the run that {options.out} was begun from, found another one or another "
            f"checkpoint of it ({differences}); name that run, or choose another folder with --out."
        )


def _brief(value: Any) -> str:
    """A number of updates, or the begin of a hash."""
    return f"{value:,}" if isinstance(value, int) else f"{value!s:.8}"
