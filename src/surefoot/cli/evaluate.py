"""`surefoot evaluate`: the policy from drawn and fixed starts, the learned feasible region against the exact one."""

import dataclasses
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from surefoot.algorithms.fisor.config import Extraction
from surefoot.cli.options import parse
from surefoot.cli.progress import Terminal
from surefoot.cli.remarks import StrictOption
from surefoot.cli.routes import Routes, given_options, refuse_others
from surefoot.cli.terminal import say_lines
from surefoot.constraints.budgets import BudgetConversion
from surefoot.data import Dataset
from surefoot.errors import ConfigError, flag
from surefoot.evaluation.evaluation import Evaluation
from surefoot.evaluation.evaluation import evaluate as measure
from surefoot.evaluation.kinds import budgets, limits
from surefoot.evaluation.kinds.budgets import BudgetRequest, under_budgets
from surefoot.evaluation.kinds.images import on_images
from surefoot.evaluation.kinds.limits import by_protocol
from surefoot.evaluation.kinds.point_robot import from_exact_starts
from surefoot.evaluation.protocol import ProtocolName
from surefoot.faults import Faults
from surefoot.file_sets import check_writable
from surefoot.protocols import PlansUnderBudget, choice_of
from surefoot.ranges import NUMBER, Range, check_fields
from surefoot.report.key_figures import budget_verdict, key_figure_rows, key_figures
from surefoot.report.summary_rows import budget_rows, evaluation_rows, protocol_rows
from surefoot.report.tables import plain_table
from surefoot.report.verdicts import verdict
from surefoot.runs.evaluation_files import NotKeptError
from surefoot.runs.loaded import FOLDER, MARGINS, LoadedRun, given_overrides, load_run
from surefoot.tasks import get_task


def default_workers() -> int:
    """A process for each core."""
    return os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(StrictOption):
    """Measure the policy of a run: on PointRobot and PointRobotSlow from drawn starts, with its feasible region; on a
    simulator's task and on SafePendulum by a protocol of the field. An option that the run's task or algorithm does not
    read is refused. The options that change how the policy acts leave the run itself as it was trained; results of an
    earlier evaluation are replaced."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    episodes: Annotated[int | None, Range("[1, 10^7]")] = None
    """Episodes of each seed: 20 on a simulator's task and on SafePendulum, 256 on a task of images (of PointRobotPixels
    from feasible starts, and a quarter as many from infeasible ones), 1,000 from PointRobot's feasible starts (and half
    as many from infeasible ones)."""
    task: str | None = None
    """Measure on this task instead of the run's, as HazardRunShifted after HazardRun; both must be of the same images
    and actions."""
    protocol: ProtocolName = "strict"
    """Cost limits on a simulator's task and on SafePendulum: one small one (strict), or the average over DSRL's three
    (dsrl)."""
    workers: Annotated[int, Range("[1, 1024]")] = default_workers()
    """Processes that step a simulator."""
    gifs: Annotated[int, Range("[0, 10000]")] = 0
    """Episodes of the first seed drawn for the report, on a simulator's task."""
    extraction: Extraction | None = None
    """Which candidate acts, instead of the trained configuration's."""
    margin: Annotated[float | None, Range("[0, inf)")] = None
    """A candidate counts as feasible where Q_h <= -margin, in units of h, instead of the configuration's."""
    num_candidates: Annotated[int | None, Range("[1, 2^20]")] = None
    """Actions sampled per decision, instead of the configuration's."""
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
    cost_margin: Annotated[float | None, Range("(-inf, inf)")] = None
    """Taken off the budget, in the planner's units of cost, instead of the configuration's."""
    margin_level: Annotated[float | None, Range("[0, 1)")] = None
    """Share of held-out segments whose cost may exceed prediction plus margin, instead of the configuration's; 0: no
    such margin."""
    first_episode: Annotated[int, Range(NUMBER)] = 0
    """Under budgets: number of the first episode; other numbers are other starts."""
    lanes: Annotated[int, Range("[1, 65536]")] = 40
    """Episodes under budgets side by side; fewer need less memory."""

    def __post_init__(self) -> None:
        check_fields(self, called=flag)


_COMMON = frozenset(("run", "episodes", "task", "extraction", "margin", "num_candidates", *MARGINS, "strict"))
_BUDGETS = frozenset(
    ("budget", "cost_limit", "budget_schedule", "budget_conversion", "level", "first_episode", "lanes")
)
ROUTES: Routes = {
    "point robot": _COMMON,
    "images": _COMMON,
    "protocol": _COMMON | {"protocol"},
    "protocol in a simulator": _COMMON | {"protocol", "workers", "gifs"},
    "budgets": _COMMON | _BUDGETS,
    "budgets in a simulator": _COMMON | _BUDGETS | {"workers"},
}
"""How a run is measured -> the options that are read. What acts differently is asked of the algorithm."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    with Faults() as faults:
        options = parse(EvaluateOptions, arguments, command="evaluate", faults=faults)
        found = evaluate(options, given=given_options(EvaluateOptions, arguments, refused=faults.flags), faults=faults)
    say_lines(table(found))


def evaluate(
    options: EvaluateOptions,
    *,
    dataset: Dataset | None = None,
    given: Collection[str] = (),
    faults: Faults | None = None,
) -> dict[str, Any]:
    """Measure a run, write what was found into it, and return its summary; print it where it cannot be written.
    `dataset` spares reading it again; `given` are the options that a command line names, `faults` what is wrong with it
    so far."""
    overrides = acting_overrides(options)
    with faults or Faults() as gathered:
        check_writable(options.run)
        check_writable(options.run / FOLDER)
        loaded = load_run(options.run, overrides)
        request = _budget_request(options)
        route = route_of(loaded, request)
        _check_route(loaded, options, route, given, gathered)
    changed = loaded.config.differing(overrides) if route.startswith("budgets") else overrides
    try:
        return measure(
            _evaluation(loaded, options, request, route, dataset),
            loaded,
            task=options.task,
            workers=options.workers,
            changed=changed,
            observer=Terminal(strict=options.strict),
        )
    except NotKeptError as error:
        say_lines(table(error.summary))  # what hours were spent on
        raise


def _evaluation(
    loaded: LoadedRun, options: EvaluateOptions, request: BudgetRequest, route: str, dataset: Dataset | None
) -> Evaluation:
    given = {} if options.episodes is None else {"episodes": options.episodes}
    task = loaded.config.known_task() if options.task is None else get_task(options.task)
    if route.startswith("budgets"):
        return under_budgets(loaded, request)
    if route.startswith("protocol"):
        return by_protocol(task, options.protocol, gifs=options.gifs, **given)
    return on_images(task, **given) if route == "images" else from_exact_starts(dataset=dataset, **given)


def _budget_request(options: EvaluateOptions) -> BudgetRequest:
    return BudgetRequest(
        ratios=options.budget,
        costs=options.cost_limit,
        schedule=options.budget_schedule,
        conversion=options.budget_conversion,
        level=options.level,
        episodes=budgets.EPISODES if options.episodes is None else options.episodes,
        first_episode=options.first_episode,
        lanes=options.lanes,
    )


def route_of(loaded: LoadedRun, request: BudgetRequest) -> str:
    """How the run is measured: a key of `ROUTES`."""
    task = loaded.config.known_task()
    if task.environment is None:
        raise ConfigError(
            f"{loaded.directory.path}: expected a task with an environment to act in, found {task.name}, of which "
            f"there are logs alone; `surefoot report` and the verdict after training say what logs can say."
        )
    place = " in a simulator" if task.simulated else ""
    if request.asked or loaded.algorithm.inputs.budget:
        return f"budgets{place}"
    if not task.simulated and task.image_shape is not None:
        return "images"
    return "point robot" if task.exact_set else f"protocol{place}"


def _check_route(
    loaded: LoadedRun, options: EvaluateOptions, route: str, given: Collection[str], faults: Faults
) -> None:
    """Gather in `faults` each option that this evaluation would not read, or would read half."""
    trained = loaded.config.known_task()
    whose = f"{loaded.config.algorithm} on {trained.name}"
    with faults.also():
        refuse_others(options, ROUTES[route], whose, given=given)
    with faults.also():
        task = trained if options.task is None else get_task(options.task)
        alone = route == "point robot" or route.startswith("budgets")
        if task.name != trained.name and alone:
            raise ConfigError(f"--task: expected none for a run on {trained.name}, found {task.name}.")
    most = limits.EPISODES if options.episodes is None else options.episodes
    if "gifs" in ROUTES[route] and options.gifs > most:
        faults.add(f"--gifs: expected at most {most}, as many as there are episodes, found {options.gifs}")
    algorithm, extraction = loaded.algorithm, choice_of(loaded.algorithm).get("extraction")
    if options.margin is not None and extraction in ("minqc", "maxq"):
        faults.add(f"--margin: expected none with the extraction {extraction}, which has none")
    discounted = isinstance(algorithm, PlansUnderBudget) and algorithm.budget_discount < 1.0
    if route.startswith("budgets") and not discounted:
        with faults.also():
            others = {field.name for field in dataclasses.fields(options)} - {"budget_conversion"}
            refuse_others(options, others, f"{whose}, whose costs are not discounted")


def table(summary: dict[str, Any]) -> str:
    """The tables that the commands print, and the verdict."""
    if "budgets" in summary:
        return f"{plain_table(budget_rows(summary['budgets']))}\n\n{budget_verdict(summary['budgets'])}"
    judged = key_figures(summary)
    rows = protocol_rows(summary) or evaluation_rows(summary)
    parts = [plain_table(rows), plain_table(key_figure_rows(judged)), verdict(judged)]
    return "\n\n".join(part for part in parts if part)


def acting_overrides(options: EvaluateOptions) -> dict[str, Any]:
    """The options that were given among those that change how the policy acts."""
    return given_overrides(options, ("extraction", "margin", "num_candidates", *MARGINS))
