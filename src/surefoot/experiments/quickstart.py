"""The quickstart: collect, train, evaluate, report, in one folder; a killed one is resumed."""

import os
import re
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from surefoot import data, presets
from surefoot.checkpoint import as_json
from surefoot.errors import ConfigError, option
from surefoot.evaluation.request import EvaluationRequest, evaluate_run
from surefoot.experiments.agreement import differing
from surefoot.experiments.collect import collect
from surefoot.experiments.collect_request import CollectRequest
from surefoot.experiments.train import train_run
from surefoot.experiments.train_request import CHECKPOINT_INTERVAL, LOG_INTERVAL, TrainRequest
from surefoot.files import is_temporary, remove, sweep, write_json
from surefoot.hyperparameters import from_hyperparameters
from surefoot.json_files import read_json
from surefoot.observer import Observer
from surefoot.protocols import Algorithm
from surefoot.ranges import COUNT, SEED, Range, Ranged
from surefoot.report.run_page import PAGE, report
from surefoot.routes import SWITCH
from surefoot.runs.output_folder import DATA, visible
from surefoot.runs.summary import merge_summary, read_summary
from surefoot.system import peak_memory
from surefoot.tasks import get_task
from surefoot.training import RunDirectory, hyperparameters

ALGORITHM, TASK = "fisor", "PointRobot"
REQUEST = "quickstart.json"
COLLECTION_SEED = 0
_FILES = (REQUEST, DATA, "config.json", "metrics.jsonl", "summary.json", "calibration.json", PAGE)
"""Files of a quickstart."""
_FOLDERS = {
    "checkpoints": r"checkpoint\.json|arrays-[0-9a-f]+\.safetensors",
    "tensorboard": r"events\.out\.tfevents\..*",
    "evaluation": r".*\.(json|jsonl|npz)",
    "report": r"(feasible-region|value-paths|trajectories|training|data)\.(pdf|svg)"
    r"|(key-figures|evaluation|before-simulation|logged-episodes)\.(csv|tex)",
}
"""What a quickstart makes: files, and the names of those in each folder."""
_IMPORTED = time.time()


@dataclass(frozen=True, kw_only=True)
class QuickstartSettings(Ranged):
    """Options of a quickstart beside hyper-parameters and seeds."""

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
    overwrite: Annotated[bool, SWITCH] = False
    """Remove an earlier quickstart in the folder and start afresh."""


_KEPT = ("transitions", "episodes", "log_interval", "checkpoint_interval")
"""Settings of which the folder keeps record."""


@dataclass(frozen=True, kw_only=True)
class QuickstartRequest(QuickstartSettings):
    """A quickstart with its hyper-parameters."""

    algorithm: Algorithm
    """FISOR with its hyper-parameters."""
    seeds: Annotated[tuple[int, ...], Range(SEED, fewest=1)]
    """Trained side by side."""


def quickstart(request: QuickstartRequest, *, command: Sequence[str], observer: Observer) -> dict[str, Any]:
    """Run the steps of a quickstart that are not done yet.

    Args:
        request: Options and hyper-parameters.
        command: Command line, which the run records.
        observer: Receives progress and results.

    Returns:
        The run's summary.

    Raises:
        ConfigError: The folder holds something else.
    """
    out = request.out
    continued = _begin(request)
    if continued and "wall_seconds" in (summary := read_summary(out)) and (out / PAGE).exists():
        observer.say(f"{out}: this quickstart is finished; add {option('overwrite')} to start afresh.")
        observer.say("")
        return summary
    if not (out / DATA).exists():
        data_wanted = CollectRequest(transitions=request.transitions, seed=COLLECTION_SEED, out=out / DATA)
        collect(data_wanted, observer=observer)
    task = get_task(TASK)
    training = TrainRequest(
        algorithm=request.algorithm,
        name=ALGORITHM,
        preset=presets.DEFAULT_PRESET,
        task=task,
        data=out / DATA,
        out=out,
        seeds=request.seeds,
        resume=True,
        log_interval=request.log_interval,
        checkpoint_interval=request.checkpoint_interval,
    )
    config = train_run(training, command=command, observer=observer)
    dataset = data.load(out / DATA, task)
    evaluate_run(out, EvaluationRequest(episodes=request.episodes), dataset=dataset, observer=observer)
    merge_summary(out, {"command": shlex.join(config.command), "continued": continued, **_cost()})
    report(out, dataset=dataset, observer=observer)
    # Once more, the page included. The page itself shows the time before it was drawn, a few seconds less.
    return merge_summary(out, _cost())


def check_agreement(request: QuickstartRequest) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Options of a request and of an earlier quickstart in its folder.

    Args:
        request: The request.

    Returns:
        (requested options, earlier options or None).

    Raises:
        ConfigError: The two differ and the earlier quickstart is not to be removed.
    """
    out = request.out
    wanted = as_json(
        {
            "seeds": request.seeds,
            **{name: vars(request)[name] for name in _KEPT},
            "hyperparameters": hyperparameters(request.algorithm),
        }
    )
    found = _read_request(out)
    if found is not None and not request.overwrite and found != wanted:
        sentence = differing(_flat(found), _flat(wanted), whose="it")
        raise ConfigError(
            f"{out}: a quickstart with other options is there ({sentence}); repeat its options to go on, "
            f"add {option('overwrite')} to start afresh, or choose another folder with {option('out')}."
        )
    return wanted, found


def _begin(request: QuickstartRequest) -> bool:
    """Make the folder, or find in it an earlier quickstart with the same options: whether there is one.

    Raises `ConfigError` where something else is there.
    """
    out = request.out
    wanted, found = check_agreement(request)
    if found is not None and not request.overwrite:
        return True
    if found is not None:
        remove_earlier(out)
    if visible(out):
        raise ConfigError(
            f"{out}: expected an empty or new folder or an earlier quickstart, found other files; "
            f"choose another folder with {option('out')}."
        )
    write_json(out / REQUEST, wanted)
    return False


def begun(out: Path, kind: type[Any]) -> tuple[Any, dict[str, Any]] | None:
    """Algorithm and settings of the quickstart in a folder.

    Args:
        out: The folder.
        kind: Class of the algorithm.

    Returns:
        (algorithm, settings); None where there is no quickstart.

    Raises:
        ConfigError: Its options cannot be read.
    """
    found = _read_request(out)
    if found is None:
        return None
    try:
        algorithm = from_hyperparameters(kind, found["hyperparameters"], source=str(out / REQUEST))
        return algorithm, {**{name: found[name] for name in _KEPT}, "seeds": tuple(found["seeds"])}
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{out / REQUEST}: expected the options of a quickstart, found other JSON.") from error


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
                f"{others[0]}: no quickstart made this, so {option('overwrite')} does not remove it; move it away, or "
                f"choose another folder with {option('out')}."
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
    advice = f"add {option('overwrite')} to start afresh"
    return read_json(path, dict[str, Any], what="the options of a quickstart", advice=advice)


def _cost() -> dict[str, float]:
    """Seconds since the process began, imports included, and the most memory that it held.

    A continued quickstart counts its own process only; "continued" in the summary says so.
    """
    wall = time.time() - process_start()
    return {"wall_seconds": round(wall, 2), "peak_memory_mb": round(peak_memory() / 1e6, 1)}


def process_start() -> float:
    """Start of this process in seconds since the epoch; without /proc, the time at which this module was imported."""
    try:
        # The name in the second field may hold spaces and brackets: fields are counted after its last bracket.
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot)
    except (OSError, ValueError, IndexError, AttributeError):
        return _IMPORTED
