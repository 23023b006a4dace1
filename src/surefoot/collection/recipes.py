"""Recipes to collect the data of each task, after DSRL (arXiv 2306.09303, appendix A).

A learner trains from scratch while its cost limit rises: safe and slow at first, fast and reckless at the end. DSRL
used TRPO-Lagrangian; ours is PPO with the same PID multiplier, several epochs an iteration, and a last stretch without
limit, so that the best return is included. Where a learner is slow, most episodes are those of scripted drivers of
drawn caution, speed and noise, and the learner adds its first iterations.
"""

from dataclasses import dataclass, field, replace
from typing import Annotated

from surefoot.collection.ppo import PPO
from surefoot.constraints import PIDGains
from surefoot.ranges import COUNT, Range, Ranged
from surefoot.tasks import Task

NO_LIMIT = 10.0
"""A limit in units of the reference range of costs that no episode reaches."""


@dataclass(frozen=True)
class Recipe(Ranged):
    """Amount of simulation, and schedule of the cost limit. Hashable."""

    steps: Annotated[int, Range("[1, 10^9]")] = 1_000_000
    """Environment steps in all, over all runs and simulators."""
    transitions: Annotated[int, Range("[1, 10^9]")] = 100_000
    """At least so many of them are kept, in whole episodes."""
    scripted: Annotated[float, Range("[0, 1]")] = 0.0
    """Share of the steps that scripted drivers make, in whole episodes, before the learners begin."""
    lanes: Annotated[int, Range("[1, 65536]")] = 16
    """Simulators side by side."""
    iteration: Annotated[int, Range(COUNT)] = 500
    """Steps of each simulator between two updates of the learner."""
    runs: Annotated[int, Range("[1, 10000]")] = 1
    """Learners one after the other, each from scratch with the whole schedule: what one never finds, another may."""
    limits: Annotated[tuple[tuple[float, float], ...], Range("[0, inf)", fewest=1)] = (
        (0.0, 0.0), (0.2, 0.0), (0.65, 1.0), (0.65, NO_LIMIT), (1.0, NO_LIMIT),
    )  # fmt: skip
    """The cost limit over a run: (share of the run done, limit in units of the task's reference range of costs), joined
    by straight lines; the later of two points at one place holds from there on."""
    learner: PPO = field(default_factory=PPO)
    """The learner's hyper-parameters."""

    @property
    def iterations(self) -> int:
        """Iterations of one run, at least 1; 0 where all episodes are scripted."""
        if self.scripted == 1.0:
            return 0
        return max(1, round((1.0 - self.scripted) * self.steps / (self.runs * self.lanes * self.iteration)))

    @property
    def learned_steps(self) -> int:
        """Environment steps of the learners, in whole iterations."""
        return self.runs * self.iterations * self.lanes * self.iteration

    def rounds(self, task: Task) -> int:
        """Rounds of scripted episodes, one an environment; at least 1 where any are wanted."""
        if self.scripted == 0.0:
            return 0
        return max(1, round(self.scripted * self.steps / (self.lanes * task.horizon)))

    def total_steps(self, task: Task) -> int:
        """Environment steps in all, in whole rounds and iterations; fewer where scripted episodes end before the
        horizon."""
        return self.rounds(task) * self.lanes * task.horizon + self.learned_steps


def cost_limit(recipe: Recipe, task: Task, *, iteration: int) -> float:
    """Cost limit of an iteration.

    Args:
        recipe: Recipe with the schedule.
        task: Task with its reference range of costs.
        iteration: Iteration of a run, counted from 0.

    Returns:
        Limit on the undiscounted cost of an episode.
    """
    done = iteration / recipe.iterations
    share, limit = [point for point in recipe.limits if point[0] <= done][-1]
    for next_share, next_limit in recipe.limits:
        if next_share > done:
            limit += (next_limit - limit) * (done - share) / (next_share - share)
            break
    return limit * task.cost_return_max


_SOFT_START = ((0.0, 1.0), (0.12, 0.0), (0.3, 0.0), (0.7, 1.0), (0.7, NO_LIMIT), (1.0, NO_LIMIT))
"""The limit falls before it rises. Where chance actions cost much, a limit of 0 from the start teaches to stand still,
and a learner that stands still never finds out what moving is worth."""

_FREE_START = (
    *((0.0, NO_LIMIT), (0.15, NO_LIMIT), (0.15, 0.5), (0.3, 0.0)),
    *((0.7, 0.0), (0.85, 1.0), (0.85, NO_LIMIT), (1.0, NO_LIMIT)),
)
"""No limit at all until the learner has found out what moving is worth, then as a soft start: a car that turns in
circles of its own leaves the bounds before it earns anything. Long under a limit of 0: a fast lap is safe only by
practice, and where a tenth of the stretch was given to it a twentieth of the file was safe."""

_FAST_AND_CAREFUL = (
    *((0.0, NO_LIMIT), (0.1, NO_LIMIT), (0.1, 0.3), (0.2, 0.02)),
    *((0.6, 0.02), (0.8, 1.0), (0.8, NO_LIMIT), (1.0, NO_LIMIT)),
)
"""Where the cost is a speed limit the best safe episodes run just below it: long under a limit of a few steps, which,
unlike none, the multiplier can hold without stopping the robot."""

_GENTLE = PIDGains(proportional=2.0, integral=0.2, derivative=2.0)
_BALL = PPO(least_deviation=0.2, target_divergence=0.05, gains=_GENTLE)
_CAR = replace(_BALL, minibatch=256)
_CIRCLE = Recipe(
    steps=1_500_000,
    lanes=16,
    iteration=300,
    limits=_FREE_START,
    learner=replace(_BALL, least_deviation=0.1, gains=replace(_GENTLE, integral=0.6)),
)
"""Of CarCircle, and for whatever else must learn to move before it turns in circles: with a limit of 0 from the start 3
of DroneCircle's 526 episodes were safe, and none of them earned anything. The drone takes twice as many steps: in
half of them its best safe return was 0.05, not 0.45."""

_RUNNER = Recipe(
    steps=3_000_000,
    lanes=8,
    iteration=1000,
    limits=_FAST_AND_CAREFUL,
    learner=PPO(least_deviation=0.1, gains=_GENTLE),
)
"""Of HalfCheetahVelocity, and of what must learn to walk before it may run: of Walker2dVelocity's safe episodes in a
million steps of the general recipe the best had a return of 0.28."""

_HOPPER = replace(
    _RUNNER,
    iteration=250,
    limits=(
        *((0.0, NO_LIMIT), (0.3, NO_LIMIT), (0.3, 0.3), (0.4, 0.02)),
        *((0.8, 0.02), (0.9, 1.0), (0.9, NO_LIMIT), (1.0, NO_LIMIT)),
    ),
)
"""Four times as many updates, and three times as long without limit: with a runner's recipe it fell before it
hopped, and the best return of its safe episodes was 0.10."""

_NAVIGATION = Recipe(
    steps=360_000,
    transitions=330_000,
    scripted=0.75,
    lanes=12,
    limits=((0.0, 0.0), (0.5, 1.0), (0.5, NO_LIMIT), (1.0, NO_LIMIT)),
)
"""22 rounds of scripted drivers, then a learner's first 15 iterations. Nearly all is kept: what to do is told by lidars
in a new place each time, and with 134 episodes of PointGoal1 in place of 330 a policy that was to keep within a cost of
10 spent 40."""

_CROWDED = replace(_NAVIGATION, steps=240_000, transitions=220_000)
"""Of navigation of the second level, whose simulator makes 200 steps a second."""

_ROADS = Recipe(steps=200_000, scripted=1.0, lanes=4)
"""50 rounds of scripted drivers alone: a lane is a process of 400 MB, and in 16,000 steps a learner had ended two
episodes."""

RECIPES: dict[str, Recipe] = {
    "BallRun": Recipe(
        steps=1_000_000,
        lanes=32,
        iteration=100,
        runs=2,
        limits=((0.0, 0.0), (0.15, 0.0), (0.6, 1.0), (0.6, NO_LIMIT), (1.0, NO_LIMIT)),
        learner=PPO(least_deviation=0.2, target_divergence=0.05),
    ),
    "BallCircle": Recipe(steps=700_000, lanes=16, iteration=200, limits=_SOFT_START, learner=_BALL),
    "CarRun": Recipe(steps=200_000, lanes=8, iteration=200, limits=_SOFT_START, learner=_CAR),
    "CarCircle": _CIRCLE,
    "AntCircle": replace(_CIRCLE, iteration=500),
    "DroneCircle": replace(_CIRCLE, steps=3_000_000),
    "HalfCheetahVelocity": _RUNNER,
    "HopperVelocity": _HOPPER,
    "Walker2dVelocity": _RUNNER,
    "navigation": _NAVIGATION,
    "crowded navigation": _CROWDED,
    "roads": _ROADS,
}
"""Those of Ball, Car and HalfCheetah were tuned on two CPU cores, until what they leave behind covered the reference
range of costs and held good safe episodes (results/plan_data). `Recipe()`, which all other tasks take, is a first
guess."""


def recipe_of(task: Task) -> Recipe:
    """The recipe of a simulated task: its own, or the general one."""
    return RECIPES.get(task.recipe or task.name, Recipe())
