"""Evaluation under budgets: which budgets, which episodes are still missing, and a row for each.

Budgets and realized costs are undiscounted sums over an episode, whatever the planner discounts by. The rows of a
finished block of environments are handed out at once, so that a killed evaluation goes on after them.
"""

import hashlib
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import numpy as np
from jaxtyping import Float

from surefoot.constraints.budgets import BudgetConversion, check_budgets, cost_of_ratio, planner_budget
from surefoot.constraints.schedules import Schedule
from surefoot.errors import ConfigError, option
from surefoot.evaluation.lanes import LaneResults, Lanes, Watched
from surefoot.evaluation.rows import episode_row
from surefoot.nn import member
from surefoot.ranges import NUMBER, SEED, Range, Ranged
from surefoot.tasks import Task

LEAST_RATIO = 0.01
"""Share of the task's maximum below which a cost may have been meant as a ratio."""


@dataclass(frozen=True, eq=False)
class Budget(Ranged):
    """Cost that an episode may cause."""

    asked: str
    """The user's words: "ratio 0.2", "cost 30", "schedule steps.csv"."""
    totals: Float[np.ndarray, " t"]
    """Undiscounted, as known at each step of the horizon; infinite for no limit."""
    ratio: Annotated[float | None, Range("[0, inf]")] = None
    """Of the task's maximum, where it was given as one."""

    @property
    def final(self) -> float:
        """Budget at the end of an episode that lasts the horizon."""
        return float(self.totals[-1])


_SCHEDULE = "schedule "
_OPTIONS = {"ratio": "budget", "cost": "cost_limit", "schedule": "budget_schedule"}
"""Kind of a budget -> the option that gives it."""


def is_schedule(asked: str) -> bool:
    """Whether a budget's name is that of a schedule, which changes within the episode."""
    return asked.startswith(_SCHEDULE)


class RollOut(Protocol):
    """Runs a block of environments: `lanes.roll_out_pure` or `roll_out_vector` with their other arguments bound."""

    def __call__(
        self, state: Any, lanes: Lanes, *, seed: int, watch: Sequence[int], on_step: Callable[[int], None]
    ) -> LaneResults: ...


def requested_budgets(
    task: Task, *, ratios: Sequence[float] = (), costs: Sequence[float] = (), schedule: Schedule | None = None
) -> list[Budget]:
    """Budgets that a user requests, each once.

    Args:
        task: Task with the horizon and the maximal cost.
        ratios: Ratios of the task's maximum.
        costs: Undiscounted costs of an episode; inf: no limit.
        schedule: Budget that changes within the episode, or None.

    Returns:
        The budgets.

    Raises:
        ConfigError: A budget is NaN, negative or given twice, there is no maximum for a ratio, or no budget is given.
    """
    budgets = [
        Budget(f"ratio {ratio:g}", np.full(task.horizon, cost_of_ratio(ratio, task)), ratio)
        for ratio in check_budgets(ratios, name=option("budget")).tolist()
    ]
    budgets += [
        Budget(f"cost {cost:g}", np.full(task.horizon, cost))
        for cost in check_budgets(costs, name=option("cost_limit")).tolist()
    ]
    if schedule is not None:
        budgets.append(Budget(f"{_SCHEDULE}{schedule.name}", schedule.totals))
    names = [budget.asked for budget in budgets]
    if not names:
        ratio, cost, file = map(option, _OPTIONS.values())
        raise ConfigError(
            f"expected a budget, found none; give {ratio} (ratios), {cost} (costs, inf for no limit) or "
            f"{file} (a file)."
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"expected each budget once, found {twice} twice.")
    return budgets


def budget_remarks(task: Task, budgets: Sequence[Budget]) -> list[str]:
    """Remarks on suspicious budgets: ratios above 1, costs that look like ratios, and costs above the data's maximum.

    Args:
        task: Task with the maximal cost.
        budgets: Requested budgets.

    Returns:
        A sentence for each.
    """
    most = task.budget_maximum or task.cost_return_max
    if not most:
        return []
    found = []
    for budget in budgets:
        finite = budget.totals[np.isfinite(budget.totals)]
        largest = float(finite.max()) if len(finite) else 0.0
        if budget.ratio is not None and 1 < budget.ratio < math.inf:
            found.append(
                f"{_option_of(budget)}: a ratio above 1 allows a cost of {largest:,.6g}, more than the maximum of "
                f"{task.name}, {most:,.6g}; a cost is given with {option('cost_limit')}"
            )
        elif largest > most:
            found.append(
                f"{_option_of(budget)}: allows a cost of {largest:,.6g}, more than the maximum of {task.name}, "
                f"{most:,.6g}; no limit is inf"
            )
        elif budget.ratio is None and not is_schedule(budget.asked) and 0 < largest < LEAST_RATIO * most:
            found.append(
                f"{_option_of(budget)}: less than {LEAST_RATIO:.0%} of the maximum of {task.name}, {most:,.6g}; a "
                f"ratio of it is given with {option('budget')}"
            )
    return found


def _option_of(budget: Budget) -> str:
    """A budget as it was given."""
    kind, _, value = budget.asked.partition(" ")
    return f"{option(_OPTIONS[kind])} {value}"


def planner_totals(
    budget: Budget, task: Task, *, discount: float, conversion: BudgetConversion
) -> Float[np.ndarray, " t"]:
    """Budget at each step of the horizon, in the units of a planner.

    Args:
        budget: Budget in undiscounted costs.
        task: Task with its discounted maximum.
        discount: Discount of the planner's costs, per environment step.
        conversion: How undiscounted budgets become discounted ones.

    Returns:
        Budgets as known at each step, [t].
    """
    known: dict[float, float] = {}
    for total in budget.totals.tolist():
        if total not in known:
            known[total] = planner_budget(total, task, discount=discount, conversion=conversion, ratio=budget.ratio)
    return np.array([known[total] for total in budget.totals.tolist()])


def setting_name(values: Mapping[str, Any]) -> str:
    """Short hash of everything that decides an episode's numbers except seed, episode and budget (JSON values)."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True, kw_only=True, eq=False)
class BudgetEvaluation(Ranged):
    """Arguments of an evaluation under budgets."""

    task: Task
    budgets: Sequence[Budget]
    seeds: Annotated[Sequence[int], Range(SEED, fewest=1)]
    """Training seeds."""
    episodes: Annotated[int, Range("[1, 10^7]")]
    """Of each seed and budget; all budgets share their starts."""
    first_episode: Annotated[int, Range(NUMBER)] = 0
    """Number of the first of them."""
    most_lanes: Annotated[int, Range("[1, 65536]")]
    """Episodes side by side."""
    discount: Annotated[float, Range("(0, 1]")]
    """The planner's, per step."""
    conversion: BudgetConversion
    method: Mapping[str, Any]
    """Columns of every row: algorithm, setting, level, ..."""

    @property
    def totals(self) -> Float[np.ndarray, "budgets t"]:
        """The budgets in the planner's units, [budgets, t]."""
        return np.stack(
            [planner_totals(one, self.task, discount=self.discount, conversion=self.conversion) for one in self.budgets]
        )

    @property
    def numbers(self) -> range:
        """Numbers of the episodes."""
        return range(self.first_episode, self.first_episode + self.episodes)

    @property
    def lanes(self) -> int:
        """Environments of each block: as many as allowed, with few idle ones in the last block."""
        count = len(self.budgets) * self.episodes
        return math.ceil(count / math.ceil(count / self.most_lanes))

    def blocks(self, done: Collection[tuple[str, int, int]]) -> list[tuple[int, list[tuple[int, int]]]]:
        """Blocks of missing episodes.

        Args:
            done: (budget's name, seed, episode) of finished episodes.

        Returns:
            For each block the index of its seed and its (index of the budget, episode) pairs.
        """

        def missing(seed: int) -> list[tuple[int, int]]:
            pairs = [(place, episode) for episode in self.numbers for place in range(len(self.budgets))]
            return [
                (place, episode) for place, episode in pairs if (self.budgets[place].asked, seed, episode) not in done
            ]

        return [
            (place, pairs[first : first + self.lanes])
            for place, pairs in enumerate(map(missing, self.seeds))
            for first in range(0, len(pairs), self.lanes)
        ]

    def run(
        self,
        states: Any,
        roll_out: RollOut,
        *,
        done: Collection[tuple[str, int, int]],
        on_rows: Callable[[list[dict[str, Any]]], None],
        on_watched: Callable[[list[Budget], Watched], None] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Roll out missing episodes, block by block.

        Every block has as many environments, some of them idle, so that a killed evaluation goes on with the numbers,
        to the last bit, of an undisturbed one.

        Args:
            states: States with a leading seed axis in the order of `seeds`.
            roll_out: Runs a block.
            done: (budget's name, seed, episode) of finished episodes.
            on_rows: Called with the rows of each block.
            on_watched: Called with the budgets, observations and plans of the first seed's first episode in a block.
            on_progress: Called with (steps done, steps in all), counted over blocks.
        """
        size, horizon, totals = self.lanes, self.task.horizon, self.totals
        blocks = self.blocks(done)
        report = on_progress or (lambda done, total: None)
        for index, (place, pairs) in enumerate(blocks):
            report(index * horizon, horizon * len(blocks))
            seed, idle = self.seeds[place], size - len(pairs)
            which = np.array([budget for budget, _ in pairs] + [0] * idle)
            episode = np.array([episode for _, episode in pairs] + [-1] * idle)
            shown = [lane for lane, (_, number) in enumerate(pairs) if place == 0 and number == self.first_episode]
            # As many lanes in every block, or the program would be compiled once more.
            watch = [*shown, *[0] * (min(len(self.budgets), size) - len(shown))]
            results = roll_out(
                member(states, place),
                Lanes(episode, totals[which]),
                seed=seed,
                watch=watch,
                on_step=lambda step, index=index: report(index * horizon + step, horizon * len(blocks)),
            )
            if shown and on_watched is not None:
                on_watched([self.budgets[which[lane]] for lane in shown], results.watched.of(len(shown)))
            on_rows([self._row(results, lane, *pair, seed, totals) for lane, pair in enumerate(pairs)])
        report(horizon * len(blocks), horizon * len(blocks))

    def _row(
        self, results: LaneResults, lane: int, place: int, episode: int, seed: int, totals: np.ndarray
    ) -> dict[str, Any]:
        budget, length = self.budgets[place], int(results.length[lane])
        cost, total = float(results.cost[lane]), float(self.budgets[place].totals[length - 1])
        limited = math.isfinite(total)
        told = float(totals[place, 0])
        return episode_row(
            {"task": self.task.name, **self.method},
            normalised_by=self.task,
            limit=total if limited else None,
            asked=budget.asked,
            ratio=budget.ratio,
            budget=total if limited else None,
            planner_budget=told if math.isfinite(told) else None,
            seed=seed,
            episode=episode,
            episode_return=float(results.episode_return[lane]),
            cost=cost,
            discounted_cost=float(results.discounted_cost[lane]),
            normalised_cost=None,
            exceeded=limited and cost > total,
            length=length,
            terminated=bool(results.terminated[lane]),
            restarts=int(results.restarts[lane]),
            lanes=len(results.length),
            step_seconds=results.step_seconds,
        )
