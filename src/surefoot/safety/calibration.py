"""Margins between a planner's predicted cost and the cost that followed, from held-out outcomes.

A planner under a budget b keeps the plans whose predicted cost C is at most b. With a margin m it asks C + m <= b,
which is the same as planning under b - m, so that a margin needs nothing of the planner. Split-conformal prediction
(Vovk et al., 2005; Lei et al., 2018) takes for m the ceil((n + 1)(1 - level))-th smallest of n held-out residuals
"realised less predicted": a further residual that is exchangeable with them exceeds it with a probability of at most
`level`.

The planner's own plans are not exchangeable with segments of the data: it picks, among many, plans that promise a high
return at a low cost, and errors of the prediction with them. `selection_margin` imitates that choice on the data, and
`episode_margin` takes whole episodes of the planner itself, which cost simulation; `kept_budgets` does so for each
budget apart, since by how much a planner exceeds a budget may depend on the budget.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from surefoot.errors import ConfigError, flag
from surefoot.files import write_json
from surefoot.json_files import read_json
from surefoot.ranges import COUNT, NUMBER, Range, Ranged, check_number

FILE, FORMAT_VERSION = "calibration.json", 2
CalibrationMethod = Literal["segments", "selected", "episodes", "budgets"]
"""`segments`: residuals of all held-out segments; `selected`: of those that a planner would choose among many;
`episodes`: of whole episodes of the planner; `budgets`: the same, each budget apart."""
_TRIED_MARGINS = 64
_DRAWS = 2000


class HeldOut(NamedTuple):
    """Segments that no training saw, and what became of them; costs in the planner's units."""

    predicted_return: Float[np.ndarray, " n"]
    """From the segment's start to the episode's end, by the planner's value."""
    predicted_cost: Float[np.ndarray, " n"]
    realised_cost: Float[np.ndarray, " n"]
    """From the segment's start to the episode's end."""
    step: Int[np.ndarray, " n"]
    """Environment steps before the segment."""


@dataclass(frozen=True)
class Calibration(Ranged):
    """Margins of a run, as calibration.json holds them."""

    method: CalibrationMethod
    checkpoint_step: Annotated[int, Range(NUMBER)]
    """Updates of the checkpoint whose predictions were judged."""
    stretch: Annotated[int, Range(COUNT)]
    """Environment steps that share a margin."""
    seeds: dict[str, dict[str, list[float]]]
    """Training seed -> level -> a margin for each stretch of steps, in the planner's units."""
    episodes: Annotated[int, Range(NUMBER)]
    """Held-out episodes."""
    outcomes: Annotated[int, Range(NUMBER)]
    """Residuals that the margins of one seed rest on."""
    source: str
    """Where they came from."""
    kept: dict[str, dict[str, list[list[float]]]] = field(default_factory=dict)
    """With `budgets`, instead of `seeds`: training seed -> level -> budgets that the planner was given, and what it
    then kept to (`kept_budgets`)."""
    overrides: dict[str, Any] = field(default_factory=dict)
    """Hyper-parameters that the planner acted with instead of its run's own; a margin is good beside these alone."""
    checkpoint_sha256: str = ""
    """Of that checkpoint's arrays: the margins are of no use to another run."""
    format_version: Annotated[int, Range(COUNT)] = FORMAT_VERSION

    def for_seed(self, seed: int, level: float) -> list[float] | list[list[float]]:
        """Margins of a training seed. `ConfigError` for a level that was not calibrated."""
        known = (self.kept if self.method == "budgets" else self.seeds).get(str(seed), {})
        if f"{level:g}" not in known:
            raise ConfigError(
                f"--level: expected one that was calibrated ({', '.join(known) or 'none'}), found {level:g}; "
                f"see `surefoot calibrate`."
            )
        return known[f"{level:g}"]

    def holds_from(self, seed: int, level: float) -> float:
        """The least budget that the level is good for: with `budgets` what the smallest that was tried kept to, below
        which nothing is known; else 0. `ConfigError` as `for_seed`."""
        found = self.for_seed(seed, level)
        return float(np.asarray(found)[1][0]) if self.method == "budgets" else 0.0

    def doubt(self, seeds: Sequence[int], level: float, totals: Float[np.ndarray, "n t"]) -> str | None:
        """A sentence where some of these budgets of whole episodes are smaller than all that the level is good for."""
        least = max(self.holds_from(seed, level) for seed in seeds)
        below = ", ".join(f"{budget:g}" for budget in np.unique(totals[totals < least]))
        if not below:
            return None
        return (
            f"the level {level:g} is not known to hold under {below}: under none of the budgets that calibrated did "
            f"the planner keep to less than {least:.3g}; calibrate with smaller ones."
        )

    def margins(self, seed: int, level: float, totals: Float[np.ndarray, "n t"]) -> Float[np.ndarray, "n t"]:
        """The margin of each step under these budgets of whole episodes, in the planner's units; `ConfigError` as
        `for_seed`.

        Behind the last stretch, where no segment starts, its margin shrinks with the steps that are left.
        """
        found = self.for_seed(seed, level)
        if self.method == "budgets":
            given, kept = np.asarray(found)
            return _margin_of_budget(totals, given, kept)
        horizon, values = totals.shape[1], np.asarray(found)
        steps = np.arange(horizon)
        covered = min(self.stretch * len(values), horizon)
        left = np.minimum((horizon - steps) / max(horizon - covered + 1, 1), 1.0)
        return np.broadcast_to(values[np.minimum(steps // self.stretch, len(values) - 1)] * left, totals.shape)


def conformal_quantile(residuals: Float[np.ndarray, " n"], level: float) -> float:
    """The ceil((n + 1)(1 - level))-th smallest residual. `ConfigError` where n is too small for the level, which takes
    (n + 1) level >= 1, or the level is outside (0, 1)."""
    check_number(level, "(0, 1)", "level")
    count = len(residuals)
    # A thousandth of a rank for (n + 1)(1 - level) that is whole but for rounding.
    rank = math.ceil((count + 1) * (1 - level) - 1e-3)
    if rank > count:
        raise ConfigError(
            f"--level {level:g}: expected at least {math.ceil(1 / level - 1e-9) - 1} held-out outcomes for each "
            f"margin, found {count}; give more data or episodes, longer stretches or a higher level."
        )
    return float(np.sort(residuals)[rank - 1])


def segment_margins(held_out: HeldOut, level: float, *, horizon: int, stretch: int) -> list[float]:
    """The split-conformal margin of each stretch of steps (Mondrian: each by its own residuals); never below 0."""
    residuals = held_out.realised_cost - held_out.predicted_cost
    return [
        max(0.0, conformal_quantile(residuals[rows], level)) for rows in _stretches(held_out.step, horizon, stretch)
    ]


def selection_margins(
    held_out: HeldOut, level: float, *, horizon: int, stretch: int, candidates: int, seed: int = 0
) -> list[float]:
    """The same against the planner's choice. For each stretch, many times: draw `candidates` of its segments and one of
    its realised costs as the budget b, keep those with C + m <= b, take the one of the largest predicted return; m is
    the smallest of a grid from which on the realised cost exceeds b in at most a share `level` of the choices.

    The draws share segments, so that this is an estimate without a guarantee in finite samples.
    """
    check_number(level, "(0, 1)", "level")
    random = np.random.default_rng(seed)
    return [
        _selection_margin(HeldOut(*(column[rows] for column in held_out)), level, candidates, random)
        for rows in _stretches(held_out.step, horizon, stretch)
    ]


def _selection_margin(held_out: HeldOut, level: float, candidates: int, random: np.random.Generator) -> float:
    count = len(held_out.step)
    conformal_quantile(held_out.realised_cost, level)  # refuses too few
    drawn = random.integers(count, size=(_DRAWS, min(candidates, count)))
    budget = held_out.realised_cost[random.integers(count, size=_DRAWS)]
    predicted, promised = held_out.predicted_cost[drawn], held_out.predicted_return[drawn]
    largest = float((held_out.realised_cost - held_out.predicted_cost).max())
    tried = np.linspace(0.0, max(largest, 0.0), _TRIED_MARGINS)
    best = tried[-1]
    for margin in tried[::-1]:
        feasible = predicted + margin <= budget[:, None]
        chosen = np.where(feasible, promised, -np.inf).argmax(1)
        there = feasible.any(1)
        realised = held_out.realised_cost[drawn[np.arange(_DRAWS), chosen]]
        if ((realised > budget) & there).sum() + 1 > level * (there.sum() + 1):
            break
        best = margin
    return float(best)


def episode_margin(costs: Float[np.ndarray, " n"], budgets: Float[np.ndarray, " n"], level: float) -> float:
    """The margin on b_0 from whole episodes of the planner: the conformal quantile of cost less budget, at least 0.

    It holds as far as by how much an episode exceeds its budget does not depend on the budget.
    """
    return max(0.0, conformal_quantile(np.asarray(costs) - np.asarray(budgets), level))


def kept_budgets(
    costs: Float[np.ndarray, " n"], budgets: Float[np.ndarray, " n"], level: float
) -> tuple[list[float], list[float]]:
    """The given budgets, ascending, and the cost that episodes under each of them kept: the conformal quantile, made
    monotone.

    A further episode under one of these budgets costs more than its quantile with a probability of at most `level`,
    whatever the budget. `ConfigError` where a budget has too few episodes for the level.
    """
    given = np.unique(budgets)
    quantiles = [conformal_quantile(costs[budgets == budget], level) for budget in given]
    return given.tolist(), np.maximum.accumulate(quantiles).tolist()


def _margin_of_budget(
    wanted: Float[np.ndarray, "n t"], given: Float[np.ndarray, " k"], kept: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "n t"]:
    """Amount to subtract from a wanted budget so that the planner, given the rest, keeps it; at least 0.

    The rest is the largest budget that was tried under which the planner kept the wanted one, and none in between:
    what a planner costs may jump from one budget to the next. Below what the smallest kept to, where nothing is known,
    that one's excess is taken off; above what the largest kept to, its excess.
    """
    place = np.searchsorted(kept, wanted, side="right") - 1
    outside = (place < 0) | (place == len(kept) - 1)
    nearest = np.clip(place, 0, len(kept) - 1)
    # An infinite budget lies outside, too, and infinity less infinity is no number.
    within = np.where(outside, 0.0, wanted)
    return np.maximum(np.where(outside, kept[nearest] - given[nearest], within - given[nearest]), 0.0)


def write_calibration(run: Path, calibration: Calibration) -> Path:
    """Write calibration.json into a run's folder, in one step; the checkpoint stays as it is."""
    write_json(run / FILE, asdict(calibration))
    return run / FILE


def read_calibration(run: Path, *, step: int, sha256: str, overrides: Mapping[str, Any] | None = None) -> Calibration:
    """The margins in a run's folder. `ConfigError` where there are none, they cannot be read, or they belong to another
    checkpoint than the one of `step` updates and that hash, or to a planner that acts with other `overrides`."""
    path = run / FILE
    if not path.exists():
        raise ConfigError(f"{run}: --level needs the margins of `surefoot calibrate`, found no {FILE} there.")
    what, again = "the margins of a run", "calibrate again"
    version = read_json(path, dict[str, Any], what=what, advice=again).get("format_version")
    if version != FORMAT_VERSION:
        older = ", which does not say whose margins they are" if version == 1 else ""
        raise ConfigError(
            f"{path}: format_version: expected {FORMAT_VERSION}, found {json.dumps(version):.60}{older}; {again}."
        )
    found = read_json(path, Calibration, what=what, advice=again)
    if (fault := _fault(found)) is not None:
        raise ConfigError(f"{path}: {fault}; {again}.")
    if found.checkpoint_step != step:
        raise ConfigError(
            f"{path}: expected margins of the checkpoint of {step} updates, found those of {found.checkpoint_step}; "
            f"{again}."
        )
    if found.checkpoint_sha256 != sha256:
        raise ConfigError(
            f"{path}: expected margins of this run's checkpoint, sha256 {sha256[:16]}..., found those of another, "
            f"{ascii(found.checkpoint_sha256[:16])[1:-1]}...; {again}."
        )
    if found.overrides != dict(overrides or {}):
        raise ConfigError(
            f"{path}: expected margins for a planner with {_named(overrides or {})}, found those for one with "
            f"{_named(found.overrides)}; calibrate again with the same options."
        )
    return found


def _fault(found: Calibration) -> str | None:
    """The first fault of a calibration as "key: expected ..., found ..."; None where there is none."""
    given, empty = ("kept", "seeds") if found.method == "budgets" else ("seeds", "kept")
    if getattr(found, empty):
        return f"{empty}: expected nothing with the method {found.method}, found margins"
    tables: dict[str, dict[str, Any]] = getattr(found, given)
    for seed, levels in tables.items():
        if not (seed.isascii() and seed.isdecimal()):
            return f"{given}: expected numbers of seeds as keys, found {seed!a:.60}"
        for level, margins in levels.items():
            if not _is_level(level):
                return f"{given}.{seed}: expected levels between 0 and 1 as keys, found {level!a:.60}"
            if (fault := _margins_fault(margins, found.method)) is not None:
                return f"{given}.{seed}.{level}: {fault}"
    return None


def _is_level(text: str) -> bool:
    try:
        return 0 < float(text) < 1 and f"{float(text):g}" == text
    except ValueError:
        return False


def _margins_fault(margins: list[Any], method: CalibrationMethod) -> str | None:
    if method != "budgets":
        return None if margins and min(margins) >= 0 else "expected margins of at least 0, found others or none"
    if len(margins) != 2 or len(margins[0]) != len(margins[1]) or not margins[0]:
        return "expected as many budgets as costs that were kept to, found other lists"
    given, kept = margins
    if min(given) < 0 or min(kept) < 0 or sorted({*given}) != given or sorted(kept) != kept:
        return "expected rising budgets and costs of at least 0, found others"
    return None


def _named(overrides: Mapping[str, Any]) -> str:
    """The overridden hyper-parameters as flags with their values."""
    flags = [f"{flag(name)} {value}" for name, value in overrides.items()]
    return " ".join(flags) or "its own hyper-parameters"


def _stretches(step: Int[np.ndarray, " n"], horizon: int, stretch: int) -> list[np.ndarray]:
    """The rows of each stretch of steps; the last one goes on to the horizon where no segment starts so late."""
    last = int(step.max(initial=0)) // stretch
    groups = np.minimum(step // stretch, last)
    return [np.flatnonzero(groups == group) for group in range(min(last, (horizon - 1) // stretch) + 1)]
