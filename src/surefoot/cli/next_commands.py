"""Commands that are printed for the user to run next; they run as printed."""

from collections.abc import Mapping
from pathlib import Path

from surefoot.errors import flag
from surefoot.protocols import Algorithm
from surefoot.tasks import Task
from surefoot.text import shell_word

FRESH_EPISODE = 1000
"""First of those that no calibration by default has seen."""


def measuring_command(algorithm: Algorithm, task: Task, run: Path) -> str:
    """What evaluates a run, with budgets where its algorithm plans under some; its report where there is nothing to act
    in."""
    if task.environment is None:
        return f"surefoot report {shell_word(run)}"
    command = f"surefoot evaluate {shell_word(run)}"
    return f"{command}{budgets_of(task)}" if algorithm.inputs.budget else command


def calibrated_command(task: Task, run: Path, *, level: float, margins: Mapping[str, float], fresh: bool) -> str:
    """What evaluates a run with the margins calibrated for a level. `margins`: of the planner, as they were given to
    the calibration; `fresh`: on other episodes than the first."""
    words = [f"surefoot evaluate {shell_word(run)}{budgets_of(task)} --level {level:g}"]
    words += [f"{flag(name)} {value:g}" for name, value in margins.items()]
    return " ".join([*words, *([f"--first-episode {FRESH_EPISODE}"] if fresh else [])])


def budgets_of(task: Task) -> str:
    """Budgets to measure a planner under, as options."""
    if task.budget is not None:
        return " --budget 0.2 0.4 0.6 0.8 1.0"
    limits = task.dsrl_cost_limits or (task.cost_limit,)
    return f" --cost-limit {' '.join(f'{limit:g}' for limit in limits)}"
