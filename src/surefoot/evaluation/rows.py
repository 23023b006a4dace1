"""The rows of evaluations as they lie in files, one for each episode: which columns there are, and of which type.

Rows may have more columns than are declared here.
"""

from typing import Any, NotRequired

from typing_extensions import TypedDict

EpisodeRow = TypedDict(
    "EpisodeRow",
    {
        "seed": int,
        "episode": int,
        "return": float,
        "cost": float,
        "length": int,
        "start": NotRequired[str],
        "limit": NotRequired[float],
        "normalised_return": NotRequired[float],
        "normalised_cost": NotRequired[float],
        "violating_steps": NotRequired[float],
        "reached_goal": NotRequired[bool],
        "task": NotRequired[str],
        "algorithm": NotRequired[str],
        "protocol": NotRequired[str],
    },
)
"""An episode of an evaluation from drawn starts, or by a protocol."""

BudgetRow = TypedDict(
    "BudgetRow",
    {
        "setting": str,
        "asked": str,
        "seed": int,
        "episode": int,
        "return": float,
        "cost": float,
        "discounted_cost": float,
        "length": int,
        "ratio": float | None,
        "budget": float | None,
        "exceeded": bool,
        "lanes": int,
        "step_seconds": float,
        "planner_budget": NotRequired[float | None],
        "normalised_cost": NotRequired[float | None],
        "normalised_return": NotRequired[float],
        "level": NotRequired[float | None],
        "overrides": NotRequired[dict[str, Any]],
        "step": NotRequired[int],
        "task": NotRequired[str],
        "algorithm": NotRequired[str],
    },
)
"""An episode of an evaluation under budgets."""
