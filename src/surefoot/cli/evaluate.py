"""`surefoot evaluate`: the policy from drawn and fixed starts, the learned feasible region against the exact one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from surefoot.cli.options import gathering
from surefoot.cli.progress import Terminal
from surefoot.cli.terminal import say_lines
from surefoot.evaluation.request import EvaluationRequest, evaluate_run
from surefoot.observer import StrictOption
from surefoot.report.summary_text import summary_text
from surefoot.runs.evaluation_files import NotKeptError


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(EvaluationRequest, StrictOption):
    """Measure the policy of a run: on PointRobot and PointRobotSlow from drawn starts, with its feasible region; on a
    simulator's task and on SafePendulum by a protocol of the field. An option that the run's task or algorithm does not
    read is refused. The options that change how the policy acts leave the run itself as it was trained; results of an
    earlier evaluation are replaced."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    try:
        with gathering(EvaluateOptions, arguments, command="evaluate") as (options, given, faults):
            observer = Terminal(strict=options.strict)
            found = evaluate_run(options.run, options, given=given, observer=observer, faults=faults)
    except NotKeptError as error:
        say_lines(summary_text(error.summary))  # what hours were spent on
        raise
    say_lines(summary_text(found))
