"""`surefoot algorithms`: what there is to train, those of other packages included."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from surefoot.cli.options import parse
from surefoot.cli.terminal import say_lines, warn
from surefoot.report.algorithms import entry_rows, known_algorithms
from surefoot.report.tables import plain_table


@dataclass(frozen=True, kw_only=True)
class AlgorithmsOptions:
    """List the algorithms: paper, what they take (vectors, images, a budget at run time, windows of steps), the values
    that they offer, trained parameters (preset small on PointRobot), presets, and whether decisions can be exported."""

    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print JSON instead of a table."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    options: AlgorithmsOptions = parse(AlgorithmsOptions, arguments, command="algorithms")
    entries = known_algorithms(unusable=warn)
    if options.json:
        say_lines(json.dumps([one._asdict() for one in entries], indent=2))
    else:
        say_lines(plain_table(entry_rows(entries)))
