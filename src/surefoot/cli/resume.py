"""`--resume`: a run goes on as its configuration says; flags that are given must say the same, or train longer."""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from surefoot.algorithms import algorithm_class
from surefoot.cli.faults import Faults
from surefoot.cli.options import Choice, choose, parse, parse_seeds
from surefoot.cli.terminal import say
from surefoot.errors import ConfigError, flag
from surefoot.hyperparameters import change, flat, from_hyperparameters
from surefoot.presets import DEFAULT_PRESET
from surefoot.protocols import Algorithm
from surefoot.ranges import shown
from surefoot.text import shell_word
from surefoot.training import RunConfig, RunDirectory
from surefoot.training.longer import COUNTS, changed_counts, why_not_longer
from surefoot.types import DataSpec

T = TypeVar("T")
INTERVALS = ("log_interval", "checkpoint_interval")
WAYS = "leave out what differs to go on with the run, or choose another folder with --out"


def run_to_resume(arguments: Sequence[str]) -> RunDirectory | None:
    """The run that `--out RUN --resume` goes on with; None where nothing is to be resumed, or nothing was begun."""
    folder = folder_to_resume(arguments)
    run = None if folder is None else RunDirectory(folder)
    return run if run is not None and run.config_path.exists() else None


def folder_to_resume(arguments: Sequence[str]) -> Path | None:
    """The folder of `--out FOLDER --resume`; None where nothing is to be resumed."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--out")
    parser.add_argument("--resume", action="store_true")
    try:
        found, _ = parser.parse_known_args(list(arguments))
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
    selected = config.data_selection
    recorded = _recorded(config.command, ("--stream", "--share"))
    return {
        "seeds": ",".join(map(str, config.seeds)),
        "data": Path(config.data_path),
        "log_interval": config.log_interval,
        "checkpoint_interval": config.checkpoint_interval,
        "data_filter": selected.get("filter", "all"),
        "filter_cost_limit": selected.get("cost_limit"),
        "fraction": selected.get("fraction", 1.0),
        "held_out": selected.get("held_out", 0.0),
        **recorded,
    }


def _recorded(command: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Options of the first command that the configuration does not hold otherwise."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in names:
        parser.add_argument(name, default=argparse.SUPPRESS)
    try:
        return vars(parser.parse_known_args(list(command))[0])
    except argparse.ArgumentError:
        return {}


def check_agreement(run: RunDirectory, options: Any, config: RunConfig, faults: Faults) -> None:
    """Gather in `faults`, with flags, the run's values and the given ones, where options of `surefoot train` say
    something else than the run, or ask for a longer training that it cannot go on with. Where the data lie may differ,
    and before the first update the intervals."""
    step = run.latest_step()
    defaults = train_defaults(config)
    names = ("data_filter", "filter_cost_limit", "fraction", "held_out", *(INTERVALS if step else ()))
    trained = {name: defaults[name] for name in names} | {"seeds": list(config.seeds)}
    found = {name: getattr(options, name) for name in names}
    found |= {"seeds": faults.attempt(lambda: list(parse_seeds(options.seeds)), trained["seeds"])}
    earlier = from_hyperparameters(type(options.hyper), config.hyperparameters, source=str(run.config_path))
    counts = {name for name in flat(earlier) if name.endswith(COUNTS)}
    trained |= {name: value for name, value in prefixed(earlier).items() if name not in counts}
    found |= {name: value for name, value in prefixed(options.hyper).items() if name not in counts}
    with faults.also():
        refuse_differing(run, trained, found)
    if step:
        asked = flat(options.hyper)
        longer = change(earlier, **{name: asked[name] for name in counts})
        with faults.also():
            _check_longer(run, config, earlier, longer, step=step, spec=config.spec)


def prefixed(config: Any, prefix: str = "") -> dict[str, Any]:
    """The hyper-parameters of a configuration, those of nested ones as "guide.steps"."""
    found: dict[str, Any] = {}
    for name, value in flat(config).items():
        nested = dataclasses.is_dataclass(value) and not isinstance(value, type)
        found |= prefixed(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return found


def refuse_differing(run: RunDirectory, trained: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Raise `ConfigError` where a given value is not the run's; all of them are named in one sentence."""
    if sentence := differing(trained, found):
        raise ConfigError(f"{run.path}: {sentence}; {WAYS}.")


def differing(there: Mapping[str, Any], found: Mapping[str, Any], *, whose: str = "the run") -> str:
    """The flags whose values differ, with what is there and what was found; empty where none does."""
    return "; ".join(
        f"{flag(name)}: {whose} has {_shown(value)}, found {_shown(found[name])}"
        for name, value in there.items()
        if found[name] != value
    )


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "none"
    return str(value) if isinstance(value, str) else shown(value)


def agreed(run: RunDirectory, config: RunConfig, algorithm: Algorithm) -> RunConfig:
    """The configuration to go on with: that of the folder, made longer where `config` asks for that and the updates
    done are the first of the longer training, which is then written. Raises `ConfigError`, where they are not with the
    reason, and where the run is another one."""
    there, step = run.read_config(), run.latest_step()
    there = _with_intervals(run, there, config, step=step)
    if there.identity == config.identity:
        return there
    alike = dataclasses.replace(config, hyperparameters=there.hyperparameters)
    if alike.identity != there.identity:
        run.check_identity(config)
    earlier = from_hyperparameters(type(algorithm), there.hyperparameters, source=str(run.config_path))
    changed = changed_counts(earlier, algorithm)
    if not changed:
        run.check_identity(config)
        return there
    asked = _check_longer(run, there, earlier, algorithm, step=step, spec=config.spec)
    longer = there.extended({name: flat(algorithm)[name] for name in changed}, updates=step, command=config.command)
    run.rewrite(longer)
    say(f"{run.path}: {asked}; it goes on after {step:,} updates.")
    return longer


def _check_longer(
    run: RunDirectory, there: RunConfig, earlier: Any, algorithm: Algorithm, *, step: int, spec: DataSpec
) -> str:
    """The changed numbers of updates in words; empty where none is. Raises `ConfigError` where a run of the algorithm
    `earlier` cannot go on with those of `algorithm`."""
    changed = changed_counts(earlier, algorithm)
    if not changed:
        return ""
    before, after = flat(earlier), flat(algorithm)
    idle = [name for name in changed if change(earlier, **{name: after[name]}).phases == earlier.phases]
    refuse_differing(run, {name: before[name] for name in idle}, after)  # of phases that it lacks
    asked = "; ".join(
        f"{flag(name)}: the run has {there.hyperparameters[name]:,}, found {after[name]:,}" for name in changed
    )
    reason = why_not_longer(earlier, algorithm, changed, step=step, log_interval=there.log_interval, spec=spec)
    if reason is not None:
        raise ConfigError(f"{run.path}: {asked}; the run cannot go on so: {reason}; {WAYS}.")
    return asked


def recorded_options(run: RunDirectory, kind: type[T], *, command: str) -> T:
    """The options of the command that began a run, which its configuration keeps. Raises `ConfigError` where that was
    another command."""
    words = run.read_config().command
    if words[:2] != ("surefoot", command):
        raise ConfigError(
            f"{run.path}: expected a run of surefoot {command}, found one of {' '.join(words[:2]) or 'others'}; "
            f"choose another folder with --out."
        )
    return parse(kind, words[2:], command=command)


def _with_intervals(run: RunDirectory, there: RunConfig, config: RunConfig, *, step: int) -> RunConfig:
    """The run's configuration with the intervals of `config`, which may differ before the first update only: later a
    row of metrics would begin elsewhere."""
    found = {name: getattr(config, name) for name in INTERVALS}
    if step:
        refuse_differing(run, {name: getattr(there, name) for name in INTERVALS}, found)
        return there
    changed = dataclasses.replace(there, **found)
    if changed != there:
        run.rewrite(changed)
    return changed
