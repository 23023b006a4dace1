"""Evaluation under budgets: which budgets, which episodes are still missing, a row for each, and what the rows say.

Budgets and realised costs are undiscounted sums over an episode, whatever the planner discounts by. The rows of a
finished block of lanes are handed out at once, so that a killed evaluation goes on behind them.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import numpy as np
from jaxtyping import Float

from surefoot.constraints.budgets import BudgetConversion, check_budgets, cost_of_ratio, planner_budget
from surefoot.constraints.schedules import Schedule
from surefoot.errors import ConfigError, DataError
from surefoot.evaluation.lanes import LaneResults, Lanes, Watched
from surefoot.evaluation.metrics import check_number, mean_interval, wilson_interval
from surefoot.evaluation.protocol import normalised_cost, normalised_return
from surefoot.nn import member
from surefoot.ranges import NUMBER, SEED, Range, check_fields
from surefoot.tasks import Task

TOLERATED = 1.1
"""Of the budget: an episode of at most so much counts as nearly within it."""
NUMBERS = ("seed", "episode", "return", "cost", "discounted_cost", "length")
"""Columns that `summarise_budgets` reads as numbers."""
LEAST_RATIO = 0.01
"""Of the task's maximum: a smaller cost may have been meant as a ratio."""
_METHOD = ("task", "algorithm", "setting")


@dataclass(frozen=True, eq=False)
class Budget:
    """What an episode may cost."""

    asked: str
    """As the user gave it: "ratio 0.2", "cost 30", "schedule steps.csv"."""
    totals: Float[np.ndarray, " t"]
    """Undiscounted, as known at each step of the horizon; infinite for no limit."""
    ratio: Annotated[float | None, Range("[0, inf]")] = None
    """Of the task's maximum, where it was given as one."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def final(self) -> float:
        """What the episode may have cost at its end, if it lasts the horizon."""
        return float(self.totals[-1])


_SCHEDULE = "schedule "
_OPTIONS = {"ratio": "--budget", "cost": "--cost-limit", "schedule": "--budget-schedule"}


def is_schedule(asked: str) -> bool:
    """Whether a budget's name is that of one that changes within the episode."""
    return asked.startswith(_SCHEDULE)


class RollOut(Protocol):
    """Runs a block of lanes: `lanes.roll_out_pure` or `roll_out_vector` with their first and last arguments given."""

    def __call__(
        self, state: Any, lanes: Lanes, *, seed: int, watch: Sequence[int], on_step: Callable[[int], None]
    ) -> LaneResults: ...


def requested_budgets(
    task: Task, *, ratios: Sequence[float] = (), costs: Sequence[float] = (), schedule: Schedule | None = None
) -> list[Budget]:
    """The budgets that a user asks for, each once. `ConfigError` for NaN, a negative one, one given twice, a ratio
    where the task has no maximum, and where none is given."""
    budgets = [
        Budget(f"ratio {ratio:g}", np.full(task.horizon, cost_of_ratio(ratio, task)), ratio)
        for ratio in check_budgets(ratios, name="--budget").tolist()
    ]
    budgets += [
        Budget(f"cost {cost:g}", np.full(task.horizon, cost))
        for cost in check_budgets(costs, name="--cost-limit").tolist()
    ]
    if schedule is not None:
        budgets.append(Budget(f"{_SCHEDULE}{schedule.name}", schedule.totals))
    names = [budget.asked for budget in budgets]
    if not names:
        raise ConfigError(
            "expected a budget, found none; give --budget (ratios), --cost-limit (costs, inf for no limit) or "
            "--budget-schedule (a file)."
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"expected each budget once, found {twice} twice.")
    return budgets


def budget_remarks(task: Task, budgets: Sequence[Budget]) -> list[str]:
    """What is suspicious about budgets on a task, a sentence for each: ratios above 1 that may have been meant as
    costs, costs that may have been meant as ratios, and budgets that no episode of the task's data has cost."""
    most = task.budget_maximum or task.cost_return_max
    if not most:
        return []
    found = []
    for budget in budgets:
        finite = budget.totals[np.isfinite(budget.totals)]
        largest = float(finite.max()) if len(finite) else 0.0
        if budget.ratio is not None and 1 < budget.ratio < math.inf:
            found.append(
                f"--budget {budget.ratio:g}: a ratio above 1 allows a cost of {largest:,.6g}, more than the maximum of "
                f"{task.name}, {most:,.6g}; a cost is given with --cost-limit"
            )
        elif largest > most:
            found.append(
                f"{_option_of(budget)}: allows a cost of {largest:,.6g}, more than the maximum of {task.name}, "
                f"{most:,.6g}; no limit is inf"
            )
        elif budget.ratio is None and not is_schedule(budget.asked) and 0 < largest < LEAST_RATIO * most:
            found.append(
                f"{_option_of(budget)}: less than {LEAST_RATIO:.0%} of the maximum of {task.name}, {most:,.6g}; a "
                f"ratio of it is given with --budget"
            )
    return found


def _option_of(budget: Budget) -> str:
    """A budget as it was given on the command line."""
    kind, _, value = budget.asked.partition(" ")
    return f"{_OPTIONS[kind]} {value}"


def planner_totals(
    budget: Budget, task: Task, *, discount: float, conversion: BudgetConversion
) -> Float[np.ndarray, " t"]:
    """The budget of each step in the units of a planner that discounts by `discount`."""
    known: dict[float, float] = {}
    for total in budget.totals.tolist():
        if total not in known:
            known[total] = planner_budget(total, task, discount=discount, conversion=conversion, ratio=budget.ratio)
    return np.array([known[total] for total in budget.totals.tolist()])


def setting_name(values: Mapping[str, Any]) -> str:
    """A short name of everything that decides an episode's numbers beside seed, episode and budget (JSON values)."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True, kw_only=True, eq=False)
class BudgetEvaluation:
    """Everything that an evaluation under budgets is about."""

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

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def totals(self) -> Float[np.ndarray, "budgets t"]:
        """The budgets as the planner is told them, in its units."""
        return np.stack(
            [planner_totals(one, self.task, discount=self.discount, conversion=self.conversion) for one in self.budgets]
        )

    @property
    def numbers(self) -> range:
        """Of the episodes."""
        return range(self.first_episode, self.first_episode + self.episodes)

    @property
    def lanes(self) -> int:
        """Lanes of each block: as many as allowed, and few idle ones in the last."""
        count = len(self.budgets) * self.episodes
        return math.ceil(count / math.ceil(count / self.most_lanes))

    def blocks(self, done: Collection[tuple[str, int, int]]) -> list[tuple[int, list[tuple[int, int]]]]:
        """(place of the seed, (budget, episode) pairs) of each block, of the pairs of which `done` does not hold
        (asked, seed, episode)."""

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
        """Roll out what is missing, block by block. `states` has a leading seed axis in the order of `seeds`.

        `on_rows` gets the rows of each block as it ends; `on_watched` what was seen and imagined in the first episode
        of the first seed, under the budgets that a block holds of it; `on_progress(done, total)` counts steps of
        blocks. Whatever is missing, a block has as many lanes, some of them idle: so an evaluation that was killed goes
        on with the numbers, to the last bit, of one that was not.
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
        return {
            "task": self.task.name,
            **self.method,
            "asked": budget.asked,
            "ratio": budget.ratio,
            "budget": total if limited else None,
            "planner_budget": told if math.isfinite(told) else None,
            "seed": seed,
            "episode": episode,
            "return": float(results.episode_return[lane]),
            "normalised_return": normalised_return(float(results.episode_return[lane]), self.task),
            "cost": cost,
            "discounted_cost": float(results.discounted_cost[lane]),
            "normalised_cost": normalised_cost(cost, total) if limited else None,
            "exceeded": limited and cost > total,
            "length": length,
            "terminated": bool(results.terminated[lane]),
            "restarts": int(results.restarts[lane]),
            "lanes": len(results.length),
            "step_seconds": results.step_seconds,
        }


def summarise_budgets(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the rows of one setting say, as JSON values: a record for each budget, smallest first.

    Means are over all episodes; intervals are 95 %: Wilson's for shares, stratified bootstrap over episodes for means,
    None where a seed has one episode;
    "..._per_seed" are in the order of "seeds". `DataError` on no rows, a bad value, an episode twice, or rows of
    several settings.
    """
    _check(rows)
    seeds = sorted({int(row["seed"]) for row in rows})
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["asked"], []).append(row)
    try:
        records = sorted((_figures(group, seeds) for group in groups.values()), key=_size)
    except (KeyError, TypeError) as error:  # a budget without its columns
        raise DataError(f"evaluation rows: expected the columns of a budget, found others ({error}).") from error
    free = [record for record in records if record["budget"] is None]
    limited = [record for record in records if record["budget"] is not None]
    returns = [record["return_mean"] for record in limited]
    summary: dict[str, Any] = {
        "seeds": seeds,
        "episodes": len(rows),
        "level": rows[0].get("level"),
        "budgets": records,
        "within_budget": all(record["normalised_cost_mean"] <= 1 for record in limited),
        "return_rises": _rises(returns),
    }
    if free and limited:
        summary["share_of_unconstrained_return"] = _share(returns[-1], free[0]["return_mean"])
    return summary


def _figures(rows: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> dict[str, Any]:
    first, count = rows[0], len(rows)
    record: dict[str, Any] = {
        "asked": first["asked"],
        "ratio": first["ratio"],
        "budget": first["budget"],
        "episodes": count,
        **_mean(rows, "return", seeds),
        **_mean(rows, "cost", seeds),
        "discounted_cost_mean": float(np.mean([row["discounted_cost"] for row in rows])),
        "length_mean": float(np.mean([row["length"] for row in rows])),
        "step_seconds_median": float(np.median([row["step_seconds"] for row in rows])),
        "lanes": int(max(row["lanes"] for row in rows)),
    }
    if first["budget"] is None:
        return record
    over = sum(bool(row["exceeded"]) for row in rows)
    nearly = sum(row["cost"] <= TOLERATED * row["budget"] for row in rows)
    return record | {
        **_mean(rows, "normalised_cost", seeds),
        "exceeded_rate": over / count,
        "exceeded_interval": list(wilson_interval(over, count)),
        "exceeded_per_seed": [float(np.mean([r["exceeded"] for r in rows if r["seed"] == seed])) for seed in seeds],
        "nearly_within_rate": nearly / count,
        "nearly_within_interval": list(wilson_interval(nearly, count)),
    }


def _mean(rows: Sequence[Mapping[str, Any]], column: str, seeds: Sequence[int]) -> dict[str, Any]:
    by_seed = [part for seed in seeds if (part := [row[column] for row in rows if row["seed"] == seed])]
    return {
        f"{column}_mean": float(np.mean([row[column] for row in rows])),
        f"{column}_interval": mean_interval(by_seed),
        f"{column}_per_seed": [float(np.mean(part)) for part in by_seed],
    }


def _size(record: Mapping[str, Any]) -> float:
    return math.inf if record["budget"] is None else record["budget"]


def _rises(returns: Sequence[float]) -> bool | None:
    """Whether the return never falls as budgets grow; None where it is the same under all of them, as that of an agent
    which stands still."""
    if len(returns) > 1 and min(returns) == max(returns):
        return None
    return all(low <= high for low, high in itertools.pairwise(returns))


def _share(value: float, whole: float) -> float | None:
    """value / whole; for negative returns, where more is nearer to 0, whole / value."""
    if value > 0 and whole > 0:
        return value / whole
    return whole / value if value < 0 and whole < 0 else None


def _check(rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        raise DataError("evaluation rows: expected at least one episode, found none.")
    seen = set()
    for index, row in enumerate(rows):
        for column in NUMBERS:
            check_number(row, column, index)
        if (key := (row["asked"], row["seed"], row["episode"])) in seen:
            raise DataError(
                f"evaluation rows: expected episode {key[2]} of seed {key[1]} under '{key[0]}' once, found it twice."
            )
        seen.add(key)
    for column in _METHOD:
        if len(found := sorted({str(row.get(column)) for row in rows})) > 1:
            raise DataError(f"evaluation rows: key '{column}': expected a single one, found {', '.join(found)}.")
