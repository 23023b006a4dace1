"""`surefoot sweep`: one algorithm on several shares of the data, trained and measured alike, in one folder."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

from surefoot import presets
from surefoot.api.options import parse_seeds
from surefoot.cli.options import Choice, choose, choose_or_refuse, given_options, parse_with_hyperparameters
from surefoot.cli.progress import Terminal
from surefoot.cli.resume import folder_to_resume, recorded_words, refuse_other_choice
from surefoot.cli.terminal import say, say_lines
from surefoot.data.own_tasks import find_task
from surefoot.experiments.agreement import refuse_differing
from surefoot.experiments.sweep import PICTURE, SweepRequest, SweepSettings, sweep
from surefoot.experiments.unread import refuse_unread
from surefoot.faults import Faults
from surefoot.hyperparameters import prefixed
from surefoot.jax_start import one_thread_a_device
from surefoot.observer import StrictOption
from surefoot.report.summary_rows import comparison_rows
from surefoot.report.tables import plain_table
from surefoot.training import RunDirectory

Hyper = TypeVar("Hyper")


@dataclass(frozen=True, kw_only=True)
class SweepOptions(SweepSettings, StrictOption, Generic[Hyper]):
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
    seeds: str = "0:3"
    """Of every run: a range as 0:3 (without 3), a list as 0,1,2 or one number."""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """Go on with the sweep in the folder. Its options are those of the sweep; options that are given must agree."""
    hyper: Annotated[Hyper, tyro.conf.arg(name="")]
    """Hyper-parameters."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    with Faults() as faults:
        begun = _begun(arguments)
        if begun is None:
            choice, defaults = choose_or_refuse(SweepOptions, arguments, faults), {}
        else:
            place, there, _ = begun
            choice = Choice(there.algorithm, find_task(there.task, data=there.data), there.preset, there.hyper)
            with faults.also():
                refuse_other_choice(place, choice, arguments)
            defaults = {name: getattr(there, name) for name in (*_AGREED, "data")}
        if choice.preset == presets.DEFAULT_PRESET:
            one_thread_a_device()
        options = _parsed(arguments, choice, faults, **defaults)
        refuse_unread(options.hyper, choice.defaults, faults)
        if begun is not None:
            with faults.also():
                refuse_differing(begun[0], _agreed(begun[1]), _agreed(options))
        request = SweepRequest(
            **{field.name: getattr(options, field.name) for field in fields(SweepSettings)},
            algorithm=options.hyper, name=choice.algorithm, preset=choice.preset, task=choice.task, data=options.data,
            out=options.out, seeds=faults.attempt(lambda: parse_seeds(options.seeds), (0,)),
        )  # fmt: skip
        given = given_options(SweepOptions, arguments, refused=faults.flags)
        command = ("surefoot", "sweep", *arguments) if begun is None else begun[2]
        observer = Terminal(strict=options.strict)
        records = sweep(request, command=command, given=given, observer=observer, faults=faults)
    rows = comparison_rows([(f"{100 * fraction:g} % of the episodes", summary) for fraction, summary in records])
    say_lines(f"{plain_table(rows)}\n")
    say(f"The bar chart lies at {options.out / PICTURE}")


def _parsed(arguments: Sequence[str], choice: Choice, faults: Faults | None, **defaults: Any) -> SweepOptions[Any]:
    needed = {"data": tyro.MISSING, "out": tyro.MISSING}
    return parse_with_hyperparameters(
        SweepOptions, arguments, choice, command="sweep", faults=faults, **{**needed, **defaults}
    )


_AGREED = ("fraction", "data_filter", "seeds", "protocol", "episodes", "log_interval", "checkpoint_interval")
"""Options that must be the same where a sweep is gone on with, as its hyper-parameters must."""


def _begun(arguments: Sequence[str]) -> tuple[RunDirectory, SweepOptions[Any], tuple[str, ...]] | None:
    """The sweep that `--out FOLDER --resume` goes on with: its folder, which is called a run in sentences, its options,
    with the data where they then lay, and its command; None where nothing is to be resumed, or nothing was begun.
    Raises `ConfigError` where what was begun there is no sweep."""
    folder = folder_to_resume(arguments)
    runs = [] if folder is None else [RunDirectory(path) for path in sorted(folder.glob("fraction_*"))]
    run = next((one for one in runs if one.config_path.exists()), None)
    if folder is None or run is None:
        return None
    words, config = recorded_words(run, "sweep"), run.read_config()
    options = _parsed(words, choose(words), None)
    return RunDirectory(folder), replace(options, data=Path(config.data_path)), config.command


def _agreed(options: SweepOptions[Any]) -> dict[str, Any]:
    """What must be the same, with the names of flags."""
    named = {name: getattr(options, name) for name in _AGREED}
    return named | {"seeds": list(parse_seeds(options.seeds))} | prefixed(options.hyper)
