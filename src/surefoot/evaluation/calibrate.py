"""Margins on the costs that a planner predicts: of held-out segments, or of episodes of the planner itself."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from surefoot.data import Dataset, library
from surefoot.data.remarks import remarks
from surefoot.errors import ConfigError, option
from surefoot.evaluation.budgets import is_schedule
from surefoot.evaluation.kinds.budgets import ROWS
from surefoot.evaluation.rows import read_budget_rows
from surefoot.faults import Faults
from surefoot.file_sets import check_writable
from surefoot.nn import member
from surefoot.numerics import check_finite
from surefoot.observer import Observer
from surefoot.protocols import PredictsCosts
from surefoot.ranges import COUNT, NUMBER, Range, Ranged
from surefoot.routes import Routes, refuse_others
from surefoot.runs.loaded import FOLDER, MARGINS, LoadedRun, given_overrides, load_run
from surefoot.runs.run_data import run_data
from surefoot.safety.calibration import Calibration, CalibrationMethod
from surefoot.safety.margins import HeldOut, episode_margin, kept_budgets, segment_margins, selection_margins
from surefoot.types import FORMERLY

BATCH = 1024
"""Segments whose cost is predicted in one call."""


@dataclass(frozen=True, kw_only=True)
class CalibrationRequest(Ranged):
    """Options of a calibration of margins."""

    data: Path | None = None
    """Held-out episodes, in any format that training takes; by default those that training has held out of its own
    data."""
    level: Annotated[tuple[float, ...], Range("(0, 1)", fewest=1)] = (0.05, 0.1)
    """Shares of outcomes that may cost more than predicted plus margin."""
    method: CalibrationMethod = "selected"
    """segments: all held-out segments alike (split-conformal); selected: those that a planner would choose among many;
    episodes: episodes of the planner itself, from an earlier evaluation without a level; budgets: the same, the planner
    is given the largest budget of that evaluation under which it kept the wanted one."""
    first_episode: Annotated[int, Range(NUMBER)] = 0
    """With episodes and budgets: number of the first that counts, so that others stay to be measured on."""
    stretch: Annotated[int, Range(COUNT)] = 50
    """Environment steps that share a margin, with segments and selected."""
    num_candidates: Annotated[int | None, Range("[1, 2^20]")] = field(default=None, metadata={FORMERLY: "candidates"})
    """Segments that selected chooses among; by default as many as the planner samples."""
    cost_margin: Annotated[float | None, Range("(-inf, inf)")] = None
    """The planner's, as given to the evaluations that it is calibrated for; the found margin comes on top."""
    margin_level: Annotated[float | None, Range("[0, 1)")] = None
    """Share of held-out segments whose cost may exceed prediction plus margin, as given to those evaluations; the found
    margin comes on top."""


_COMMON = frozenset(("run", "level", "method", "strict", *MARGINS))
ROUTES: Routes = {
    "segments": _COMMON | {"data", "stretch"},
    "selected": _COMMON | {"data", "stretch", "num_candidates"},
    "episodes": _COMMON | {"first_episode"},
    "budgets": _COMMON | {"first_episode"},
}
"""Options that each method reads."""


def calibrate_run(
    path: Path,
    request: CalibrationRequest,
    *,
    given: Collection[str] = (),
    observer: Observer,
    faults: Faults | None = None,
) -> Calibration:
    """Margins of every seed and level of a run; nothing is written.

    Args:
        path: Folder of the run.
        request: Levels, method and data.
        given: Options that the user named, which are refused where nothing reads them.
        observer: Receives progress and remarks.
        faults: Faults of the request found so far.

    Returns:
        The calibration.

    Raises:
        ConfigError: The run cannot be calibrated so.
    """
    changed = given_overrides(request, MARGINS)
    with faults or Faults() as gathered:
        with gathered.also():
            whose = f"{option('method')} {request.method}"
            refuse_others(request, ROUTES[request.method], whose, given=given)
        check_writable(path)
        run = load_run(path, changed)
    if not run.algorithm.inputs.budget:
        raise ConfigError(f"{run.directory.path}: algorithm '{run.config.algorithm}' plans under no budget.")
    overrides = run.config.differing(changed)
    planned = request.method in ("episodes", "budgets")
    found = _from_episodes(run, request, overrides, observer) if planned else _from_segments(run, request, observer)
    return replace(found, overrides=overrides, checkpoint_sha256=run.sha256)


def _from_segments(run: LoadedRun, request: CalibrationRequest, observer: Observer) -> Calibration:
    algorithm = run.algorithm
    if not isinstance(algorithm, PredictsCosts):
        raise ConfigError(
            f"{run.directory.path}: algorithm '{run.config.algorithm}' predicts no cost; calibrate with "
            f"{option('method')} episodes."
        )
    task, levels = run.config.known_task(), request.level
    dataset, prepared, rows = _held_out(run, request.data)
    if request.data is not None:
        observer.remark(remarks(dataset, task, place=str(request.data)))
    candidates = request.num_candidates or algorithm.num_candidates
    seeds, outcomes, costly = {}, 0, 0
    source = str(request.data or run.config.data_path)
    with observer.progress("calibrating", unit="seeds") as line:
        for place, seed in enumerate(run.config.seeds):
            line.report(place, len(run.config.seeds))
            state = member(run.states, place)
            segments = held_out_outcomes(algorithm, state, prepared, rows, horizon=task.horizon)
            outcomes, costly = len(segments.step), int((segments.realised_cost != 0).sum())
            seeds[str(seed)] = {
                f"{level:g}": segment_margins(segments, level, horizon=task.horizon, stretch=request.stretch)
                if request.method == "segments"
                else selection_margins(
                    segments, level, horizon=task.horizon, stretch=request.stretch, candidates=candidates
                )
                for level in levels
            }
        line.report(len(run.config.seeds), len(run.config.seeds))
    observer.remark(_without_costs(costly, outcomes, source, "held-out segments"))
    ends = np.searchsorted(dataset.episode_ends, rows, side="right")
    return Calibration(request.method, run.step, request.stretch, seeds, len(np.unique(ends)), outcomes, source)


def _from_episodes(
    run: LoadedRun, request: CalibrationRequest, overrides: dict[str, Any], observer: Observer
) -> Calibration:
    task = run.config.known_task()
    file = run.directory.path / FOLDER / ROWS
    # A schedule's budget is none that the whole episode was planned under.
    rows = [
        row
        for row in read_budget_rows(file)
        if row.get("level") is None
        and row.get("planner_budget") is not None
        and not is_schedule(row["asked"])
        and row.get("overrides", {}) == overrides
    ]
    # The last evaluation without a level: earlier ones may have been of another checkpoint or other request.
    last = rows[-1]["setting"] if rows else ""
    rows = [
        row
        for row in rows
        if row["setting"] == last and row.get("step") == run.step and row["episode"] >= request.first_episode
    ]
    if not rows:
        raise ConfigError(
            f"{file}: expected episodes under limited budgets without a level and with the same margins, of the "
            f"checkpoint of {run.step} updates, found none; evaluate first."
        )
    seeds, kept, outcomes = {}, {}, 0
    for seed in run.config.seeds:
        chosen = [row for row in rows if row["seed"] == seed]
        outcomes = len(chosen)
        costs, budgets = (np.array([row[name] for row in chosen]) for name in ("discounted_cost", "planner_budget"))
        if request.method == "budgets":
            kept[str(seed)] = {f"{level:g}": [*kept_budgets(costs, budgets, level)] for level in request.level}
        else:
            seeds[str(seed)] = {f"{level:g}": [episode_margin(costs, budgets, level)] for level in request.level}
    costly = sum(row["discounted_cost"] != 0 for row in rows)
    observer.remark(_without_costs(costly, len(rows), str(file), "episodes"))
    return Calibration(request.method, run.step, task.horizon, seeds, outcomes, outcomes, str(file), kept)


def _without_costs(costly: int, outcomes: int, source: str, what: str) -> list[str]:
    """A sentence where none of the outcomes that margins come from has a cost: whatever was predicted covers them."""
    if costly:
        return []
    return [
        f"{source}: none of {outcomes:,} {what} has a cost, so that the margins say nothing of how far predictions "
        f"fall short of costs that come; calibrate on outcomes with costs"
    ]


def _held_out(run: LoadedRun, path: Path | None) -> tuple[Dataset, Any, np.ndarray]:
    """The data, as the algorithm sees them, and the rows at which held-out segments start."""
    task = run.config.known_task()
    if path is None:
        found = run_data(run.directory, run.config)
        dataset = found.transitions
        if dataset is None:
            raise ConfigError(
                f"{option('data')}: expected held-out episodes, found none; of the run's own: {found.reason}."
            )
    else:
        dataset = library.load(path, task)
    prepared: Any = run.algorithm.prepare(dataset, task)
    starts, held_out = np.asarray(prepared.windows.starts), np.asarray(prepared.held_out)
    if dataset.fingerprint() != run.config.data_fingerprint:
        return dataset, prepared, np.unique(np.concatenate([starts, held_out]))
    if np.isin(held_out, starts).any():
        raise ConfigError(
            f"{option('data')}: expected a file with other episodes than the run learned from, found the same; "
            "training has held none of them out (held_out_share)."
        )
    return dataset, prepared, held_out


def held_out_outcomes(
    algorithm: PredictsCosts, state: Any, prepared: Any, rows: np.ndarray, *, horizon: int
) -> HeldOut:
    """Predicted reward and cost, and realized cost, of held-out segments.

    Args:
        algorithm: The planner.
        state: Training state of one seed.
        prepared: Data as the algorithm reads them.
        rows: First rows of the segments, [n].
        horizon: Longest episode, in environment steps.

    Returns:
        Reward, predicted cost, realized cost (in the planner's units) and first step of each segment.

    Raises:
        OutputError: The networks overflow.
    """
    # The scales are those of the training data, which the networks know.
    windows = prepared.windows._replace(starts=jnp.asarray(rows))
    known = replace(prepared, windows=windows, statistics=state.normalizer)
    parts = []
    for first in range(0, len(rows), BATCH):
        places = np.arange(first, first + BATCH)
        found = _outcomes(algorithm, state, known, jnp.asarray(np.minimum(places, len(rows) - 1)))
        count = int((places < len(rows)).sum())  # the last batch is filled up, so that one program serves all
        parts.append([np.asarray(column)[:count] for column in found])
    reward, cost, came, left = (np.concatenate(column) for column in zip(*parts, strict=True))
    for name, values in (("reward", reward), ("cost", cost)):
        check_finite(f"predicted {name} (segment)", values, "the planner's networks overflow on the held-out segments")
    return HeldOut(reward, cost, came, np.round((1 - left) * horizon).astype(int))


@partial(jax.jit, static_argnames="algorithm")
def _outcomes(algorithm: PredictsCosts, state: Any, prepared: Any, places: jax.Array) -> tuple[jax.Array, ...]:
    segments = prepared.take(places).segments
    reward, cost = algorithm.predict(state, segments.x, jnp.zeros(1), segments.share_left)
    return reward, cost, segments.to_come[:, 1], segments.share_left
