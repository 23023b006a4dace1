"""Descriptions of tasks in a sentence or two, for readers of a report."""

from surefoot.tasks import CostLimit, RunTimeBudget, Signal, Task
from surefoot.tasks.task_file import ConstraintTable
from surefoot.text import listed

_BUDGET = "How much an episode may cost is given at run time."
_LAG = "PointRobot, whose acceleration follows the commanded one with a lag of a second"
OURS = {
    "PointRobot": "A robot drives on a square of 6 m towards a goal, past two round hazards of 0.8 m. It chooses "
    "acceleration and turn rate 20 times a second; at 1.5 m/s it takes 1.1 m to stop, so that a state outside the "
    "hazards may be lost.",
    "PointRobotSlow": f"{_LAG}: what is decided now shows seconds later.",
    "PointRobotSlowCosts": f"{_LAG}, without h in its data: costs alone tell where the hazards are.",
    "PointRobotPixels": "PointRobot seen from above: hazards, goal and robot are known from small images alone.",
    "HazardRun": "A runner on images of 16 x 16 pixels must pass a hazard that is visible in the image alone.",
    "HazardRunShifted": "HazardRun with its hazard where the offline data never had it.",
    "SafePendulum": f"A pendulum is to be swung up, where a range of angles costs. {_BUDGET}",
    "SafeReacher": f"An arm of two joints reaches for a target, where a part of the plane costs. {_BUDGET}",
}
"""Descriptions of Surefoot's own tasks."""


def task_sentence(task: Task) -> str:
    """Sentences on a task's system and its constraints."""
    held = f"Safe means {listed([_constraint(task, one) for one in task.constraints])}." if task.constraints else ""
    ours = OURS.get(task.name) if task.file is None else None
    return f"{ours or _system(task)} {held}".strip()


def _system(task: Task) -> str:
    """Sizes of a task, with the names of a task file's columns."""
    if task.image_shape is not None:
        height, width, channels = task.image_shape
        seen = f"images of {height} x {width} x {channels}"
    else:
        seen = f"{task.observation_dim:,} numbers"
    chosen = "one number" if task.action_dim == 1 else f"{task.action_dim:,} numbers"
    where = "" if task.dsrl_id is None else " of the DSRL benchmark"
    if task.file is not None:
        seen = _named(seen, task.file.observation.columns)
        chosen = _named(chosen, task.file.action.columns)
        where = " described by a task file"
    sizes = f"the policy sees {seen}, chooses {chosen}, and an episode has at most {task.horizon:,} steps"
    return f"{task.name}{where}: {sizes}."


def _named(count: str, columns: tuple[str, ...] | None) -> str:
    """A size, with a few of the columns' names."""
    names = list(columns or ())
    return f"{count} ({', '.join(names[:4])}{', ...' if len(names) > 4 else ''})" if names else count


def _constraint(task: Task, constraint: CostLimit | Signal | RunTimeBudget) -> str:
    if isinstance(constraint, Signal):
        tables = () if task.file is None else task.file.signals
        named = [_signal(one) for one in tables]
        return listed(named) if named else "a constraint signal h of at most 0"
    if isinstance(constraint, RunTimeBudget):
        return "a summed cost within the budget that is given at run time"
    limit = constraint.limit
    return "an episode without cost" if limit == 0 else f"a summed cost of at most {limit:g} an episode"


def _signal(table: ConstraintTable) -> str:
    """A signal by its name and what it is computed from."""
    source = table.expression or table.column or "h"
    return f"{table.name} ({source} {'<=' if table.safe != 'above 0' else '>='} 0)"
