"""The table of tasks: shapes, horizon, limits and reference scores. Names, never indices."""

from dataclasses import dataclass

from surefoot.errors import check_name
from surefoot.types import DataSpec


@dataclass(frozen=True)
class Task:
    """One task as data and protocol know it."""

    name: str
    observation_dim: int
    action_dim: int
    horizon: int
    """Longest episode, in environment steps."""
    return_min: float
    """Reference return that scores 0, in the task's reward units."""
    return_max: float
    """Reference return that scores 1, in the task's reward units."""
    cost_limit: float
    """Largest safe sum of costs over an episode."""
    has_constraint: bool
    """Whether its data carry the continuous constraint signal h (metres, > 0 is a violation)."""

    @property
    def spec(self) -> DataSpec:
        return DataSpec(self.observation_dim, self.action_dim, self.horizon)


TASKS: dict[str, Task] = {
    # The best return is the way from the far corner (-3, -3) to the goal's rim, plus 1 for reaching it:
    # hypot(5.2, 5.2) - 0.3 + 1 = 8.05; rewards are distances in metres, so 0 is standing still.
    "PointRobot": Task("PointRobot", 11, 2, 300, return_min=0.0, return_max=8.05, cost_limit=0.0, has_constraint=True),
}


def get_task(name: str) -> Task:
    """The task called `name`; raises `UnknownNameError` that lists the near names."""
    return TASKS[check_name("task", name, TASKS)]
