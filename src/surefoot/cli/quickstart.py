"""`surefoot quickstart`: collect, train, measure, report, in one folder; killed and started again it goes on."""

import argparse
import os
import re
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

from surefoot import data
from surefoot.checkpoint import as_json
from surefoot.cli.options import Choice, choose, one_thread_a_device, parse_seeds, parse_with_hyperparameters
from surefoot.cli.progress import Terminal
from surefoot.cli.terminal import say, say_lines
from surefoot.errors import ConfigError
from surefoot.evaluation.request import EvaluationRequest, evaluate_run
from surefoot.experiments.agreement import differing
from surefoot.experiments.collect import collect
from surefoot.experiments.collect_request import CollectRequest
from surefoot.experiments.train import train_run
from surefoot.experiments.train_request import CHECKPOINT_INTERVAL, LOG_INTERVAL, TrainRequest
from surefoot.experiments.unread import refuse_unread
from surefoot.faults import Faults
from surefoot.files import is_temporary, remove, sweep, write_json
from surefoot.hyperparameters import from_hyperparameters
from surefoot.json_files import read_json
from surefoot.ranges import COUNT, Range, Ranged
from surefoot.report.run_page import PAGE, report
from surefoot.report.summary_text import summary_text
from surefoot.runs.evaluation_files import NotKeptError
from surefoot.runs.output_folder import DATA, visible
from surefoot.runs.summary import merge_summary, read_summary
from surefoot.system import peak_memory
from surefoot.training import RunDirectory, hyperparameters

REQUEST = "quickstart.json"
COLLECTION_SEED = 0
_FILES = (REQUEST, DATA, "config.json", "metrics.jsonl", "summary.json", "calibration.json", PAGE)
_FOLDERS = {
    "checkpoints": r"checkpoint\.json|arrays-[0-9a-f]+\.safetensors",
    "tensorboard": r"events\.out\.tfevents\..*",
    "evaluation": r".*\.(json|jsonl|npz)",
    "report": r"(feasible-region|value-paths|trajectories|training|data)\.(pdf|svg)"
    r"|(key-figures|evaluation|before-simulation|logged-episodes)\.(csv|tex)",
}
"""What a quickstart makes: files, and the names of those in each folder."""
_IMPORTED = time.time()
Hyper = TypeVar("Hyper")


@dataclass(frozen=True, kw_only=True)
class QuickstartOptions(Ranged, Generic[Hyper]):
    """Collect PointRobot data, train FISOR (preset small), measure it against the exact feasible set, write a report.
    Killed and started again with the same options it goes on."""

    seeds: str = "0:3"
    """Trained side by side: a range as 0:3 (without 3), a list as 0,1,2 or one number."""
    out: Path = Path("runs/quickstart")
    """Folder of the run, made if missing."""
    transitions: Annotated[int, Range("[2, 10^9]")] = 100_000
    """Environment steps to collect."""
    episodes: Annotated[int, Range("[1, 10^7]")] = 200
    """Evaluation episodes of each seed from feasible starts; half as many from infeasible ones."""
    log_interval: Annotated[int, Range(COUNT)] = LOG_INTERVAL
    """Updates between two rows of metrics."""
    checkpoint_interval: Annotated[int, Range(COUNT)] = CHECKPOINT_INTERVAL
    """Updates between two checkpoints; a killed run loses at most as many."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Remove an earlier quickstart in the folder and start afresh."""
    hyper: Annotated[Hyper, tyro.conf.arg(name="")]
    """Hyper-parameters of FISOR."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    with Faults() as faults:
        choice, defaults = _begun(arguments, choose(()))
        one_thread_a_device(choice)
        options: QuickstartOptions[Any] = parse_with_hyperparameters(
            QuickstartOptions, arguments, choice, command="quickstart", faults=faults, **defaults
        )
        refuse_unread(options.hyper, choice.defaults, faults)
        with faults.also():
            _agreeing(options)
    quickstart(options, command=("surefoot", "quickstart", *arguments))


def quickstart(options: QuickstartOptions[Any], *, command: Sequence[str]) -> dict[str, Any]:
    """Run all steps that are not done yet, print the table, and return the summary."""
    out = options.out
    continued = _begin(options)
    if continued and "wall_seconds" in (summary := read_summary(out)) and (out / PAGE).exists():
        say(f"{out}: this quickstart is finished; add --overwrite to start afresh.")
        say()
        _print_end(summary, out)
        return summary
    if not (out / DATA).exists():
        request = CollectRequest(transitions=options.transitions, seed=COLLECTION_SEED, out=out / DATA)
        collect(request, observer=Terminal())
    choice = choose(())
    request = TrainRequest(
        algorithm=options.hyper,
        name=choice.algorithm,
        preset=choice.preset,
        task=choice.task,
        data=out / DATA,
        out=out,
        seeds=parse_seeds(options.seeds),
        resume=True,
        log_interval=options.log_interval,
        checkpoint_interval=options.checkpoint_interval,
    )
    config = train_run(request, command=command, observer=Terminal())
    dataset = data.load(out / DATA, choice.task)
    try:
        evaluate_run(out, EvaluationRequest(episodes=options.episodes), dataset=dataset, observer=Terminal())
    except NotKeptError as error:
        say_lines(summary_text(error.summary))
        raise
    merge_summary(out, {"command": shlex.join(config.command), "continued": continued, **_cost()})
    report(out, dataset=dataset, observer=Terminal())
    # Once more, the page included. The page itself shows the time before it was drawn, a few seconds less.
    summary = merge_summary(out, _cost())
    _print_end(summary, out)
    return summary


def _agreeing(options: QuickstartOptions[Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """What the options ask for, and what an earlier quickstart in the folder was asked for, None where there is none.
    Raises `ConfigError` where the two differ and the earlier one is not to be removed."""
    out = options.out
    request = as_json(
        {
            "seeds": parse_seeds(options.seeds),
            "transitions": options.transitions,
            "episodes": options.episodes,
            "log_interval": options.log_interval,
            "checkpoint_interval": options.checkpoint_interval,
            "hyperparameters": hyperparameters(options.hyper),
        }
    )
    found = _read_request(out)
    if found is not None and not options.overwrite and found != request:
        sentence = _differing(found, request)
        raise ConfigError(
            f"{out}: a quickstart with other options is there ({sentence}); repeat its options to go on, "
            f"add --overwrite to start afresh, or choose another folder with --out."
        )
    return request, found


def _begin(options: QuickstartOptions[Any]) -> bool:
    """Make the folder, or find in it an earlier quickstart with the same options: whether there is one.

    Raises `ConfigError` where something else is there.
    """
    out = options.out
    request, found = _agreeing(options)
    if found is not None and options.overwrite:
        remove_earlier(out)
        found = None
    if found is None:
        if visible(out):
            raise ConfigError(
                f"{out}: expected an empty or new folder or an earlier quickstart, found other files; "
                f"choose another folder with --out."
            )
        write_json(out / REQUEST, request)
        return False
    return True


def _begun(arguments: Sequence[str], choice: Choice) -> tuple[Choice, dict[str, Any]]:
    """The options of the quickstart that lies in the folder as defaults: those of an earlier command, which need not be
    repeated. The choice as it is where there is none, or it is to be removed."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--out", type=Path, default=QuickstartOptions.out)
    parser.add_argument("--overwrite", action="store_true")
    try:
        given, _ = parser.parse_known_args(list(arguments))
    except argparse.ArgumentError:  # the parser of all options says so
        return choice, {}
    found = None if given.overwrite or {"-h", "--help"} & set(arguments) else _read_request(given.out)
    if found is None:
        return choice, {}
    try:
        values = from_hyperparameters(type(choice.defaults), found["hyperparameters"], source=str(given.out / REQUEST))
        options = {name: found[name] for name in ("transitions", "episodes", "log_interval", "checkpoint_interval")}
        seeds = ",".join(map(str, found["seeds"]))
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{given.out / REQUEST}: expected the options of a quickstart, found other JSON.") from error
    return replace(choice, defaults=values), {**options, "seeds": seeds}


def _differing(there: dict[str, Any], found: dict[str, Any]) -> str:
    """The flags whose values differ."""
    return differing(_flat(there), _flat(found), whose="it")


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of nested tables as flags have them: "diffusion.network.width"."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        inner = "" if name == "hyperparameters" else f"{name}."
        flat |= _flat(value, f"{prefix}{inner}") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def remove_earlier(out: Path) -> None:
    """Remove an earlier quickstart. Raises `ConfigError`, and removes nothing, where the folder holds other files."""
    with RunDirectory(out).locked():
        others = [path for path in sorted(out.iterdir()) if path.name[0] != "." and not _is_ours(path)]
        if others:
            raise ConfigError(
                f"{others[0]}: no quickstart made this, so --overwrite does not remove it; move it away, or choose "
                f"another folder with --out."
            )
        sweep(out)
        for path in sorted(out.iterdir(), key=lambda path: path.name == REQUEST):  # last: a kill can be repeated
            if path.name[0] != ".":
                remove(path)


def _is_ours(path: Path) -> bool:
    """Whether a quickstart makes a file of that name, or a folder of that name with such files only."""
    if path.is_symlink() or not path.is_dir():
        return path.name in _FILES and path.is_file() and not path.is_symlink()
    inside = _FOLDERS.get(path.name)
    entries = [] if inside is None else [one for one in path.rglob("*") if one.is_symlink() or not one.is_dir()]
    return inside is not None and all(
        not one.is_symlink() and (re.fullmatch(inside, one.name) or is_temporary(one.name)) for one in entries
    )


def _read_request(out: Path) -> dict[str, Any] | None:
    path = out / REQUEST
    if not path.is_file():
        return None
    return read_json(path, dict[str, Any], what="the options of a quickstart", advice="add --overwrite to start afresh")


def _print_end(summary: dict[str, Any], out: Path) -> None:
    say_lines(f"{summary_text(summary)}\n")
    say(f"The report lies at {out / PAGE}")


def _cost() -> dict[str, float]:
    """Seconds since the process began, imports included, and the most memory that it held.

    A continued quickstart counts its own process only; "continued" in the summary says so.
    """
    wall = time.time() - process_start()
    return {"wall_seconds": round(wall, 2), "peak_memory_mb": round(peak_memory() / 1e6, 1)}


def process_start() -> float:
    """When this process began, seconds since the epoch; where /proc does not say, when this module was imported."""
    try:
        # The name in the second field may hold spaces and brackets: fields are counted after its last bracket.
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot)
    except (OSError, ValueError, IndexError, AttributeError):
        return _IMPORTED
