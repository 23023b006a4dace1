"""One algorithm on several shares of the data, each trained and evaluated, in one folder.

OUT/fraction_0.1, OUT/fraction_1, ...   a run for each share, as `surefoot train` and `evaluate` leave it
OUT/episodes.jsonl                      the rows of all, each with its share
OUT/data_quantity.json, .png            the figures of each share; bars of return and cost
"""

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from surefoot.data.selection import DataFilter
from surefoot.errors import ConfigError, option
from surefoot.evaluation.evaluation import evaluate
from surefoot.evaluation.kinds.limits import EPISODES, by_protocol
from surefoot.evaluation.protocol import ProtocolName, cost_limits
from surefoot.evaluation.request import default_workers
from surefoot.evaluation.rows import evaluation_rows_of
from surefoot.experiments.train import train_run
from surefoot.experiments.train_request import CHECKPOINT_INTERVAL, LOG_INTERVAL, TrainRequest
from surefoot.faults import Faults
from surefoot.file_sets import check_writable
from surefoot.files import json_rows, replacement, write_json, write_whole
from surefoot.observer import Observer
from surefoot.protocols import Algorithm
from surefoot.ranges import COUNT, SEED, Range, Ranged
from surefoot.report.protocol_plots import QuantityBar, quantity_bars
from surefoot.report.style import save_figure
from surefoot.routes import Routes, refuse_others
from surefoot.runs.loaded import load_run
from surefoot.runs.summary import read_summary
from surefoot.tasks import Task
from surefoot.text import without_folders
from surefoot.training import RunDirectory

RESULT, ROWS, PICTURE = "data_quantity.json", "episodes.jsonl", "data_quantity.png"


@dataclass(frozen=True, kw_only=True)
class SweepSettings(Ranged):
    """How the shares are trained and measured, whatever the algorithm."""

    fraction: Annotated[tuple[float, ...], Range("(0, 1]", fewest=1)] = (0.1, 0.5, 1.0)
    """Random shares of the episodes to train on, one run each; a smaller share is part of a larger one."""
    data_filter: DataFilter = "all"
    """Episodes of each share to train on, as in surefoot train."""
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


@dataclass(frozen=True, kw_only=True)
class SweepRequest(SweepSettings):
    """What to train on which data, and where the runs go."""

    algorithm: Algorithm
    """With its hyper-parameters."""
    name: str
    """The algorithm's, in the table."""
    preset: str | None
    """The named hyper-parameters that it began with."""
    task: Task
    data: Path
    """Where the data lie."""
    out: Path
    """Folder of the runs and the figures, made if missing."""
    seeds: Annotated[tuple[int, ...], Range(SEED, fewest=1)]
    """Of every run, trained side by side."""


_COMMON = frozenset(field.name for field in fields(SweepRequest)) - {"workers"}
ROUTES: Routes = {"pure": _COMMON, "in a simulator": _COMMON | {"workers"}}
"""Kind of environment -> the options that are read."""


def sweep(
    request: SweepRequest,
    *,
    command: Sequence[str],
    observer: Observer,
    given: Collection[str] = (),
    faults: Faults | None = None,
) -> list[tuple[float, dict[str, Any]]]:
    """Train and evaluate every share that is not done yet.

    Args:
        request: Shares, algorithm, data and target.
        command: Command line, which the runs record.
        observer: Receives progress.
        given: Options that the user named, which are refused where nothing reads them.
        faults: Faults of the request found so far.

    Returns:
        (share, summary of its run) for each share.

    Raises:
        ConfigError: The request cannot be run.
    """
    with faults or Faults() as gathered:
        _check(request, given, gathered)
        check_writable(request.out)
    records, rows = [], []
    for number, fraction in enumerate(request.fraction, start=1):
        path = request.out / f"fraction_{fraction:g}"
        observer.say(f"{path}: {100 * fraction:g} % of the episodes ({number} of {len(request.fraction)}).")
        shared = {field.name: vars(request)[field.name] for field in fields(TrainRequest) if field.name in _COMMON}
        one = TrainRequest(**{**shared, "out": path, "fraction": fraction, "resume": True})
        train_run(one, command=command, observer=observer)
        records.append((fraction, _measured(path, request, observer)))
        rows += [{"fraction": fraction, **row} for row in evaluation_rows_of(path)]
    write_whole(request.out / ROWS, json_rows(rows))
    figures = [{"fraction": fraction, **summary["protocol"]} for fraction, summary in records]
    write_json(request.out / RESULT, without_folders({"command": shlex.join(command), "shares": figures}))
    bars = [QuantityBar(fraction, summary["protocol"]) for fraction, summary in records]
    with replacement(request.out / PICTURE) as temporary, temporary.open("xb") as file:
        save_figure(quantity_bars(bars), file, format="png", dpi=150)
    return records


def _measured(path: Path, request: SweepRequest, observer: Observer) -> dict[str, Any]:
    """The run's summary, evaluated now unless that was done already."""
    summary = read_summary(path)
    found, acting = summary.get("protocol", {}), summary.get("acting", {})
    step, episodes = RunDirectory(path).latest_step(), request.episodes * len(request.seeds)
    there = (found.get("protocol"), found.get("episodes"), acting.get("step"), acting.get("overrides"))
    if there == (request.protocol, episodes, step, {}):
        return summary
    wished = by_protocol(request.task, request.protocol, episodes=request.episodes)
    return evaluate(wished, load_run(path, {}), workers=request.workers, observer=observer)


def _check(request: SweepRequest, given: Collection[str], faults: Faults) -> None:
    """Gather what later steps would refuse after the first run was trained."""
    task = request.task
    if task.image_shape is not None:
        raise ConfigError(
            f"{option('task')}: expected a task of vectors, of whose data there are shares, found {task.name}."
        )
    route, whose = ("in a simulator", "") if task.simulated else ("pure", f"{task.name}, which has no simulator")
    with faults.also():
        refuse_others(request, ROUTES[route], whose, given=given)
    with faults.also():
        cost_limits(task, request.protocol)
    if len(set(request.fraction)) != len(request.fraction):
        faults.add(f"{option('fraction')}: expected different shares, found {list(request.fraction)}")
