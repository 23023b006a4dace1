"""`surefoot quickstart`: collect, train, measure, report, in one folder; killed and started again it goes on."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

from surefoot import presets
from surefoot.api.options import parse_seeds
from surefoot.cli.options import Choice, choose, parse_with_hyperparameters, peek
from surefoot.cli.progress import Terminal
from surefoot.cli.terminal import say, say_lines
from surefoot.experiments.quickstart import QuickstartRequest, QuickstartSettings, begun, check_agreement, quickstart
from surefoot.experiments.unread import refuse_unread
from surefoot.faults import Faults
from surefoot.jax_start import one_thread_a_device
from surefoot.report.run_page import PAGE
from surefoot.report.summary_text import summary_text
from surefoot.runs.evaluation_files import NotKeptError

Hyper = TypeVar("Hyper")


@dataclass(frozen=True, kw_only=True)
class QuickstartOptions(QuickstartSettings, Generic[Hyper]):
    """Collect PointRobot data, train FISOR (preset small), measure it against the exact feasible set, write a report.
    Killed and started again with the same options it goes on."""

    seeds: str = "0:3"
    """Trained side by side: a range as 0:3 (without 3), a list as 0,1,2 or one number."""
    hyper: Annotated[Hyper, tyro.conf.arg(name="")]
    """Hyper-parameters of FISOR."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    with Faults() as faults:
        choice, defaults = _begun(arguments, choose(()))
        if choice.preset == presets.DEFAULT_PRESET:
            one_thread_a_device()
        options: QuickstartOptions[Any] = parse_with_hyperparameters(
            QuickstartOptions, arguments, choice, command="quickstart", faults=faults, **defaults
        )
        refuse_unread(options.hyper, choice.defaults, faults)
        request = faults.attempt(lambda: _request(options), None)
    assert request is not None
    try:
        summary = quickstart(request, command=("surefoot", "quickstart", *arguments), observer=Terminal())
    except NotKeptError as error:
        say_lines(summary_text(error.summary))
        raise
    say_lines(f"{summary_text(summary)}\n")
    say(f"The report lies at {options.out / PAGE}")


def _request(options: QuickstartOptions[Any]) -> QuickstartRequest:
    """What is asked for, which an earlier quickstart in the folder was, too. Raises `ConfigError`."""
    settings = {field.name: getattr(options, field.name) for field in fields(QuickstartSettings)}
    request = QuickstartRequest(**settings, algorithm=options.hyper, seeds=parse_seeds(options.seeds))
    check_agreement(request)
    return request


def _begun(arguments: Sequence[str], choice: Choice) -> tuple[Choice, dict[str, Any]]:
    """The options of the quickstart that lies in the folder as defaults: those of an earlier command, which need not be
    repeated. The choice as it is where there is none, or it is to be removed."""
    try:
        given = peek(arguments, "overwrite", out=QuickstartOptions.out)
    except argparse.ArgumentError:  # the parser of all options says so
        return choice, {}
    if (
        given.overwrite
        or {"-h", "--help"} & set(arguments)
        or (found := begun(Path(given.out), type(choice.defaults))) is None
    ):
        return choice, {}
    algorithm, settings = found
    return replace(choice, defaults=algorithm), {**settings, "seeds": ",".join(map(str, settings["seeds"]))}
