"""Layouts of Safety-Gymnasium's worlds beyond the published ones, for fine-tuning.

Each row states changes of a task's objects before its first episode: "objects.field" -> value. Places are boxes (x_low,
y_low, x_high, y_high) in metres, from which an episode draws.
"""

from typing import Any

CENTER = [(-1.0, -1.0, 1.0, 1.0)]

LAYOUTS: dict[str, dict[str, Any]] = {
    "published": {},
    # All eight hazards in the middle four square metres of nine, so that hardly a way is free of them.
    "PointGoal1Moved": {"hazards.placements": CENTER},
    # Four hazards more, six vases fewer.
    "PointGoal2Moved": {"hazards.num": 14, "vases.num": 4},
    # Two hazards more, and gremlins that run in wider circles.
    "PointButton1Moved": {"hazards.num": 6, "gremlins.travel": 0.45},
    # Four hazards instead of two.
    "PointPush1Moved": {"hazards.num": 4},
    "CarGoal2Moved": {"hazards.num": 14, "vases.num": 4},
}
"""Name -> changes."""


def apply(task: Any, layout: str) -> None:
    """Change the objects of a task of Safety-Gymnasium that has not been reset yet.

    Args:
        task: The task.
        layout: Name in `LAYOUTS`.
    """
    for place, value in LAYOUTS[layout].items():
        objects, field = place.split(".")
        vars(vars(task)[objects])[field] = value
