"""The part of `surefoot evaluate` that measures a planner under budgets which are given now."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from surefoot.checkpoint import as_json
from surefoot.cli.evaluate_simulator import OpenEnvironment, open_simulator
from surefoot.cli.progress import ProgressLine
from surefoot.cli.remarks import remark
from surefoot.constraints.budgets import BudgetConversion
from surefoot.constraints.schedules import read_schedule
from surefoot.data.selection import data_name
from surefoot.envs.pure import pure_task_of
from surefoot.errors import ConfigError
from surefoot.evaluation.budgets import (
    Budget,
    BudgetEvaluation,
    RollOut,
    budget_remarks,
    is_schedule,
    requested_budgets,
    setting_name,
)
from surefoot.evaluation.lanes import LaneResults, Lanes, roll_out_pure, roll_out_vector
from surefoot.evaluation.plan_file import Imaginings, add_plans
from surefoot.evaluation.rows import append_rows, read_budget_rows
from surefoot.evaluation.summarize import budget_figures
from surefoot.protocols import PlansUnderBudget
from surefoot.ranges import NUMBER, Range, check_fields
from surefoot.report.budget_tables import budget_rows, budget_verdict
from surefoot.report.tables import plain_table
from surefoot.runs.evaluation_files import NotKeptError, keep, unwritten
from surefoot.runs.loaded import FOLDER, LoadedRun
from surefoot.runs.summary import merged_summary
from surefoot.safety.calibration import Calibration, read_calibration
from surefoot.training import hyperparameters

EPISODES = 40
"""Of each seed and budget."""
ROWS, PLANS = "budget_episodes.jsonl", "plans.npz"
"""In the run's folder `evaluation`: the rows of every evaluation under budgets, and what was imagined in some."""


@dataclass(frozen=True, kw_only=True)
class BudgetRequest:
    """What the user asks of an evaluation under budgets."""

    ratios: Annotated[Sequence[float], Range("[0, inf]")] = ()
    costs: Annotated[Sequence[float], Range("[0, inf]")] = ()
    schedule: Path | None = None
    conversion: BudgetConversion = "table"
    level: Annotated[float | None, Range("(0, 1)")] = None
    episodes: Annotated[int, Range("[1, 10^7]")] = EPISODES
    first_episode: Annotated[int, Range(NUMBER)] = 0
    lanes: Annotated[int, Range("[1, 65536]")] = 40
    workers: Annotated[int, Range("[1, 1024]")] = 1
    strict: bool = False
    """Whether a suspicious budget is an error."""
    changed: Mapping[str, Any] = field(default_factory=dict)
    """Hyper-parameters of this evaluation alone, as JSON values: those that are not the run's."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def asked(self) -> bool:
        """Whether a budget was given at all."""
        return bool(self.ratios or self.costs) or self.schedule is not None or self.level is not None


def evaluate_under_budgets(
    loaded: LoadedRun, request: BudgetRequest, *, open_environment: OpenEnvironment | None = None
) -> dict[str, Any]:
    """Roll out what has no row yet, add rows to the run's file block by block, and return the run's summary.

    The same request goes on where a killed one stopped. `ConfigError` where the algorithm plans under no budget, or
    does and none was given.
    """
    config, algorithm = loaded.config, loaded.algorithm
    if not isinstance(algorithm, PlansUnderBudget):
        raise ConfigError(
            f"{loaded.directory.path}: algorithm '{config.algorithm}' plans under no budget; leave --budget, "
            f"--cost-limit, --budget-schedule and --level out."
        )
    task = config.known_task()
    schedule = None if request.schedule is None else read_schedule(request.schedule, task)
    try:
        budgets = requested_budgets(task, ratios=request.ratios, costs=request.costs, schedule=schedule)
    except ConfigError as error:
        raise ConfigError(f"{loaded.directory.path}: algorithm '{config.algorithm}': {error}") from error
    calibration = (
        None
        if request.level is None
        else read_calibration(loaded.directory.path, step=loaded.step, sha256=loaded.sha256, overrides=request.changed)
    )
    evaluation = BudgetEvaluation(
        task=task,
        budgets=budgets,
        seeds=config.seeds,
        episodes=request.episodes,
        first_episode=request.first_episode,
        most_lanes=request.lanes,
        discount=algorithm.budget_discount,
        conversion=request.conversion,
        method={
            "algorithm": config.algorithm,
            "data": data_name(config.data_selection),
            "level": request.level,
            "overrides": dict(request.changed),
            "step": loaded.step,
            "setting": _setting(loaded, request, calibration, budgets, task.horizon),
        },
    )
    suspicious = budget_remarks(task, budgets) + _margin_remarks(evaluation, request)
    if calibration is not None and request.level is not None:
        doubt = calibration.doubt(config.seeds, request.level, evaluation.totals)
        suspicious += [] if doubt is None else [doubt]
    remark(suspicious, strict=request.strict)
    folder = loaded.directory.path / FOLDER
    setting = evaluation.method["setting"]
    file = folder / ROWS
    done = {(row["asked"], row["seed"], row["episode"]) for row in read_budget_rows(file) if row["setting"] == setting}
    lanes = evaluation.lanes if evaluation.blocks(done) else 0
    log = RowLog(file)
    rolling = _rolling(algorithm, evaluation, calibration, lanes, request, open_environment)
    with rolling as roll_out, ProgressLine("evaluating", unit="steps", compiles=True) as line:
        evaluation.run(
            loaded.states,
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
    changes = {
        "budgets": {**budget_figures(rows), "setting": setting, "task_maximum": task.budget_maximum},
        "acting": {"step": loaded.step, "overrides": dict(request.changed), "level": request.level},
    }
    path = loaded.directory.path
    if log.fault is not None:
        raise NotKeptError(unwritten(log.fault, path), merged_summary(path, changes)) from log.fault
    there = {one.name: one.read_bytes() for one in (file, folder / PLANS) if one.is_file()}
    return keep(path, {"budgets": {}}, changes, grown={"budgets": there})


def budget_table(figures: Mapping[str, Any]) -> str:
    """What the command prints."""
    return f"{plain_table(budget_rows(figures))}\n\n{budget_verdict(figures)}"


class RowLog:
    """The file that an evaluation adds its rows to. One that cannot be written to does not end the evaluation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.unwritten: list[dict[str, Any]] = []
        """Rows that could not be written so far."""
        self.fault: OSError | None = None
        """What the system said last."""

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Add rows, and those that could not be added before."""
        self.unwritten += rows
        try:
            append_rows(self._path, self.unwritten)
            self.unwritten = []
        except OSError as error:
            self.fault = error

    def add_plans(self, path: Path, plans: Imaginings) -> None:
        """Write what was imagined into its own file."""
        try:
            add_plans(path, plans)
        except OSError as error:
            self.fault = error


def _margin_remarks(evaluation: BudgetEvaluation, request: BudgetRequest) -> list[str]:
    """Where a margin that was given leaves nothing of a budget. A preset's own is left alone."""
    margin = float(request.changed.get("cost_margin") or 0.0)
    used_up = [
        f"{budget.asked} ({totals[0]:.4g})"
        for budget, totals in zip(evaluation.budgets, evaluation.totals, strict=True)
        if margin > 0 and totals[0] <= margin
    ]
    return [f"--cost-margin {margin:g}: takes all of the budget in the planner's units: {', '.join(used_up)}"] * bool(
        used_up
    )


def _setting(
    loaded: LoadedRun, request: BudgetRequest, calibration: Calibration | None, budgets: Sequence[Budget], horizon: int
) -> str:
    """The name under which the rows of an evaluation are kept and gone on with: its own for each checkpoint. Rows from
    before checkpoints had a part in it are gone on with under the name that they have."""
    schedules = {one.asked: [str(total) for total in one.totals] for one in budgets if is_schedule(one.asked)}

    def margins(seed: int) -> Any:
        if calibration is None or request.level is None:
            return [0.0] * horizon
        if calibration.method == "budgets":
            return calibration.for_seed(seed, request.level)
        return calibration.margins(seed, request.level, np.zeros((1, horizon)))[0].tolist()

    parts = {
        **loaded.config.identity,
        "acting": as_json(hyperparameters(loaded.algorithm)),
        "step": loaded.step,
        "conversion": request.conversion,
        "level": request.level,  # margins of 0 act like none, but their rows say another level
        "margins": {str(seed): margins(seed) for seed in loaded.config.seeds},
        "schedules": schedules,
        "noise": "seed, episode, step",  # rows of releases that drew by lane are not gone on with
    }
    former = setting_name(parts)
    if any(row["setting"] == former for row in read_budget_rows(loaded.directory.path / FOLDER / ROWS)):
        return former
    return setting_name({**parts, "checkpoint": loaded.sha256})


@contextmanager
def _rolling(
    algorithm: PlansUnderBudget, evaluation: BudgetEvaluation, calibration: Calibration | None, lanes: int,
    request: BudgetRequest, open_environment: OpenEnvironment | None,
) -> Iterator[RollOut]:  # fmt: skip
    """What runs a block of `lanes` lanes: in one program where the task is pure JAX, else in a simulator kept open."""
    task = evaluation.task
    pure = None if task.simulated or open_environment is not None else pure_task_of(task)
    opened: AbstractContextManager[Any] = nullcontext()
    if pure is None and lanes:
        opened = (open_environment or open_simulator)(task, lanes, min(request.workers, lanes))
    with opened as found:
        simulator: Any = found

        def roll_out(
            state: Any, lanes: Lanes, *, seed: int, watch: Sequence[int], on_step: Callable[[int], None]
        ) -> LaneResults:
            margins = np.zeros_like(lanes.totals)
            if calibration is not None and request.level is not None:
                margins = calibration.margins(seed, request.level, lanes.totals)
            given: dict[str, Any] = {"seed": seed, "margins": margins, "watch": watch, "on_step": on_step}
            if pure is not None:
                return roll_out_pure(algorithm, state, pure, lanes, **given)
            return roll_out_vector(algorithm, state, simulator, lanes, **given)

        yield roll_out
