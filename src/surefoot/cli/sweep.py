"""`surefoot sweep`: one algorithm on several shares of the data, trained and measured alike, in one folder.

OUT/fraction_0.1, OUT/fraction_1, ...   a run for each share, as `surefoot train` and `evaluate` leave it
OUT/episodes.jsonl                      the rows of all, each with its share
OUT/data_quantity.json, .png            the figures of each share; bars of return and cost
"""

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import tyro

from surefoot import presets
from surefoot.cli.options import (
    Choice,
    choose,
    choose_or_refuse,
    one_thread_a_device,
    parse_seeds,
    parse_with_hyperparameters,
)
from surefoot.cli.progress import Terminal
from surefoot.cli.remarks import StrictOption
from surefoot.cli.resume import folder_to_resume, refuse_other_choice
from surefoot.cli.routes import given_options
from surefoot.cli.terminal import say, say_lines
from surefoot.data.own_tasks import find_task
from surefoot.data.selection import DataFilter
from surefoot.errors import ConfigError
from surefoot.evaluation.evaluation import evaluate
from surefoot.evaluation.kinds.limits import EPISODES, by_protocol
from surefoot.evaluation.protocol import ProtocolName, cost_limits
from surefoot.evaluation.request import default_workers
from surefoot.evaluation.rows import evaluation_rows_of
from surefoot.experiments.agreement import refuse_differing
from surefoot.experiments.train import train_run
from surefoot.experiments.train_request import CHECKPOINT_INTERVAL, LOG_INTERVAL, TrainRequest
from surefoot.experiments.unread import refuse_unread
from surefoot.faults import Faults
from surefoot.file_sets import check_writable
from surefoot.files import json_rows, replacement, write_json, write_whole
from surefoot.hyperparameters import prefixed
from surefoot.ranges import COUNT, Range
from surefoot.report.protocol_plots import QuantityBar, quantity_bars
from surefoot.report.style import save_figure
from surefoot.report.summary_rows import comparison_rows
from surefoot.report.tables import plain_table
from surefoot.routes import Routes, refuse_others
from surefoot.runs.loaded import load_run
from surefoot.runs.summary import read_summary
from surefoot.text import without_folders
from surefoot.training import RunDirectory

RESULT, ROWS, PICTURE = "data_quantity.json", "episodes.jsonl", "data_quantity.png"
Hyper = TypeVar("Hyper")


@dataclass(frozen=True, kw_only=True)
class SweepOptions(StrictOption, Generic[Hyper]):
    """Train and measure an algorithm on several shares of a task's data, by a protocol of the field. Killed and started
    again with the same options, or with --out and --resume alone, it goes on where it was: what is finished is neither
    trained nor measured again."""

    algorithm: str = "fisor"
    """Name of the algorithm."""
    task: str
    """Name of the task."""
    preset: str = presets.DEFAULT_PRESET
    """Named hyper-parameters that the flags below start from."""
    data: Path
    """Data to train on, in any format that `surefoot train` takes."""
    out: Path
    """Folder of the runs and the figures, made if missing."""
    fraction: Annotated[tuple[float, ...], Range("(0, 1]", fewest=1)] = (0.1, 0.5, 1.0)
    """Random shares of the episodes to train on, one run each; a smaller share is part of a larger one."""
    data_filter: DataFilter = "all"
    """Episodes of each share to train on, as in surefoot train."""
    seeds: str = "0:3"
    """Of every run: a range as 0:3 (without 3), a list as 0,1,2 or one number."""
    protocol: ProtocolName = "strict"
    """Cost limits: one small one (strict), or the average over DSRL's three (dsrl)."""
    episodes: Annotated[int, Range("[1, 10^7]")] = EPISODES
    """Evaluation episodes of each seed."""
    workers: Annotated[int, Range("[1, 1024]")] = default_workers()
    """Processes that step a simulator."""
    log_interval: Annotated[int, Range(COUNT)] = LOG_INTERVAL
    """Updates between two rows of metrics."""
    checkpoint_interval: Annotated[int, Range(COUNT)] = CHECKPOINT_INTERVAL
    """Updates between two checkpoints; a killed run loses at most as many."""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """Go on with the sweep in the folder. Its options are those of the sweep; options that are given must agree."""
    hyper: Annotated[Hyper, tyro.conf.arg(name="")]
    """Hyper-parameters."""


_COMMON = frozenset(
    ("algorithm", "task", "preset", "data", "out", "fraction", "data_filter", "seeds", "protocol", "episodes")
) | {"log_interval", "checkpoint_interval", "hyper", "strict", "resume"}
ROUTES: Routes = {"pure": _COMMON, "in a simulator": _COMMON | {"workers"}}
"""Where the runs are measured -> the options that are read."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    with Faults() as faults:
        begun = _begun(arguments)
        if begun is None:
            choice, defaults = choose_or_refuse(SweepOptions, arguments, faults), {}
        else:
            there = begun.options
            choice = Choice(there.algorithm, find_task(there.task, data=there.data), there.preset, there.hyper)
            with faults.also():
                refuse_other_choice(begun.place, choice, arguments)
            defaults = {name: getattr(there, name) for name in (*_AGREED, "data")}
        one_thread_a_device(choice)
        options: SweepOptions[Any] = parse_with_hyperparameters(
            SweepOptions,
            arguments,
            choice,
            command="sweep",
            faults=faults,
            **{
                "algorithm": choice.algorithm,
                "task": choice.task.name,
                "preset": choice.preset,
                "data": tyro.MISSING,
                "out": tyro.MISSING,
                **defaults,
            },
        )
        refuse_unread(options.hyper, choice.defaults, faults)
        command = ("surefoot", "sweep", *arguments)
        if begun is not None:
            command = begun.command
            with faults.also():
                refuse_differing(begun.place, _agreed(begun.options), _agreed(options))
        given = given_options(SweepOptions, arguments, refused=faults.flags)
        records = sweep(options, command=command, given=given, faults=faults)
    rows = comparison_rows([(f"{100 * fraction:g} % of the episodes", summary) for fraction, summary in records])
    say_lines(f"{plain_table(rows)}\n")
    say(f"The bar chart lies at {options.out / PICTURE}")


_AGREED = ("fraction", "data_filter", "seeds", "protocol", "episodes", "log_interval", "checkpoint_interval")
"""Options that must be the same where a sweep is gone on with, as its hyper-parameters must."""


class _Begun(NamedTuple):
    """A sweep to go on with."""

    place: RunDirectory
    """Its folder, which is called a run in sentences."""
    options: SweepOptions[Any]
    """Of the command that began it; the data where they then lay."""
    command: tuple[str, ...]
    """That command."""


def _begun(arguments: Sequence[str]) -> _Begun | None:
    """The sweep that `--out FOLDER --resume` goes on with; None where nothing is to be resumed, or nothing was begun.
    Raises `ConfigError` where what was begun there is no sweep."""
    folder = folder_to_resume(arguments)
    runs = [] if folder is None else [RunDirectory(path) for path in sorted(folder.glob("fraction_*"))]
    run = next((one for one in runs if one.config_path.exists()), None)
    if folder is None or run is None:
        return None
    config = run.read_config()
    if config.command[:2] != ("surefoot", "sweep"):
        raise ConfigError(
            f"{run.path}: expected a run of surefoot sweep, found one of {' '.join(config.command[:2]) or 'others'}."
        )
    words = config.command[2:]
    choice = choose(words)
    options: SweepOptions[Any] = parse_with_hyperparameters(
        SweepOptions, words, choice, command="sweep", algorithm=choice.algorithm, task=choice.task.name,
        preset=choice.preset, data=tyro.MISSING, out=tyro.MISSING,
    )  # fmt: skip
    return _Begun(RunDirectory(folder), replace(options, data=Path(config.data_path)), config.command)


def _agreed(options: SweepOptions[Any]) -> dict[str, Any]:
    """What must be the same, with the names of flags."""
    named = {name: getattr(options, name) for name in _AGREED}
    return named | {"seeds": list(parse_seeds(options.seeds))} | prefixed(options.hyper)


def sweep(
    options: SweepOptions[Any],
    *,
    command: Sequence[str],
    given: Collection[str] = (),
    faults: Faults | None = None,
) -> list[tuple[float, dict[str, Any]]]:
    """Train and measure every share that is not done yet; returns each share and the summary of its run. `given`: the
    options that a command line names; `faults`: what is wrong with it so far."""
    with faults or Faults() as gathered:
        _check(options, given, gathered)
        check_writable(options.out)
    task = find_task(options.task, data=options.data)
    records, rows = [], []
    for number, fraction in enumerate(options.fraction, start=1):
        path = options.out / f"fraction_{fraction:g}"
        say(f"{path}: {100 * fraction:g} % of the episodes ({number} of {len(options.fraction)}).")
        request = TrainRequest(
            algorithm=options.hyper,
            name=options.algorithm,
            preset=options.preset,
            task=task,
            data=options.data,
            out=path,
            data_filter=options.data_filter,
            fraction=fraction,
            seeds=parse_seeds(options.seeds),
            resume=True,
            log_interval=options.log_interval,
            checkpoint_interval=options.checkpoint_interval,
        )
        train_run(request, command=command, observer=Terminal(strict=options.strict))
        records.append((fraction, _measured(path, options)))
        rows += [{"fraction": fraction, **row} for row in evaluation_rows_of(path)]
    write_whole(options.out / ROWS, json_rows(rows))
    figures = [{"fraction": fraction, **summary["protocol"]} for fraction, summary in records]
    write_json(options.out / RESULT, without_folders({"command": shlex.join(command), "shares": figures}))
    bars = [QuantityBar(fraction, summary["protocol"]) for fraction, summary in records]
    with replacement(options.out / PICTURE) as temporary, temporary.open("xb") as file:
        save_figure(quantity_bars(bars), file, format="png", dpi=150)
    return records


def _measured(path: Path, options: SweepOptions[Any]) -> dict[str, Any]:
    """The run's summary, evaluated now unless that was done already."""
    summary = read_summary(path)
    found, acting = summary.get("protocol", {}), summary.get("acting", {})
    wanted = (
        options.protocol,
        options.episodes * len(parse_seeds(options.seeds)),
        RunDirectory(path).latest_step(),
        {},
    )
    if (found.get("protocol"), found.get("episodes"), acting.get("step"), acting.get("overrides")) == wanted:
        return summary
    wished = by_protocol(find_task(options.task, data=options.data), options.protocol, episodes=options.episodes)
    observer = Terminal(strict=options.strict)
    return evaluate(wished, load_run(path, {}), workers=options.workers, observer=observer)


def _check(options: SweepOptions[Any], given: Collection[str], faults: Faults) -> None:
    """Gather what later steps would refuse after the first run was trained."""
    task = find_task(options.task, data=options.data)
    if task.image_shape is not None:
        raise ConfigError(f"--task: expected a task of vectors, of whose data there are shares, found {task.name}.")
    route, whose = ("in a simulator", "") if task.simulated else ("pure", f"{task.name}, which has no simulator")
    with faults.also():
        refuse_others(options, ROUTES[route], whose, given=given)
    with faults.also():
        cost_limits(task, options.protocol)
    with faults.also():
        parse_seeds(options.seeds)
    if len(set(options.fraction)) != len(options.fraction):
        faults.add(f"--fraction: expected different shares, found {list(options.fraction)}")
