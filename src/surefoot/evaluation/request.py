"""Request to measure a run, and the evaluation that fits the run's task and algorithm."""

import dataclasses
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from surefoot.algorithms.fisor.config import Extraction
from surefoot.data import Dataset
from surefoot.errors import ConfigError, option
from surefoot.evaluation.alike import task_beside
from surefoot.evaluation.evaluation import Evaluation, OpenEnvironment, evaluate
from surefoot.evaluation.kinds import limits
from surefoot.evaluation.kinds.budgets import BudgetRequest, under_budgets
from surefoot.evaluation.kinds.images import on_images
from surefoot.evaluation.kinds.limits import by_protocol
from surefoot.evaluation.kinds.point_robot import from_exact_starts
from surefoot.evaluation.protocol import ProtocolName
from surefoot.faults import Faults
from surefoot.file_sets import check_writable
from surefoot.observer import Observer
from surefoot.protocols import PlansUnderBudget, choice_of
from surefoot.ranges import Range, Ranged
from surefoot.routes import Routes, refuse_others
from surefoot.runs.loaded import FOLDER, MARGINS, LoadedRun, given_overrides, load_run
from surefoot.tasks import Task


def default_workers() -> int:
    """Number of the machine's cores."""
    return os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class _OfAnyKind(Ranged):
    """Options of an evaluation of whichever kind."""

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
    cost_margin: Annotated[float | None, Range("(-inf, inf)")] = None
    """Taken off the budget, in the planner's units of cost, instead of the configuration's."""
    margin_level: Annotated[float | None, Range("[0, 1)")] = None
    """Share of held-out segments whose cost may exceed prediction plus margin, instead of the configuration's; 0: no
    such margin."""


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest(BudgetRequest, _OfAnyKind):
    """Options of an evaluation. Those that the run's task or algorithm does not read are refused."""


_BUDGETS, _OTHERS = (frozenset(field.name for field in dataclasses.fields(one)) for one in (BudgetRequest, _OfAnyKind))
_COMMON = _OTHERS - {"protocol", "workers", "gifs"} | {"run", "strict"}
ROUTES: Routes = {
    "point robot": _COMMON,
    "images": _COMMON,
    "protocol": _COMMON | {"protocol"},
    "protocol in a simulator": _COMMON | {"protocol", "workers", "gifs"},
    "budgets": _COMMON | _BUDGETS,
    "budgets in a simulator": _COMMON | _BUDGETS | {"workers"},
}
"""Way to measure a run -> the options that are read. Abilities of the algorithm decide on further ones."""


def evaluate_run(
    run: Path,
    request: EvaluationRequest,
    *,
    dataset: Dataset | None = None,
    given: Collection[str] = (),
    observer: Observer | None = None,
    open_environment: OpenEnvironment | None = None,
    faults: Faults | None = None,
) -> dict[str, Any]:
    """Measure a run and write the results into its folder.

    Args:
        run: Folder of the run.
        request: What to measure.
        dataset: Training data of the run, where they were read already.
        given: Options that the user named, which are refused where nothing reads them.
        observer: Receives progress and remarks.
        open_environment: Opens environments in place of the task's own.
        faults: Faults of the request found so far.

    Returns:
        The run's summary.

    Raises:
        ConfigError: The run cannot be measured so.
        NotKeptError: The results could not be written; it holds them.
    """
    overrides = acting_overrides(request)
    with faults or Faults() as gathered:
        check_writable(run)
        check_writable(run / FOLDER)
        loaded = load_run(run, overrides)
        task, elsewhere = task_beside(loaded, request.task), open_environment is not None
        logs_alone = task if loaded.config.known_task().environment is None else None
        route = route_of(loaded, request, task=logs_alone, elsewhere=elsewhere, by_protocol_limits="protocol" in given)
        _check_route(loaded, request, task, route, given, gathered)
    changed = loaded.config.differing(overrides) if route.startswith("budgets") else overrides
    return evaluate(
        _evaluation(loaded, request, task, route, dataset),
        loaded,
        task=None if request.task is None else task,
        workers=request.workers,
        changed=changed,
        observer=observer,
        open_environment=open_environment,
    )


def _evaluation(
    loaded: LoadedRun, request: EvaluationRequest, task: Task, route: str, dataset: Dataset | None
) -> Evaluation:
    given: Any = {} if request.episodes is None else {"episodes": request.episodes}
    if route.startswith("budgets"):
        return under_budgets(loaded, request, **given)
    if route.startswith("protocol"):
        return by_protocol(task, request.protocol, gifs=request.gifs, **given)
    return on_images(task, **given) if route == "images" else from_exact_starts(dataset=dataset, **given)


def route_of(
    loaded: LoadedRun, request: BudgetRequest, *, task: Task | None = None, elsewhere: bool = False,
    by_protocol_limits: bool = False,
) -> str:  # fmt: skip
    """Way to measure a run.

    Args:
        loaded: The run.
        request: Requested budgets.
        task: Task with an environment, in place of a run's task of logs alone; None: the run's.
        elsewhere: The caller opens environments.
        by_protocol_limits: The user named a protocol, whose limits a planner takes where no budget is given.

    Returns:
        A key of `ROUTES`.

    Raises:
        ConfigError: The task has no environment.
    """
    task = loaded.config.known_task() if task is None else task
    if task.environment is None and not elsewhere:
        raise ConfigError(
            f"{loaded.directory.path}: expected a task with an environment to act in, found {task.name}, of which "
            f"there are logs alone; {option('task')} takes a task file with an [environment], and `surefoot report` "
            f"and the verdict after training say what logs can say."
        )
    place = " in a simulator" if task.simulated or elsewhere else ""
    if request.asked or (loaded.algorithm.inputs.budget and not by_protocol_limits):
        return f"budgets{place}"
    if not place and task.image_shape is not None:
        return "images"
    return "point robot" if task.exact_set and not elsewhere else f"protocol{place}"


def _check_route(
    loaded: LoadedRun, request: EvaluationRequest, task: Task, route: str, given: Collection[str], faults: Faults
) -> None:
    """Gather in `faults` each option that this evaluation would not read, or would read half."""
    trained = loaded.config.known_task()
    whose = f"{loaded.config.algorithm} on {trained.name}"
    with faults.also():
        refuse_others(request, ROUTES[route], whose, given=given)
    with faults.also():
        alone = route == "point robot" or route.startswith("budgets")
        if task.name != trained.name and alone:
            raise ConfigError(f"{option('task')}: expected none for a run on {trained.name}, found {task.name}.")
    most = limits.EPISODES if request.episodes is None else request.episodes
    if "gifs" in ROUTES[route] and request.gifs > most:
        faults.add(f"{option('gifs')}: expected at most {most}, as many as there are episodes, found {request.gifs}")
    algorithm, extraction = loaded.algorithm, choice_of(loaded.algorithm).get("extraction")
    if request.margin is not None and extraction in ("minqc", "maxq"):
        faults.add(f"{option('margin')}: expected none with the extraction {extraction}, which has none")
    discounted = isinstance(algorithm, PlansUnderBudget) and algorithm.budget_discount < 1.0
    if route.startswith("budgets") and not discounted:
        with faults.also():
            others = {field.name for field in dataclasses.fields(request)} - {"budget_conversion"}
            refuse_others(request, others, f"{whose}, whose costs are not discounted")


def acting_overrides(request: EvaluationRequest) -> dict[str, Any]:
    """Given options that change how the policy acts, by name."""
    return given_overrides(request, ("extraction", "margin", "num_candidates", "target_return", *MARGINS))
