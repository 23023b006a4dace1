"""Calibrated margins of a run, as its folder keeps them, and the budgets for which they hold."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Float

from surefoot.errors import ConfigError, flag, option
from surefoot.files import write_json
from surefoot.json_files import read_json
from surefoot.ranges import COUNT, NUMBER, Range, Ranged

FILE, FORMAT_VERSION = "calibration.json", 2
CalibrationMethod = Literal["segments", "selected", "episodes", "budgets"]
"""`segments`: residuals of all held-out segments. `selected`: residuals of segments that a planner would choose among
many. `episodes`: residuals of whole episodes of the planner. `budgets`: of whole episodes, for each budget by itself.
"""


@dataclass(frozen=True)
class Calibration(Ranged):
    """Margins of a run, the contents of calibration.json."""

    method: CalibrationMethod
    checkpoint_step: Annotated[int, Range(NUMBER)]
    """Updates of the checkpoint that made the predictions."""
    stretch: Annotated[int, Range(COUNT)]
    """Number of consecutive environment steps that share a margin."""
    seeds: dict[str, dict[str, list[float]]]
    """Training seed -> level -> a margin for each stretch of steps, in the planner's units."""
    episodes: Annotated[int, Range(NUMBER)]
    """Held-out episodes."""
    outcomes: Annotated[int, Range(NUMBER)]
    """Residuals behind the margins of one seed."""
    source: str
    """Origin of the episodes, in words."""
    kept: dict[str, dict[str, list[list[float]]]] = field(default_factory=dict)
    """For method `budgets`, in place of `seeds`: training seed -> level -> (budgets that the planner was given, costs
    that it then kept to), as of `kept_budgets`."""
    overrides: dict[str, Any] = field(default_factory=dict)
    """Hyper-parameters that the planner acted with in place of its run's own; margins hold with these alone."""
    checkpoint_sha256: str = ""
    """Hash of the checkpoint's arrays, as margins hold for no other run."""
    format_version: Annotated[int, Range(COUNT)] = FORMAT_VERSION

    def for_seed(self, seed: int, level: float) -> list[float] | list[list[float]]:
        """Margins of a training seed.

        Args:
            seed: Training seed.
            level: Largest probability of exceeding a budget, in (0, 1).

        Returns:
            A margin for each stretch of steps, in the planner's units; for method `budgets`, budgets and kept costs.

        Raises:
            ConfigError: The level was not calibrated.
        """
        known = (self.kept if self.method == "budgets" else self.seeds).get(str(seed), {})
        if f"{level:g}" not in known:
            raise ConfigError(
                f"{option('level')}: expected one that was calibrated ({', '.join(known) or 'none'}), found {level:g}; "
                f"see `surefoot calibrate`."
            )
        return known[f"{level:g}"]

    def holds_from(self, seed: int, level: float) -> float:
        """Smallest budget for which a level is known to hold.

        Args:
            seed: Training seed.
            level: Largest probability of exceeding a budget, in (0, 1).

        Returns:
            For method `budgets` the cost that the planner kept to under the smallest budget tried; else 0.

        Raises:
            ConfigError: The level was not calibrated.
        """
        found = self.for_seed(seed, level)
        return float(np.asarray(found)[1][0]) if self.method == "budgets" else 0.0

    def doubt(self, seeds: Sequence[int], level: float, totals: Float[np.ndarray, "n t"]) -> str | None:
        """Warning of budgets for which the level is not known to hold.

        Args:
            seeds: Training seeds.
            level: Largest probability of exceeding a budget, in (0, 1).
            totals: Budgets b_0 of n episodes at each of their steps [n, t], in the planner's units.

        Returns:
            A sentence, or None where all budgets are large enough.
        """
        least = max(self.holds_from(seed, level) for seed in seeds)
        below = ", ".join(f"{budget:g}" for budget in np.unique(totals[totals < least]))
        if not below:
            return None
        return (
            f"the level {level:g} is not known to hold under {below}: under none of the budgets that calibrated did "
            f"the planner keep to less than {least:.3g}; calibrate with smaller ones."
        )

    def margins(self, seed: int, level: float, totals: Float[np.ndarray, "n t"]) -> Float[np.ndarray, "n t"]:
        """Margin of each step of episodes.

        Behind the last stretch, where no segment starts, its margin shrinks with the steps that are left.

        Args:
            seed: Training seed.
            level: Largest probability of exceeding a budget, in (0, 1).
            totals: Budgets b_0 of n episodes at each of their steps [n, t], in the planner's units.

        Returns:
            Margins [n, t] in the planner's units.

        Raises:
            ConfigError: The level was not calibrated.
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


def _margin_of_budget(
    wanted: Float[np.ndarray, "n t"], given: Float[np.ndarray, " k"], kept: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "n t"]:
    """Amount to subtract from a wanted budget so that the planner, given the rest, keeps it; at least 0.

    The rest is the largest tried budget under which the planner kept the wanted one, without interpolation: a planner's
    cost may jump from one budget to the next. Below the cost kept under the smallest tried budget, where nothing is
    known, that budget's excess is subtracted; above the cost kept under the largest, the largest's excess.
    """
    place = np.searchsorted(kept, wanted, side="right") - 1
    outside = (place < 0) | (place == len(kept) - 1)
    nearest = np.clip(place, 0, len(kept) - 1)
    # An infinite budget lies outside, too, and infinity less infinity is no number.
    within = np.where(outside, 0.0, wanted)
    return np.maximum(np.where(outside, kept[nearest] - given[nearest], within - given[nearest]), 0.0)


def write_calibration(run: Path, calibration: Calibration) -> Path:
    """Write calibration.json into a run's folder in one step; the checkpoint stays as it is.

    Args:
        run: Folder of the run.
        calibration: Margins.

    Returns:
        The file.
    """
    write_json(run / FILE, asdict(calibration))
    return run / FILE


def read_calibration(run: Path, *, step: int, sha256: str, overrides: Mapping[str, Any] | None = None) -> Calibration:
    """Read the margins in a run's folder, checked against its checkpoint.

    Args:
        run: Folder of the run.
        step: Updates of the checkpoint.
        sha256: Hash of the checkpoint's arrays.
        overrides: Hyper-parameters that the planner acts with in place of its run's own.

    Returns:
        The margins.

    Raises:
        ConfigError: There are none, they cannot be read, or they belong to another checkpoint or other overrides.
    """
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
