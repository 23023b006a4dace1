"""Options of a collection of data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from surefoot.ranges import SEED, Range, Ranged

TRANSITIONS = 100_000


@dataclass(frozen=True, kw_only=True)
class CollectRequest(Ranged):
    """Which data, by whom, and where they go."""

    task: str = "PointRobot"
    """PointRobot, PointRobotSlow, one of DSRL's, by either name, one of TREBI's, or a task file with an environment."""
    recipe: Literal["default", "medium-replay"] = "default"
    """default: the task's own, as above. medium-replay: SAC's replay buffer, for TREBI's tasks."""
    transitions: Annotated[int | None, Range("[1, 10^9]")] = None
    """Rows of the file, by default 100,000 (HazardRun: 18,000, Vision: 20,000, navigation by drivers 330,000 or
    220,000): exactly so many for PointRobot, at least so many, in whole episodes, elsewhere. Not with the recipe
    medium-replay, whose file holds all whole episodes."""
    seed: Annotated[int, Range(SEED)] = 0
    """Of all randomness; the same seed gives the same data."""
    policy: str | None = None
    """Task files only: who acts. "random" (actions held for a few steps; the default), "pid" (the environment's own,
    where it brings one), or "module:function", called with each observation, in the task file's units."""
    episodes: Annotated[int | None, Range("[1, 10^7]")] = None
    """Task files only: whole episodes, in place of transitions."""
    noise: Annotated[float | None, Range("[0, 10]")] = None
    """Task files only: standard deviation of the noise on the policy's actions, in halves of their ranges."""
    steps: Annotated[int | None, Range("[1, 10^9]")] = None
    """Learners only: environment steps to simulate, of which the file keeps a part, or all of them with the recipe
    medium-replay; by default as the recipe says."""
    workers: Annotated[int | None, Range("[0, 1024]")] = None
    """Simulators only: processes that simulate, 0 for this one; by default one per core. The data do not depend on it
    unless a process dies. Not with the recipe medium-replay, which simulates in this process."""
    out: Path
    """HDF5 file to write, in DSRL's format, or a log that ends in .csv for task files; images in our own format of
    frames, those of a robot's cameras as a folder of episodes."""
    overwrite: bool = False
    """Replace the file if it exists."""

    def rows(self, default: int = TRANSITIONS) -> int:
        """Requested transitions; `default` where none are requested."""
        return default if self.transitions is None else self.transitions
