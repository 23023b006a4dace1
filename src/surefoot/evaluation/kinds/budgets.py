"""Evaluation of planners under budgets; an equal request goes on where a killed one stopped."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np

from surefoot.checkpoint import as_json
from surefoot.constraints.budgets import BudgetConversion
from surefoot.constraints.schedules import read_schedule
from surefoot.data.selection import data_name
from surefoot.envs.pure import pure_task_of
from surefoot.errors import ConfigError, option
from surefoot.evaluation.budgets import (
    Budget,
    BudgetEvaluation,
    RollOut,
    budget_remarks,
    is_schedule,
    requested_budgets,
    setting_name,
)
from surefoot.evaluation.evaluation import Condition, Episodes, Evaluation, Scored, Setting
from surefoot.evaluation.kinds.limits import open_simulator
from surefoot.evaluation.lanes import LaneResults, Lanes, roll_out_pure, roll_out_vector
from surefoot.evaluation.plan_file import Imaginings, add_plans
from surefoot.evaluation.rows import append_rows, read_budget_rows
from surefoot.evaluation.summarize import budget_figures
from surefoot.hyperparameters import first_names, hyperparameters
from surefoot.nn import member
from surefoot.protocols import PlansUnderBudget, RemarksOnBudgets, TrainedForLimit
from surefoot.ranges import NUMBER, Range, Ranged
from surefoot.runs.loaded import FOLDER, LoadedRun
from surefoot.safety.calibration import Calibration, read_calibration
from surefoot.tasks.action_units import ActionUnits
from surefoot.types import FORMERLY

EPISODES = 40
"""Episodes of each seed and budget."""
ROWS, PLANS = "budget_episodes.jsonl", "plans.npz"
"""Files in the run's folder `evaluation`: rows of every evaluation under budgets, and plans of some."""


@dataclass(frozen=True, kw_only=True)
class BudgetRequest(Ranged):
    """Request of an evaluation under budgets."""

    budget: Annotated[tuple[float, ...], Range("[0, inf]")] = ()
    """For a planner under budgets: what an episode may cost, as ratios of the task's maximum; 40 episodes of each."""
    cost_limit: Annotated[tuple[float, ...], Range("[0, inf]")] = ()
    """The same as sums of costs over an episode; inf for no limit."""
    budget_schedule: Path | None = None
    """The same, changing within the episode: a CSV file of budgets (docs/file-formats.md)."""
    budget_conversion: BudgetConversion = "table"
    """Where the planner discounts: by the task's measured factor, as if costs were spent evenly, or the table's
    discounted maximum."""
    level: Annotated[float | None, Range("(0, 1)")] = None
    """Plan with the margin that `surefoot calibrate` found for this share of episodes over budget, as 0.05."""
    target_return: Annotated[float | None, Range("(-inf, inf)")] = None
    """Return of an episode that CDT is asked for, instead of the best of its data under each limit."""
    first_episode: Annotated[int, Range(NUMBER)] = 0
    """Under budgets: number of the first episode; other numbers are other starts."""
    num_envs: Annotated[int, Range("[1, 65536]")] = field(default=40, metadata={FORMERLY: "lanes"})
    """Environments side by side under budgets, an episode in each; fewer need less memory."""

    @property
    def asked(self) -> bool:
        """Whether a budget is given at all."""
        return bool(self.budget or self.cost_limit) or self.budget_schedule is not None or self.level is not None


def under_budgets(run: LoadedRun, request: BudgetRequest, *, episodes: int = EPISODES) -> Evaluation:
    """Evaluation of a planner under each requested budget.

    Args:
        run: The run.
        request: Budgets.
        episodes: Episodes of each seed and budget.

    Returns:
        The evaluation.

    Raises:
        ConfigError: The algorithm plans under no budget, or no budget is given.
    """
    task, name, place = run.config.known_task(), run.config.algorithm, run.directory.path
    _planner(run)
    schedule = None if request.budget_schedule is None else read_schedule(request.budget_schedule, task)
    try:
        budgets = requested_budgets(task, ratios=request.budget, costs=request.cost_limit, schedule=schedule)
    except ConfigError as error:
        raise ConfigError(f"{place}: algorithm '{name}': {error}") from error
    return Evaluation(
        conditions=tuple(Condition(budget=budget) for budget in budgets),
        episodes=episodes,
        roll_out=partial(_roll_out, request=request),
        scorers=(figures,),
        part="budgets",
    )


def _planner(run: LoadedRun) -> PlansUnderBudget:
    """The run's algorithm, which plans under budgets (`ConfigError`)."""
    if isinstance(run.algorithm, PlansUnderBudget):
        return run.algorithm
    given = [option(one) for one in ("budget", "cost_limit", "budget_schedule", "level")]
    which, again = "plans under no budget", ""
    if isinstance(run.algorithm, TrainedForLimit) and run.algorithm.trained_limit is not None:
        which = f"was trained for one limit, {run.algorithm.trained_limit:g}, and takes no budget"
        again = f", or train for another with {option('cost_limit')}"
    raise ConfigError(
        f"{run.directory.path}: algorithm '{run.config.algorithm}' {which}; leave "
        f"{', '.join(given[:-1])} and {given[-1]} out{again}."
    )


class _BudgetEpisodes(NamedTuple):
    setting: str
    level: float | None


def _roll_out(at: Setting, *, request: BudgetRequest) -> Episodes:
    """Run what has no row yet, and add rows to the run's file block by block."""
    run, planner = at.run, _planner(at.run)
    calibration = (
        None
        if request.level is None
        else read_calibration(run.directory.path, step=run.step, sha256=run.sha256, overrides=at.changed)
    )
    budgets = [condition.budget for condition in at.evaluation.conditions if condition.budget is not None]
    folder = run.directory.path / FOLDER
    file = folder / ROWS
    before = read_budget_rows(file)
    setting = _setting(run, request, calibration, budgets, at.task.horizon, before)
    evaluation = BudgetEvaluation(
        task=at.task,
        budgets=budgets,
        seeds=run.config.seeds,
        episodes=at.evaluation.episodes,
        first_episode=request.first_episode,
        most_lanes=request.num_envs,
        discount=planner.budget_discount,
        conversion=request.budget_conversion,
        method={
            "algorithm": run.config.algorithm,
            "data": data_name(run.config.data_selection),
            "level": request.level,
            "overrides": dict(at.changed),
            "step": run.step,
            "setting": setting,
        },
    )
    at.observer.remark(_remarks(at, evaluation, calibration, request.level))
    done = {(row["asked"], row["seed"], row["episode"]) for row in before if row["setting"] == setting}
    log = RowLog(file)
    rolling = _rolling(
        at, evaluation, calibration, request.level, lanes=evaluation.lanes if evaluation.blocks(done) else 0
    )
    with rolling as roll_out, at.observer.progress("evaluating", unit="steps", compiles=True) as line:
        evaluation.run(
            run.states,
            roll_out,
            done=done,
            on_rows=log.add,
            on_watched=lambda budgets, watched: log.add_plans(
                folder / PLANS,
                Imaginings(setting, evaluation.first_episode, tuple(one.asked for one in budgets), watched),
            ),
            on_progress=line.report,
        )
    wanted = {budget.asked for budget in budgets}
    rows = [
        row
        for row in [*read_budget_rows(file), *log.unwritten]
        if row["setting"] == setting and row["asked"] in wanted and row["episode"] in evaluation.numbers
    ]
    grown = {one.name: one.read_bytes() for one in (file, folder / PLANS) if one.is_file()}
    return Episodes(rows, _BudgetEpisodes(setting, request.level), grown, log.fault)


def figures(at: Setting, episodes: Episodes) -> Scored:
    """Figures of each budget.

    Args:
        at: The evaluation.
        episodes: Its rollouts.

    Returns:
        Entries of the summary.
    """
    setting, level = episodes.seen
    maximum = at.task.budget_maximum
    return Scored(
        {
            "budgets": {**budget_figures(episodes.rows), "setting": setting, "task_maximum": maximum},
            "acting": {"step": at.run.step, "overrides": dict(at.changed), "level": level},
        }
    )


def _remarks(
    at: Setting, evaluation: BudgetEvaluation, calibration: Calibration | None, level: float | None
) -> list[str]:
    """What is suspicious about the budgets and margins, a sentence each."""
    found = budget_remarks(at.task, evaluation.budgets) + _margin_remarks(evaluation, at.changed)
    if isinstance(at.run.algorithm, RemarksOnBudgets):
        totals = [float(totals[0]) for totals in evaluation.totals]
        found += at.run.algorithm.budget_remarks(member(at.run.states, 0), totals)
    if calibration is not None and level is not None:
        doubt = calibration.doubt(evaluation.seeds, level, evaluation.totals)
        found += [] if doubt is None else [doubt]
    return found


class RowLog:
    """The file that an evaluation appends its rows to. A write error does not end the evaluation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.unwritten: list[dict[str, Any]] = []
        """Rows that could not be written so far."""
        self.fault: OSError | None = None
        """What the system said last."""

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Append rows, and earlier ones that could not be written."""
        self.unwritten += rows
        try:
            append_rows(self._path, self.unwritten)
            self.unwritten = []
        except OSError as error:
            self.fault = error

    def add_plans(self, path: Path, plans: Imaginings) -> None:
        """Write plans into their own file.

        Args:
            path: The file.
            plans: Observations and plans.
        """
        try:
            add_plans(path, plans)
        except OSError as error:
            self.fault = error


def _margin_remarks(evaluation: BudgetEvaluation, changed: Mapping[str, Any]) -> list[str]:
    """Where a margin that was given leaves nothing of a budget. A preset's own is left alone."""
    margin = float(changed.get("cost_margin") or 0.0)
    used_up = [
        f"{budget.asked} ({totals[0]:.4g})"
        for budget, totals in zip(evaluation.budgets, evaluation.totals, strict=True)
        if margin > 0 and totals[0] <= margin
    ]
    if not used_up:
        return []
    sentence = f"{option('cost_margin')} {margin:g}: takes all of the budget in the planner's units"
    return [f"{sentence}: {', '.join(used_up)}"]


def _setting(
    run: LoadedRun,
    request: BudgetRequest,
    calibration: Calibration | None,
    budgets: Sequence[Budget],
    horizon: int,
    before: Sequence[Mapping[str, Any]],
) -> str:
    """The name under which the rows of an evaluation are kept and gone on with: its own for each checkpoint. Rows from
    before checkpoints had a part in it are gone on with under the name that they have.
    `before`: the rows of the run."""
    schedules = {one.asked: [str(total) for total in one.totals] for one in budgets if is_schedule(one.asked)}

    def margins(seed: int) -> Any:
        if calibration is None or request.level is None:
            return [0.0] * horizon
        if calibration.method == "budgets":
            return calibration.for_seed(seed, request.level)
        return calibration.margins(seed, request.level, np.zeros((1, horizon)))[0].tolist()

    kind, identity = type(run.algorithm), run.config.identity
    parts = {
        **identity,
        "hyperparameters": first_names(kind, identity["hyperparameters"]),
        "acting": as_json(first_names(kind, hyperparameters(run.algorithm))),
        "step": run.step,
        "conversion": request.budget_conversion,
        "level": request.level,  # margins of 0 act like none, but their rows say another level
        "margins": {str(seed): margins(seed) for seed in run.config.seeds},
        "schedules": schedules,
        "noise": "seed, episode, step",  # rows of releases that drew by lane are not gone on with
    }
    former = setting_name(parts)
    if any(row["setting"] == former for row in before):
        return former
    return setting_name({**parts, "checkpoint": run.sha256})


@contextmanager
def _rolling(
    at: Setting, evaluation: BudgetEvaluation, calibration: Calibration | None, level: float | None, *, lanes: int
) -> Iterator[RollOut]:
    """What runs a block of `lanes` lanes: in one program where the task is pure JAX, else in a simulator kept open."""
    task, algorithm = at.task, _planner(at.run)
    pure = None if task.simulated or at.open_environment is not None else pure_task_of(task)
    opened: AbstractContextManager[Any] = nullcontext()
    if pure is None and lanes:
        opener = at.open_environment or partial(open_simulator, observer=at.observer)
        opened = opener(task, lanes, min(at.workers, lanes))
    with opened as found:
        simulator: Any = found

        def roll_out(
            state: Any, lanes: Lanes, *, seed: int, watch: Sequence[int], on_step: Callable[[int], None]
        ) -> LaneResults:
            margins = np.zeros_like(lanes.totals)
            if calibration is not None and level is not None:
                margins = calibration.margins(seed, level, lanes.totals)
            given: dict[str, Any] = {"seed": seed, "margins": margins, "watch": watch, "on_step": on_step}
            if pure is not None:
                return roll_out_pure(algorithm, state, pure, lanes, **given)
            return roll_out_vector(algorithm, state, simulator, lanes, units=ActionUnits.with_rates(task.file), **given)

        yield roll_out
