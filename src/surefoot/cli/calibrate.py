"""`surefoot calibrate RUN`: the margin on a planner's predicted cost that keeps a level of episodes over budget."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from surefoot.cli.next_commands import calibrated_command
from surefoot.cli.options import gathering
from surefoot.cli.progress import Terminal
from surefoot.cli.terminal import say, say_lines
from surefoot.evaluation.calibrate import CalibrationRequest, calibrate_run
from surefoot.observer import StrictOption
from surefoot.report.found_rows import calibration_rows
from surefoot.report.tables import plain_table
from surefoot.runs.loaded import MARGINS, given_overrides
from surefoot.safety.calibration import write_calibration
from surefoot.training import RunDirectory


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(CalibrationRequest, StrictOption):
    """Compare the costs that a planner predicts with those that came, on outcomes that it did not learn from, and write
    margins beside the run (calibration.json). `surefoot evaluate RUN --budget ... --level 0.05` plans with them."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    with gathering(CalibrateOptions, arguments, command="calibrate") as (options, given, faults):
        observer = Terminal(strict=options.strict)
        found = calibrate_run(options.run, options, given=given, observer=observer, faults=faults)
    say_lines(plain_table(calibration_rows(found)))  # what hours were spent on: before a disk that is full
    write_calibration(options.run, found)
    say()
    command = calibrated_command(
        RunDirectory(options.run).read_config().known_task(),
        options.run,
        level=options.level[0],
        margins=given_overrides(options, MARGINS),
        fresh=options.method in ("episodes", "budgets") and options.first_episode == 0,
    )
    say(f"Written beside the run; use them with: {command}")
