"""TREBI's tasks (Lin et al., ICML 2023): two toys of its own, and MuJoCo's runners that pay for speed.

A budget is a sum of costs over an episode that is chosen at deployment, often as a share of what the unconstrained
planner spends. That maximum, and how a discounted sum compares with an undiscounted one, belong to a set of data. So
the runners are there once for each of D4RL's sets, by its name; all sets of one robot share the simulator. The plain
names (Hopper, ...) stand for the set that `surefoot collect` makes anew: Hopper's maximum was measured on it (its best
tenth of the episodes), Walker2d's and HalfCheetah's are still those of D4RL's medium-replay.

Reference returns of the runners are D4RL's public ones (random policy, expert). Those of the toys were measured here:
the mean return of uniform random actions over 500 and 40 episodes, and the best episode of SAC's training.
"""

from collections.abc import Iterator
from typing import Any

from surefoot.tasks.constraint import RunTimeBudget
from surefoot.tasks.environment import Environment, own
from surefoot.tasks.reference import Reference
from surefoot.tasks.task import D4RLData, Task

BUDGETS: dict[str, RunTimeBudget] = {
    "hopper-medium-v2": RunTimeBudget(1800.0, 129.940, 129 / 1878),
    "hopper-medium-replay-v2": RunTimeBudget(2000.0, 139.884, 139 / 2040),
    "hopper-medium-expert-v2": RunTimeBudget(2600.0, 168.918, 168 / 2617),
    "walker2d-medium-v2": RunTimeBudget(2600.0, 159.512, 163 / 2665),
    "walker2d-medium-replay-v2": RunTimeBudget(2000.0, 160.251, 147 / 2185),
    "walker2d-medium-expert-v2": RunTimeBudget(4000.0, 234.076, 234 / 3945),
    "halfcheetah-medium-v2": RunTimeBudget(5400.0, 414.008, 421 / 5456),
    "halfcheetah-medium-replay-v2": RunTimeBudget(4800.0, 384.375, 365 / 4883),
    "halfcheetah-medium-expert-v2": RunTimeBudget(10000.0, 730.746, 710 / 11080),
    "Hopper": RunTimeBudget(2400.0, 157.36, 0.0674),
    "SafePendulum": RunTimeBudget(60.0, 16.70, 0.336),
    "SafeReacher": RunTimeBudget(14.29, 10.84, 0.728),
}
"""Set of data -> its budget (the public implementation's table), Hopper's of our own data; costs in the task's units
(metres per second, summed over steps, for the runners)."""


def _travel(time_step: float, alive: float, control: float) -> D4RLData:
    """Costs of D4RL's runners: the speed."""
    arguments = (("time_step", time_step), ("alive", alive), ("control", control))
    return D4RLData(Reference("surefoot.data.travel:TravelCost", arguments))


# robot, name in D4RL, observation_dim, action_dim, D4RL's returns of the random policy and the expert, its costs
_RUNNERS = (
    ("Hopper", "hopper", 11, 3, -20.272305, 3234.3, _travel(0.008, alive=1.0, control=1e-3)),
    ("Walker2d", "walker2d", 17, 6, 1.629008, 4592.3, _travel(0.008, alive=1.0, control=1e-3)),
    ("HalfCheetah", "halfcheetah", 17, 6, -280.178953, 12135.0, _travel(0.05, alive=0.0, control=0.1)),
)
_KINDS = ("medium", "medium-replay", "medium-expert")


def _mujoco(simulator_id: str) -> Environment:
    """A Gymnasium robot as a task of TREBI's."""
    make = Reference(
        "surefoot.envs.simulators.gymnasium_mujoco:GymnasiumMujocoBackend", (("simulator_id", simulator_id),)
    )
    return Environment(make, "simulator", packages=("gymnasium", "mujoco"))


def _task(name: str, budget: RunTimeBudget, *shape: int, returns: tuple[float, float], **more: Any) -> Task:
    """`shape`: numbers in an observation and in an action, and steps of an episode."""
    return Task(
        name, *shape, return_min=returns[0], return_max=returns[1], constraints=(budget,), deterministic=True,
        cost_return_max=budget.maximum, **more,
    )  # fmt: skip


def _runners() -> Iterator[Task]:
    for robot, stem, observation_dim, action_dim, low, high, costs in _RUNNERS:
        again = robot if robot in BUDGETS else f"{stem}-medium-replay-v2"
        for name in (robot, *(f"{stem}-{kind}-v2" for kind in _KINDS)):
            yield _task(
                name, BUDGETS[again if name == robot else name], observation_dim, action_dim, 1000, returns=(low, high),
                environment=_mujoco(f"{robot}-v4"), recipe=robot, d4rl=costs,
                collected_as=None if name == robot else robot,
            )  # fmt: skip


TREBI_TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        _task(
            "SafePendulum", BUDGETS["SafePendulum"], 3, 1, 200, returns=(99.7, 185.9),
            environment=own("SafePendulum"), recipe="SafePendulum",
        ),
        _task(
            "SafeReacher", BUDGETS["SafeReacher"], 11, 2, 50, returns=(-102.8, -61.3),
            environment=_mujoco("SafeReacher"), recipe="SafeReacher",
            still_columns=(4, 5, 10),  # of its target, which rests
        ),
        *_runners(),
    )
}  # fmt: skip
"""Name -> task, the toys first."""
ROBOTS = ("SafeReacher", *(row[0] for row in _RUNNERS))
"""One task for each simulator."""
