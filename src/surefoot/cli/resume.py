"""`--resume`: a run goes on as its configuration says; flags that are given must say the same, or train longer."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from surefoot.algorithms import algorithm_class
from surefoot.cli.flags import with_todays_names
from surefoot.cli.options import Choice, choose, parse, peek
from surefoot.errors import ConfigError
from surefoot.experiments.agreement import refuse_differing, selected
from surefoot.faults import Faults
from surefoot.hyperparameters import from_hyperparameters
from surefoot.presets import DEFAULT_PRESET
from surefoot.text import shell_word
from surefoot.training import RunConfig, RunDirectory

T = TypeVar("T")


def run_to_resume(arguments: Sequence[str]) -> RunDirectory | None:
    """The run that `--out RUN --resume` goes on with; None where nothing is to be resumed, or nothing was begun."""
    folder = folder_to_resume(arguments)
    run = None if folder is None else RunDirectory(folder)
    return run if run is not None and run.config_path.exists() else None


def folder_to_resume(arguments: Sequence[str]) -> Path | None:
    """The folder of `--out FOLDER --resume`; None where nothing is to be resumed."""
    try:
        found = peek(arguments, "resume", out=None)
    except argparse.ArgumentError:  # the parser of all options says so
        return None
    if {"-h", "--help"} & set(arguments) or not found.resume or not found.out:
        return None
    return Path(found.out)


def resumed_choice(run: RunDirectory, arguments: Sequence[str], faults: Faults) -> Choice:
    """The run's algorithm, task and preset, with its hyper-parameters as defaults; `faults` gathers that another one of
    them is given. Raises `ConfigError` where the run is not one of `surefoot train`."""
    config = run.read_config()
    if "trained_updates" in config.data_selection:
        raise ConfigError(
            f"{run.path}: expected a run of surefoot train, found a fine-tuned one; go on with it by: "
            f"surefoot finetune --out {shell_word(run.path)} --resume"
        )
    kind = algorithm_class(config.algorithm)
    preset = config.preset or DEFAULT_PRESET
    defaults = from_hyperparameters(kind, config.hyperparameters, source=str(run.config_path))
    there = Choice(config.algorithm, config.known_task(), preset, defaults)
    with faults.also():
        refuse_other_choice(run, there, arguments)
    return there


def refuse_other_choice(run: RunDirectory, there: Choice, arguments: Sequence[str]) -> None:
    """Raise `ConfigError` where the arguments name another algorithm, task or preset than what is gone on with."""
    given = choose(arguments, algorithm=there.algorithm, task=there.task.name, preset=there.preset, known=there.task)
    refuse_differing(run, _names_of(there), _names_of(given))


def _names_of(choice: Choice) -> dict[str, str]:
    return {"algorithm": choice.algorithm, "task": choice.task.name, "preset": choice.preset}


def train_defaults(config: RunConfig) -> dict[str, Any]:
    """The options of `surefoot train` with which the run was trained."""
    recorded = _recorded(config.command, ("stream", "share"))
    return {
        "seeds": ",".join(map(str, config.seeds)),
        "data": Path(config.data_path),
        "log_interval": config.log_interval,
        "checkpoint_interval": config.checkpoint_interval,
        **selected(config),
        **recorded,
    }


def _recorded(command: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Options of the first command that the configuration does not hold otherwise."""
    try:
        return vars(peek(command, **dict.fromkeys(names, argparse.SUPPRESS)))
    except argparse.ArgumentError:
        return {}


def recorded_options(run: RunDirectory, kind: type[T], *, command: str) -> T:
    """The options of the command that began a run, which its configuration keeps. Raises `ConfigError` where that was
    another command."""
    words = recorded_words(run, command, advice="; choose another folder with --out")
    return parse(kind, with_todays_names(kind, words, quietly=True), command=command)


def recorded_words(run: RunDirectory, command: str, *, advice: str = "") -> tuple[str, ...]:
    """The options, as words, of the command that began a run. Raises `ConfigError` where that was another command."""
    words = run.read_config().command
    if words[:2] != ("surefoot", command):
        found = " ".join(words[:2]) or "others"
        raise ConfigError(f"{run.path}: expected a run of surefoot {command}, found one of {found}{advice}.")
    return words[2:]
