"""`surefoot calibrate RUN`: the margin on a planner's predicted cost that keeps a level of episodes over budget."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from surefoot.cli.faults import Faults
from surefoot.cli.next_commands import calibrated_command
from surefoot.cli.options import parse
from surefoot.cli.progress import ProgressLine
from surefoot.cli.remarks import StrictOption, remark
from surefoot.cli.routes import Routes, given_options, refuse_others
from surefoot.cli.terminal import say, say_lines
from surefoot.data import Dataset, library
from surefoot.data.remarks import remarks
from surefoot.errors import ConfigError, flag
from surefoot.evaluation.budgets import is_schedule
from surefoot.evaluation.kinds.budgets import ROWS
from surefoot.evaluation.rows import read_budget_rows
from surefoot.file_sets import check_writable
from surefoot.nn import member
from surefoot.numerics import check_finite
from surefoot.protocols import PredictsCosts
from surefoot.ranges import COUNT, NUMBER, Range, check_fields
from surefoot.report.tables import plain_table
from surefoot.runs.loaded import FOLDER, MARGINS, LoadedRun, given_overrides, load_run
from surefoot.runs.run_data import run_data
from surefoot.safety.calibration import (
    Calibration,
    CalibrationMethod,
    HeldOut,
    episode_margin,
    kept_budgets,
    segment_margins,
    selection_margins,
    write_calibration,
)
from surefoot.training import RunDirectory

BATCH = 1024
"""Segments whose cost is predicted at once."""


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(StrictOption):
    """Compare the costs that a planner predicts with those that came, on outcomes that it did not learn from, and write
    margins beside the run (calibration.json). `surefoot evaluate RUN --budget ... --level 0.05` plans with them."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
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
    cost_margin: Annotated[float | None, Range("(-inf, inf)")] = None
    """The planner's, as given to the evaluations that it is calibrated for; the found margin comes on top."""
    margin_level: Annotated[float | None, Range("[0, 1)")] = None
    """The same."""
    candidates: Annotated[int | None, Range("[1, 2^20]")] = None
    """Segments that selected chooses among; by default as many as the planner samples."""

    def __post_init__(self) -> None:
        check_fields(self, called=flag)


_COMMON = frozenset(("run", "level", "method", "strict", *MARGINS))
ROUTES: Routes = {
    "segments": _COMMON | {"data", "stretch"},
    "selected": _COMMON | {"data", "stretch", "candidates"},
    "episodes": _COMMON | {"first_episode"},
    "budgets": _COMMON | {"first_episode"},
}
"""Method -> the options that it reads."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    with Faults() as faults:
        options = parse(CalibrateOptions, arguments, command="calibrate", faults=faults)
        found = calibrate(
            options, given=given_options(CalibrateOptions, arguments, refused=faults.flags), faults=faults
        )
    say_lines(plain_table(_rows(found)))
    say()
    command = calibrated_command(
        RunDirectory(options.run).read_config().known_task(),
        options.run,
        level=options.level[0],
        margins=given_overrides(options, MARGINS),
        fresh=options.method in ("episodes", "budgets") and options.first_episode == 0,
    )
    say(f"Written beside the run; use them with: {command}")


def calibrate(options: CalibrateOptions, *, given: Collection[str] = (), faults: Faults | None = None) -> Calibration:
    """Find the margins of every seed and level, and write them into the run's folder. `given`: the options that a
    command line names; `faults`: what is wrong with it so far."""
    with faults or Faults() as gathered:
        with gathered.also():
            refuse_others(options, ROUTES[options.method], f"--method {options.method}", given=given)
        check_writable(options.run)
        loaded = load_run(options.run, given_overrides(options, MARGINS))
        if not loaded.algorithm.inputs.budget:
            raise ConfigError(f"{options.run}: algorithm '{loaded.config.algorithm}' plans under no budget.")
    planned = options.method in ("episodes", "budgets")
    overrides = loaded.config.differing(given_overrides(options, MARGINS))
    found = _from_episodes(loaded, options, overrides) if planned else _from_segments(loaded, options)
    found = replace(found, overrides=overrides, checkpoint_sha256=loaded.sha256)
    try:
        write_calibration(options.run, found)
    except OSError:
        say_lines(plain_table(_rows(found)))
        raise
    return found


def _from_segments(loaded: LoadedRun, options: CalibrateOptions) -> Calibration:
    algorithm = loaded.algorithm
    if not isinstance(algorithm, PredictsCosts):
        raise ConfigError(
            f"{options.run}: algorithm '{loaded.config.algorithm}' predicts no cost; calibrate with --method episodes."
        )
    task, levels = loaded.config.known_task(), options.level
    dataset, prepared, rows = _held_out(loaded, options.data)
    if options.data is not None:
        remark(remarks(dataset, task, place=str(options.data)), strict=options.strict)
    candidates = options.candidates or algorithm.candidates
    seeds, outcomes, costly = {}, 0, 0
    source = str(options.data or loaded.config.data_path)
    with ProgressLine("calibrating", unit="seeds") as line:
        for place, seed in enumerate(loaded.config.seeds):
            line.report(place, len(loaded.config.seeds))
            state = member(loaded.states, place)
            segments = held_out_outcomes(algorithm, state, prepared, rows, horizon=task.horizon)
            outcomes, costly = len(segments.step), int((segments.realised_cost != 0).sum())
            seeds[str(seed)] = {
                f"{level:g}": segment_margins(segments, level, horizon=task.horizon, stretch=options.stretch)
                if options.method == "segments"
                else selection_margins(
                    segments, level, horizon=task.horizon, stretch=options.stretch, candidates=candidates
                )
                for level in levels
            }
        line.report(len(loaded.config.seeds), len(loaded.config.seeds))
    remark(_without_costs(costly, outcomes, source, "held-out segments"), strict=options.strict)
    ends = np.searchsorted(dataset.episode_ends, rows, side="right")
    return Calibration(options.method, loaded.step, options.stretch, seeds, len(np.unique(ends)), outcomes, source)


def _from_episodes(loaded: LoadedRun, options: CalibrateOptions, overrides: dict[str, Any]) -> Calibration:
    task = loaded.config.known_task()
    file = options.run / FOLDER / ROWS
    # A schedule's budget is none that the whole episode was planned under.
    rows = [
        row
        for row in read_budget_rows(file)
        if row.get("level") is None
        and row.get("planner_budget") is not None
        and not is_schedule(row["asked"])
        and row.get("overrides", {}) == overrides
    ]
    # The last evaluation without a level: earlier ones may have been of another checkpoint or other options.
    last = rows[-1]["setting"] if rows else ""
    rows = [
        row
        for row in rows
        if row["setting"] == last and row.get("step") == loaded.step and row["episode"] >= options.first_episode
    ]
    if not rows:
        raise ConfigError(
            f"{file}: expected episodes under limited budgets without a level and with the same margins, of the "
            f"checkpoint of {loaded.step} updates, found none; evaluate first."
        )
    seeds, kept, outcomes = {}, {}, 0
    for seed in loaded.config.seeds:
        chosen = [row for row in rows if row["seed"] == seed]
        outcomes = len(chosen)
        costs, budgets = (np.array([row[name] for row in chosen]) for name in ("discounted_cost", "planner_budget"))
        if options.method == "budgets":
            kept[str(seed)] = {f"{level:g}": [*kept_budgets(costs, budgets, level)] for level in options.level}
        else:
            seeds[str(seed)] = {f"{level:g}": [episode_margin(costs, budgets, level)] for level in options.level}
    costly = sum(row["discounted_cost"] != 0 for row in rows)
    remark(_without_costs(costly, len(rows), str(file), "episodes"), strict=options.strict)
    return Calibration(options.method, loaded.step, task.horizon, seeds, outcomes, outcomes, str(file), kept)


def _without_costs(costly: int, outcomes: int, source: str, what: str) -> list[str]:
    """A sentence where none of the outcomes that margins come from has a cost: whatever was predicted covers them."""
    if costly:
        return []
    return [
        f"{source}: none of {outcomes:,} {what} has a cost, so that the margins say nothing of how far predictions "
        f"fall short of costs that come; calibrate on outcomes with costs"
    ]


def _held_out(loaded: LoadedRun, path: Path | None) -> tuple[Dataset, Any, np.ndarray]:
    """The data, as the algorithm sees them, and the rows at which held-out segments start."""
    task = loaded.config.known_task()
    if path is None:
        found = run_data(loaded.directory, loaded.config)
        dataset = found.transitions
        if dataset is None:
            raise ConfigError(f"--data: expected held-out episodes, found none; of the run's own: {found.reason}.")
    else:
        dataset = library.read(path, task)
    prepared: Any = loaded.algorithm.prepare(dataset, task)
    starts, held_out = np.asarray(prepared.windows.starts), np.asarray(prepared.held_out)
    if dataset.fingerprint() != loaded.config.data_fingerprint:
        return dataset, prepared, np.unique(np.concatenate([starts, held_out]))
    if np.isin(held_out, starts).any():
        raise ConfigError(
            "--data: expected a file with other episodes than the run learned from, found the same; training has "
            "held none of them out (held_out_share)."
        )
    return dataset, prepared, held_out


def held_out_outcomes(
    algorithm: PredictsCosts, state: Any, prepared: Any, rows: np.ndarray, *, horizon: int
) -> HeldOut:
    """What a planner's values say of the segments that start at `rows`, and what came; costs in its own units."""
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


def _rows(found: Calibration) -> list[dict[str, str]]:
    rows = []
    for seed, levels in found.seeds.items():
        for level, margins in levels.items():
            listed = "  ".join(f"{value:.3g}" for value in margins)
            rows.append({"seed": seed, "level": level, f"margin of each {found.stretch} steps": listed})
    for seed, levels in found.kept.items():
        for level, (given, kept) in levels.items():
            listed = "  ".join(f"{budget:.3g}: {cost:.3g}" for budget, cost in zip(given, kept, strict=True))
            holds = f"{found.holds_from(int(seed), float(level)):.3g}"
            rows.append({"seed": seed, "level": level, "holds from": holds, "budget given: cost kept to": listed})
    return rows
