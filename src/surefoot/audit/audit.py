"""The audit of a run: its values and its policy on episodes that training never saw.

All results are JSON values; "not_offered" lists sentences on abilities that a method lacks. Nothing is simulated, so no
figure says how often the policy would be safe.
"""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from surefoot.audit.actions import estimated_values, is_memoryless, support
from surefoot.audit.episodes import AuditedEpisodes, Part, audited_episodes
from surefoot.audit.signs import calibration, chosen_episodes, violations_called_feasible, warning
from surefoot.errors import ConfigError
from surefoot.evaluation.feasible_values import HasFeasibleActionValue, action_values, state_values
from surefoot.evaluation.held_out import FEWEST_EPISODES, judge
from surefoot.evaluation.value_paths import ValuePath, feasible_margins
from surefoot.numerics import pinned
from surefoot.observer import Observer
from surefoot.protocols import ActsFeasibly, Algorithm, HasFeasibleValue
from surefoot.runs.loaded import LoadedRun, load_run
from surefoot.tasks.action_units import ActionUnits


class Audit(NamedTuple):
    """Findings of an audit."""

    figures: dict[str, Any]
    """JSON values."""
    drawn: tuple[ValuePath, ...]
    """Held-out episodes to draw, by their numbers among the held-out ones; empty without V_h."""
    margin: float
    """Margin m of the first seed: a state is feasible where V_h is at most -m."""


@pinned()
def audit(
    path: Path, *, data: Path | None = None, baseline: Path | None = None, observer: Observer | None = None
) -> Audit:
    """Audit a run on the episodes that its training held out.

    Args:
        path: Folder of the run.
        data: Present path of the run's data; None: where they lay, or near the run.
        baseline: Run on the same data, such as BC, whose values are estimated beside it.
        observer: Receives progress.

    Returns:
        The findings.

    Raises:
        ConfigError: The run held out no episodes, is on images, or on other data.
        DataError: The data cannot be read.
        OutputError: The networks overflow.
    """
    observer = observer or Observer()
    run = load_run(path, {})
    episodes = audited_episodes(run.directory, run.config, data=data)
    other = None if baseline is None else _baseline(baseline, run)
    states = jax.device_get(run.states)
    parts = {"held_out": len(episodes.held_out.episodes.lengths), "training": len(episodes.training.episodes.lengths)}
    found: dict[str, Any] = {
        "task": run.config.task,
        "algorithm": run.config.algorithm,
        "seeds": list(run.config.seeds),
        "updates": run.step,
        "data": {"path": str(episodes.path), "fingerprint": run.config.data_fingerprint, "episodes": parts},
        "not_offered": _not_offered(run.algorithm, states),
    }
    drawn, margin = _signs(run.algorithm, states, episodes, found)
    with observer.progress("audit", unit="parts", compiles=True) as line:
        units = ActionUnits.with_rates(run.config.known_task().file)
        found["support"] = support(run.algorithm, states, episodes, units=units)
        line.report(1, 3)
        valued = partial(estimated_values, episodes=episodes, horizon=run.config.spec.horizon, units=units)
        if is_memoryless(run.algorithm, states):
            found["values"], found["fitted"] = valued(run.algorithm, states)
        line.report(2, 3)
        if other is not None:
            figures, _ = valued(other.algorithm, jax.device_get(other.states))
            found["baseline"] = {"algorithm": other.config.algorithm, "run": baseline.name if baseline else "",
                                 "values": figures}  # fmt: skip
        line.report(3, 3)
    return Audit(found, drawn, margin)


def _not_offered(algorithm: Algorithm, states: Any) -> list[str]:
    """Sentences, without their ends, on the values that the method lacks."""
    found = []
    if not isinstance(algorithm, HasFeasibleValue):
        found.append("signs, warnings and calibration: the method has no feasible value")
    elif not isinstance(algorithm, ActsFeasibly) or not algorithm.forbids_violations:
        found.append("the verdict on states: the method's values allow costs within a limit")
    if isinstance(algorithm, HasFeasibleValue) and not isinstance(algorithm, HasFeasibleActionValue):
        found.append("signs of actions: the method has no feasible value of actions")
    if algorithm.inputs.budget:
        found.append("values of the policy: it plans under a budget that is left, which logged rows do not hold; "
                     "`surefoot calibrate` compares its predictions with outcomes")  # fmt: skip
    elif not is_memoryless(algorithm, states):
        found.append("values of the policy: it acts from a memory, which logged rows do not hold")
    return found


def _signs(
    algorithm: Algorithm, states: Any, episodes: AuditedEpisodes, found: dict[str, Any]
) -> tuple[tuple[ValuePath, ...], float]:
    """Add what V_h and Q_h say to `found`."""
    if not isinstance(algorithm, HasFeasibleValue):
        return (), 0.0
    part = episodes.held_out
    margins = feasible_margins(algorithm, states).astype(np.float64)
    if isinstance(algorithm, ActsFeasibly):
        known = episodes.training.episodes
        if len(known.lengths) < FEWEST_EPISODES:
            few = f"expected at least {FEWEST_EPISODES} training episodes, found {len(known.lengths)}"
            found["not_offered"].append(f"the verdict on states: {few}")
        elif algorithm.forbids_violations:
            found["judged"] = {
                "training": judge(algorithm, states, known),
                "held_out": judge(algorithm, states, part.episodes, known=known),
            }
    values = state_values(algorithm, states, part.episodes.observations)
    feasible = values <= -margins[:, None]
    entered = state_values(algorithm, states, part.episodes.next_observations) <= -margins[:, None]
    actions = None
    if isinstance(algorithm, HasFeasibleActionValue):
        logged = part.episodes
        actions = action_values(algorithm, states, logged.observations, logged.actions) <= -margins[:, None]
    found["margins"] = margins.tolist()
    found["violations"] = violations_called_feasible(part, entered, actions)
    found["warning"] = warning(part.episodes, feasible)
    found["calibration"] = calibration(part.episodes, values, margins)
    return tuple(_drawn(part, values, number) for number in chosen_episodes(part.episodes, feasible[0])), margins[0]


def _drawn(part: Part, values: Float[np.ndarray, "seed n"], number: int) -> ValuePath:
    rows = slice(part.episodes.episode_starts[number], part.episodes.episode_ends[number])
    return ValuePath(int(number), values[:, rows], part.episodes.violating[rows])


def _baseline(path: Path, run: LoadedRun) -> LoadedRun:
    """A baseline run on the episodes of the audited one. Raises `ConfigError` for others, or one that acts from a
    memory or a budget."""
    other = load_run(path, {})
    mine, theirs = (
        (one.config.data_selection.get("held_out"), one.config.data_selection.get("held_out_seed"), one.config.spec)
        for one in (run, other)
    )
    same = other.config.task == run.config.task and mine == theirs
    if not same or (
        other.config.data_selection == run.config.data_selection
        and other.config.data_fingerprint != run.config.data_fingerprint
    ):
        raise ConfigError(f"{path}: expected a run on the task and the data of {run.directory.path}, found others.")
    if not is_memoryless(other.algorithm, jax.device_get(other.states)):
        raise ConfigError(
            f"{path}: expected a policy that acts from the observation alone, found one of {other.config.algorithm}."
        )
    return other
