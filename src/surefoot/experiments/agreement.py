"""Checks that a run to resume is the requested one, or can become a longer one."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

from surefoot.errors import ConfigError, option
from surefoot.faults import Faults
from surefoot.hyperparameters import change, flat, from_hyperparameters, prefixed
from surefoot.observer import Observer
from surefoot.protocols import Algorithm
from surefoot.ranges import shown
from surefoot.training import RunConfig, RunDirectory
from surefoot.training.longer import COUNTS, changed_counts, why_not_longer
from surefoot.types import DataSpec

INTERVALS = ("log_interval", "checkpoint_interval")


class Training(Protocol):
    """Parts of a training request that are compared with a run, with the fields of `selected`."""

    @property
    def algorithm(self) -> Algorithm: ...

    @property
    def seeds(self) -> tuple[int, ...]: ...


def ways() -> str:
    """Advice where a run differs from the request."""
    return f"leave out what differs to go on with the run, or choose another folder with {option('out')}"


def check_agreement(run: RunDirectory, request: Training, faults: Faults) -> None:
    """Collect the differences between a training request and the run to resume.

    The path of the data may differ, and before the first update the intervals.

    Args:
        run: Folder of the run.
        request: The request.
        faults: Collects a sentence for each difference, and a longer training that the run cannot become.
    """
    config, step = run.read_config(), run.latest_step()
    defaults = selected(config) | {name: getattr(config, name) for name in INTERVALS}
    names = (*selected(config), *(INTERVALS if step else ()))
    trained = {name: defaults[name] for name in names} | {"seeds": list(config.seeds)}
    found = {name: getattr(request, name) for name in names} | {"seeds": list(request.seeds)}
    earlier = from_hyperparameters(type(request.algorithm), config.hyperparameters, source=str(run.config_path))
    counts = {name for name in flat(earlier) if name.endswith(COUNTS)}
    trained |= {name: value for name, value in prefixed(earlier).items() if name not in counts}
    found |= {name: value for name, value in prefixed(request.algorithm).items() if name not in counts}
    with faults.also():
        refuse_differing(run, trained, found)
    if step:
        wanted = flat(request.algorithm)
        longer = change(earlier, **{name: wanted[name] for name in counts})
        with faults.also():
            check_longer(run, config, earlier, longer, step=step, spec=config.spec)


def selected(config: RunConfig) -> dict[str, Any]:
    """Selection of episodes that a run was trained on, as the fields of a training request."""
    record = config.data_selection
    return {
        "data_filter": record.get("filter", "all"),
        "filter_cost_limit": record.get("cost_limit"),
        "fraction": record.get("fraction", 1.0),
        "held_out": record.get("held_out", 0.0),
    }


def agreed(run: RunDirectory, config: RunConfig, algorithm: Algorithm, *, observer: Observer) -> RunConfig:
    """Configuration to resume a run with; it is extended, and written, where more updates are requested.

    Args:
        run: Folder of the run.
        config: Requested configuration.
        algorithm: Requested algorithm.
        observer: Receives a note on the extension.

    Returns:
        The configuration.

    Raises:
        ConfigError: The run is another one, or its updates are not the first ones of the longer training.
    """
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
    asked = check_longer(run, there, earlier, algorithm, step=step, spec=config.spec)
    longer = there.extended({name: flat(algorithm)[name] for name in changed}, updates=step, command=config.command)
    run.rewrite(longer)
    observer.say(f"{run.path}: {asked}; it goes on after {step:,} updates.")
    return longer


def check_longer(
    run: RunDirectory, there: RunConfig, earlier: Any, algorithm: Algorithm, *, step: int, spec: DataSpec
) -> str:
    """Check that a run can be extended.

    Args:
        run: Folder of the run.
        there: Its configuration.
        earlier: Its algorithm.
        algorithm: Requested algorithm.
        step: Updates done.
        spec: Shapes of the data.

    Returns:
        The changed numbers of updates in words; empty without changes.

    Raises:
        ConfigError: The run cannot go on with the requested numbers.
    """
    changed = changed_counts(earlier, algorithm)
    if not changed:
        return ""
    before, after = flat(earlier), flat(algorithm)
    idle = [name for name in changed if change(earlier, **{name: after[name]}).phases == earlier.phases]
    refuse_differing(run, {name: before[name] for name in idle}, after)  # of phases that it lacks
    asked = "; ".join(
        f"{option(name)}: the run has {there.hyperparameters[name]:,}, found {after[name]:,}" for name in changed
    )
    reason = why_not_longer(earlier, algorithm, changed, step=step, log_interval=there.log_interval, spec=spec)
    if reason is not None:
        raise ConfigError(f"{run.path}: {asked}; the run cannot go on so: {reason}; {ways()}.")
    return asked


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


def refuse_differing(run: RunDirectory, trained: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Raise one `ConfigError` that names all values in which a request differs from a run.

    Args:
        run: Folder of the run.
        trained: The run's values by option.
        found: Requested values by option.
    """
    if sentence := differing(trained, found):
        raise ConfigError(f"{run.path}: {sentence}; {ways()}.")


def differing(there: Mapping[str, Any], found: Mapping[str, Any], *, whose: str = "the run") -> str:
    """Options whose values differ, with both values.

    Args:
        there: Values by option.
        found: Requested values by option.
        whose: Owner of the former values, in words.

    Returns:
        A clause; empty without differences.
    """
    return "; ".join(
        f"{option(name)}: {whose} has {_shown(value)}, found {_shown(found[name])}"
        for name, value in there.items()
        if found[name] != value
    )


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "none"
    return str(value) if isinstance(value, str) else shown(value)
