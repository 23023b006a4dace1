"""`surefoot collect`: a dataset from our own behaviours or from a learner in a simulator, with its card."""

from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from surefoot import data
from surefoot.cli.options import gathering
from surefoot.cli.progress import Terminal
from surefoot.cli.terminal import remark, say
from surefoot.data.remarks import remarks
from surefoot.experiments.collect import collect
from surefoot.experiments.collect_request import CollectRequest
from surefoot.observer import StrictOption
from surefoot.report.found_rows import coverage_sentence
from surefoot.tasks import get_task


@dataclass(frozen=True, kw_only=True)
class CollectOptions(CollectRequest, StrictOption):
    """Collect a dataset. PointRobot and PointRobotSlow: half from random held actions, half from goal-seekers of varied
    caution.
    HazardRun and PointRobotPixels: images of as much random, careless and careful behaviour; PointGoal1Vision and its
    like the same from the robot's cameras, into a folder that grows when more transitions are asked for. DSRL's tasks:
    every episode of a safe learner whose cost limit rises, in navigation after those of scripted drivers of varied
    caution, in MetaDrive those of drivers alone, thinned on a grid of cost and return. TREBI's tasks, with
    --recipe medium-replay: the whole replay buffer of SAC, which ignores costs.

    A collection by a learner that was stopped or killed goes on when the same command is started again.
    """

    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace the file if it exists."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    with gathering(CollectOptions, arguments, command="collect") as (options, given, faults):
        dataset = collect(options, given=given, observer=Terminal(), faults=faults)
    say(f"{options.out}: {coverage_sentence(dataset)}")
    remark(remarks(dataset, get_task(options.task), place=str(options.out)), strict=options.strict)
    if options.out.is_dir() or options.out.suffix.lower() == ".csv":
        return
    for sentence in data.read_card(options.out).get("falls_short", []):
        say(f"falls short: {sentence}")
