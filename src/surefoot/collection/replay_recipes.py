"""Recipes of the medium-replay data of TREBI's tasks: SAC from scratch, costs ignored, its whole replay buffer kept.

TREBI's data come from Stable-Baselines3 with one environment and one update a step, 20,000 steps of the pendulum and
200,000 of the reacher (arXiv 2306.00603, its code); D4RL's medium-replay from a similar run, until a medium policy.
"""

from dataclasses import dataclass, field, replace
from typing import Annotated

from surefoot.collection.sac import SAC
from surefoot.errors import ConfigError, check_name, option
from surefoot.ranges import COUNT, NUMBER, Range, Ranged
from surefoot.tasks import Task


@dataclass(frozen=True)
class ReplayRecipe(Ranged):
    """Amount of simulation and learning. Hashable."""

    steps: Annotated[int, Range("[1, 10^9]")] = 300_000
    """Environment steps in all, over all lanes; the size of the buffer."""
    lanes: Annotated[int, Range("[1, 65536]")] = 1
    """Environments side by side. A round is one step of each."""
    updates: Annotated[int, Range(NUMBER)] = 1
    """Of the learner after each round."""
    warm_up: Annotated[int, Range(NUMBER)] = 100
    """Environment steps with uniform random actions before the first update."""
    action_gain: Annotated[float, Range("(0, inf)")] = 1.0
    """The environment gets the learner's action times this, clipped to [-1, 1]; the file holds what it gets."""
    part: Annotated[int, Range(COUNT)] = 1000
    """Rounds between two checkpoints. Simulators begin new episodes then, since their states cannot be kept, and the
    episodes that this breaks off are left out of the file: best a multiple of the horizon."""
    learner: SAC = field(default_factory=SAC)
    """The learner's hyper-parameters."""
    note: str = ""
    """How the recipe departs from the published one; goes into the data card."""

    @property
    def rounds(self) -> int:
        """Rounds of all environments, at least 1."""
        return max(1, self.steps // self.lanes)

    @property
    def warm_up_rounds(self) -> int:
        """Rounds without updates."""
        return min(-(-self.warm_up // self.lanes), self.rounds)


_SMALL = SAC(hidden=(128, 128), batch_size=128)
_SMALLER = "Half as wide networks and half the batch: a seventh of the arithmetic, for machines with two CPU cores."
_RUNNER = ReplayRecipe(
    steps=500_000,
    lanes=10,
    updates=6,
    warm_up=5000,
    part=2450,
    learner=SAC(hidden=(128, 128), batch_size=256),
    note="Ten lanes with six updates a round, 0.6 updates a step, and half as wide networks.",
)

REPLAY_RECIPES: dict[str, ReplayRecipe] = {
    # 100 rounds of warm-up and 20 parts: parts of one length compile once. The published environment multiplies actions
    # by 2 before it clips them, and without that push SAC does not find the way up from hanging in 20,000 steps.
    "SafePendulum": ReplayRecipe(steps=20_000, action_gain=2.0, part=995, learner=_SMALL, note=_SMALLER),
    "SafeReacher": ReplayRecipe(
        steps=200_000, lanes=10, updates=3, warm_up=1000, part=1990, learner=_SMALL,
        note=f"Ten lanes with three updates a round, 0.3 updates a step in place of 1. {_SMALLER}",
    ),
    "Hopper": _RUNNER,
    "Walker2d": _RUNNER,
    "HalfCheetah": _RUNNER,
}  # fmt: skip
"""Task, or the plain name of its robot -> recipe. Walker2d's and HalfCheetah's are
Hopper's and were not tried to the end."""


def replay_recipe(task: Task, *, steps: int | None = None) -> ReplayRecipe:
    """The medium-replay recipe of a task.

    Args:
        task: The task.
        steps: Another number of environment steps; None: the recipe's.

    Returns:
        The recipe.

    Raises:
        ConfigError: There are fewer steps than environments.
        UnknownNameError: The task has no such recipe.
    """
    name = task.recipe if task.recipe in REPLAY_RECIPES else task.name
    recipe = REPLAY_RECIPES[check_name("task with a medium-replay recipe", name, REPLAY_RECIPES)]
    if steps is None:
        return recipe
    if steps < recipe.lanes:
        raise ConfigError(f"{option('steps')}: expected at least {recipe.lanes}, one for each lane, found {steps}.")
    return replace(recipe, steps=steps)
