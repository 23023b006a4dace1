"""FOSP's and SafeDreamer's tasks of Safety-Gymnasium: seen by a camera in front and one behind, decided on every fourth
step (arXiv 2407.04942 and 2307.07176), each as published and in a changed layout to fine-tune on.

Reference returns are those of the same task on vectors (DSRL's), where there are some: no one published others.
"""

from dataclasses import replace

from surefoot.tasks.constraint import CostLimit
from surefoot.tasks.dsrl import DSRL_TASKS
from surefoot.tasks.reference import Reference
from surefoot.tasks.task import Task
from surefoot.vision import Vision

SUFFIX, MOVED = "Vision", "Moved"
STEPS = 1000
"""Of the simulator in an episode."""
_TASKS = (
    ("PointGoal1", "Point", "Goal"),
    ("PointGoal2", "Point", "Goal"),
    ("PointButton1", "Point", "Button"),
    ("PointPush1", "Point", "Push"),
    ("CarGoal2", "Car", "Goal"),
)


def _task(name: str, vision: Vision) -> Task:
    base = DSRL_TASKS[name]
    assert base.environment is not None
    make = Reference("surefoot.envs.simulators.vision:VisionBackend", base.environment.make.arguments)
    height, width, channels = vision.image_shape
    return replace(
        base,
        name=f"{name}{SUFFIX}" + ("" if vision.layout == "published" else MOVED),
        observation_dim=height * width * channels,
        horizon=STEPS // vision.action_repeat,
        constraints=(CostLimit(0.0),),
        environment=replace(base.environment, make=make, vision=vision),
        driver=None,
        recipe=None,
        presets="cameras",
        still_columns=(),
        dsrl_id=None,
        dsrl_file=None,
        dsrl_cost_limits=(),
        image_shape=vision.image_shape,
    )


VISION_TASKS: dict[str, Task] = {
    task.name: task
    for name, robot, kind in _TASKS
    for task in (_task(name, Vision(robot, kind, "published")), _task(name, Vision(robot, kind, f"{name}{MOVED}")))
}
"""Name -> task."""
