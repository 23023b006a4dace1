"""`surefoot calibrate RUN`: the margin on a planner's predicted cost that keeps a level of episodes over budget."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from surefoot.cli.next_commands import calibrated_command
from surefoot.cli.options import parse
from surefoot.cli.progress import Terminal
from surefoot.cli.remarks import StrictOption
from surefoot.cli.routes import given_options
from surefoot.cli.terminal import say, say_lines
from surefoot.evaluation.calibrate import CalibrationRequest, find_margins
from surefoot.faults import Faults
from surefoot.file_sets import check_writable
from surefoot.ranges import Range
from surefoot.report.tables import plain_table
from surefoot.routes import Routes, refuse_others
from surefoot.runs.loaded import MARGINS, given_overrides, load_run
from surefoot.safety.calibration import Calibration, write_calibration
from surefoot.training import RunDirectory


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(CalibrationRequest, StrictOption):
    """Compare the costs that a planner predicts with those that came, on outcomes that it did not learn from, and write
    margins beside the run (calibration.json). `surefoot evaluate RUN --budget ... --level 0.05` plans with them."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    cost_margin: Annotated[float | None, Range("(-inf, inf)")] = None
    """The planner's, as given to the evaluations that it is calibrated for; the found margin comes on top."""
    margin_level: Annotated[float | None, Range("[0, 1)")] = None
    """The same."""


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
    changed = given_overrides(options, MARGINS)
    found = find_margins(loaded, options, changed=changed, observer=Terminal(strict=options.strict))
    try:
        write_calibration(options.run, found)
    except OSError:
        say_lines(plain_table(_rows(found)))
        raise
    return found


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
