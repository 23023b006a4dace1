"""`surefoot evaluate`: the policy from drawn and fixed starts, the learned feasible region against the exact one."""

import dataclasses
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array, Float

from surefoot.algorithms.fisor.config import Extraction
from surefoot.cli.evaluate_budgets import EPISODES as BUDGET_EPISODES
from surefoot.cli.evaluate_budgets import BudgetRequest, budget_table, evaluate_under_budgets
from surefoot.cli.evaluate_images import evaluate_on_images
from surefoot.cli.evaluate_simulator import evaluate_on_simulator
from surefoot.cli.faults import Faults
from surefoot.cli.options import parse
from surefoot.cli.progress import ProgressLine
from surefoot.cli.remarks import StrictOption, remark
from surefoot.cli.routes import Routes, given_options, refuse_others
from surefoot.cli.terminal import say_lines
from surefoot.constraints.budgets import BudgetConversion
from surefoot.data import Dataset
from surefoot.envs import point_robot
from surefoot.envs.pure import PURE_TASKS
from surefoot.errors import ConfigError, flag
from surefoot.evaluation.evaluate import Records, episode_rows, roll_out_seeds, summarise_data, summarise_evaluation
from surefoot.evaluation.metrics import area_under_curve
from surefoot.evaluation.protocol import ProtocolName
from surefoot.evaluation.rows import json_rows
from surefoot.evaluation.starts import Starts, draw_starts
from surefoot.file_sets import check_writable
from surefoot.numerics import check_finite
from surefoot.protocols import HasFeasibleValue, PlansUnderBudget, choice_of
from surefoot.ranges import NUMBER, Range, check_fields
from surefoot.report.protocol_tables import protocol_rows
from surefoot.report.tables import evaluation_rows, key_figure_rows, key_figures, plain_table
from surefoot.report.verdicts import verdict
from surefoot.runs.evaluation_files import NotKeptError, keep
from surefoot.runs.files import npz_content
from surefoot.runs.loaded import FOLDER, MARGINS, LoadedRun, given_overrides, load_run
from surefoot.runs.run_data import run_data
from surefoot.safety.exact import cell_centres, slice_poses
from surefoot.safety.exact_sets import USUAL_SWEEPS, FeasibleSet, exact_set, top_speed
from surefoot.safety.region import SLICES, score_region
from surefoot.tasks import get_task

POINT_ROBOT_EPISODES, SIMULATOR_EPISODES, IMAGE_EPISODES = 1000, 20, 256
PICTURED_EPISODES = 200
"""Of each start set, of the first seed, whose paths are kept for the pictures."""
RESOLUTION, EXTENT = 201, 2.7
"""Cells along each side of a region slice, and half its side in metres."""


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
    with faults or Faults() as gathered:
        check_writable(options.run)
        check_writable(options.run / FOLDER)
        loaded = load_run(options.run, acting_overrides(options))
        request = _budget_request(loaded, options)
        route = route_of(loaded, request)
        _check_route(loaded, options, route, given, gathered)
    try:
        return _measured(loaded, options, request, route, dataset)
    except NotKeptError as error:
        say_lines(table(error.summary))  # what hours were spent on
        raise


def _measured(
    loaded: LoadedRun, options: EvaluateOptions, request: BudgetRequest, route: str, dataset: Dataset | None
) -> dict[str, Any]:
    where = None if options.task in (None, loaded.config.task) else options.task
    if route.startswith("budgets"):
        return evaluate_under_budgets(loaded, request)
    if route.startswith("protocol"):
        return evaluate_by_protocol(loaded, options, where=where)
    if route == "images":
        return evaluate_on_images(
            loaded,
            episodes=IMAGE_EPISODES if options.episodes is None else options.episodes,
            where=where,
            strict=options.strict,
        )
    return _evaluate_point_robot(loaded, options, dataset)


def evaluate_by_protocol(loaded: LoadedRun, options: EvaluateOptions, *, where: str | None = None) -> dict[str, Any]:
    """Measure a run on any task of vectors, or on a simulator's, by a protocol of the field; returns its summary."""
    return evaluate_on_simulator(
        loaded,
        protocol=options.protocol,
        episodes=SIMULATOR_EPISODES if options.episodes is None else options.episodes,
        workers=options.workers,
        gifs=options.gifs,
        where=where,
        changed=acting_overrides(options),
    )


def _budget_request(loaded: LoadedRun, options: EvaluateOptions) -> BudgetRequest:
    return BudgetRequest(
        ratios=options.budget,
        costs=options.cost_limit,
        schedule=options.budget_schedule,
        conversion=options.budget_conversion,
        level=options.level,
        episodes=BUDGET_EPISODES if options.episodes is None else options.episodes,
        first_episode=options.first_episode,
        lanes=options.lanes,
        workers=options.workers,
        changed=loaded.config.differing(acting_overrides(options)),
        strict=options.strict,
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
    return "point robot" if task.name in point_robot.ROBOTS else f"protocol{place}"


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
    most = SIMULATOR_EPISODES if options.episodes is None else options.episodes
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


def _evaluate_point_robot(loaded: LoadedRun, options: EvaluateOptions, dataset: Dataset | None) -> dict[str, Any]:
    episodes = POINT_ROBOT_EPISODES if options.episodes is None else options.episodes
    if dataset is None:
        found = run_data(loaded.directory, loaded.config)
        dataset = found.transitions
        if found.reason:
            remark([f"the data's row is left out: {found.reason}"], strict=options.strict)
    task = loaded.config.task
    robot = point_robot.ROBOTS[task]
    with ProgressLine("solving the exact feasible set", unit="sets") as line:
        exact = exact_set(task, on_sweep=lambda sweep: line.report(sweep.number, USUAL_SWEEPS, unit="sweeps"))
        line.report(1, 1)
    starts = draw_starts(exact.value, feasible=episodes, infeasible=max(1, episodes // 2), robot=robot)
    data_figures = None if dataset is None else summarise_data(dataset, exact.value, top_speed=top_speed(task))
    region = measure_region(loaded, exact)
    del exact, dataset  # hundreds of megabytes that the rollouts need not stand beside
    with ProgressLine("evaluating", unit="episodes") as line:
        records = roll_out_seeds(
            loaded.algorithm,
            loaded.states,
            starts.poses,
            seeds=loaded.config.seeds,
            task=PURE_TASKS[task],
            on_progress=line.report,
        )
    return _write(loaded, starts, records, region=region, data_figures=data_figures, changed=acting_overrides(options))


def table(summary: dict[str, Any]) -> str:
    """The tables that the commands print, and the verdict."""
    if "budgets" in summary:
        return budget_table(summary["budgets"])
    judged = key_figures(summary)
    rows = protocol_rows(summary) or evaluation_rows(summary)
    parts = [plain_table(rows), plain_table(key_figure_rows(judged)), verdict(judged)]
    return "\n\n".join(part for part in parts if part)


def acting_overrides(options: EvaluateOptions) -> dict[str, Any]:
    """The options that were given among those that change how the policy acts."""
    return given_overrides(options, ("extraction", "margin", "num_candidates", *MARGINS))


class Region(NamedTuple):
    """Feasible values on the published slices, and how well the learned ones agree with the exact ones."""

    learned: Float[np.ndarray, "slice seed y x"]
    exact: Float[np.ndarray, "slice y x"]
    scores: dict[str, Any]
    """Means over the seeds, a list over slices for each score; "per_seed" holds [seed][slice]."""


def measure_region(loaded: LoadedRun, exact: FeasibleSet) -> Region | None:
    """The feasible region of every seed; None where the algorithm has none."""
    algorithm = loaded.algorithm
    if not isinstance(algorithm, HasFeasibleValue):
        return None

    @jax.jit
    def values_of(states: Any, observations: Float[Array, "n obs"]) -> Float[Array, "seed n"]:
        # One seed after the other: the activations of 40,000 observations should be in memory once.
        return jax.lax.map(lambda state: algorithm.feasible_value(state, observations), states)

    # Slow actuators: the slices with nothing accelerated yet.
    further = (0.0,) if point_robot.ROBOTS[loaded.config.task].lag else ()
    poses = [slice_poses(*one, *further, resolution=RESOLUTION, extent=EXTENT) for one in SLICES]
    observations = [point_robot.observe(jnp.asarray(part, jnp.float32)) for part in poses]
    learned = np.stack([np.asarray(values_of(loaded.states, part)) for part in observations])
    check_finite(
        "feasible value (slice, seed, point)", learned, f"its networks overflow on {loaded.config.task}'s observations"
    )
    values = np.stack([exact.value(part) for part in poses])
    scored = [[score_region(learned[i, s], values[i]) for i in range(len(SLICES))] for s in range(learned.shape[1])]
    names = scored[0][0]._fields
    per_seed = {name: [[getattr(score, name) for score in slices] for slices in scored] for name in names}
    per_seed["auroc"] = [
        [area_under_curve(learned[i, s], values[i] > 0) for i in range(len(SLICES))] for s in range(learned.shape[1])
    ]
    means = {name: np.mean(numbers, axis=0).tolist() for name, numbers in per_seed.items()}
    grid = (RESOLUTION, RESOLUTION)
    return Region(
        learned.reshape(*learned.shape[:2], *grid), values.reshape(len(SLICES), *grid), {**means, "per_seed": per_seed}
    )


def _write(
    loaded: LoadedRun,
    starts: Starts,
    records: Records,
    *,
    region: Region | None,
    data_figures: dict[str, Any] | None,
    changed: dict[str, Any],
) -> dict[str, Any]:
    config, path = loaded.config, loaded.directory.path
    method = {
        "task": config.task,
        "algorithm": config.algorithm,
        "extraction": choice_of(loaded.algorithm).get("extraction", "single"),
    }
    rows = episode_rows(records, starts, seeds=config.seeds, method=method)
    files = {"episodes.jsonl": json_rows(rows), "paths.npz": npz_content(_pictured(starts, records))}
    if region is not None:
        axis = cell_centres(RESOLUTION, EXTENT)
        # float16 keeps its relative precision down to zero, where the borders are drawn.
        arrays = {"learned": region.learned.astype(np.float16), "exact": region.exact.astype(np.float16), "axis": axis}
        files["region.npz"] = npz_content(arrays)
    figures = summarise_evaluation(rows, fixed_starts=point_robot.ROBOTS[config.task].fixed_starts)
    changes: dict[str, Any] = {
        "evaluation": figures if data_figures is None else {**figures, "data": data_figures},
        "acting": {"step": loaded.step, **choice_of(loaded.algorithm), "overrides": changed},
    }
    if region is not None:
        changes["feasible_region"] = region.scores
    # A sweep measures by the protocol.
    return keep(path, {"evaluation": files, "rollouts": {}}, changes, without=("protocol", "rollouts"))


def _pictured(starts: Starts, records: Records) -> dict[str, np.ndarray]:
    """Positions [episodes, HORIZON + 1, 2] by start set: the first seed's first ones, the fixed starts of every seed.

    float32, because a rounded position would move a violation's border.
    """
    sets = np.array(starts.sets)
    chosen = {name: np.flatnonzero(sets == name)[:PICTURED_EPISODES] for name in ("feasible", "infeasible")}
    paths = {name: records.path[0, rows] for name, rows in chosen.items()}
    fixed = np.asarray(records.path)[:, sets == "fixed"]
    return {**paths, "fixed": fixed.reshape(-1, *fixed.shape[2:])}  # type: ignore[dict-item]
