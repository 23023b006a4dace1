"""The part of `surefoot collect` that writes logs of a task file's environment."""

import os
from pathlib import Path
from typing import Protocol

from surefoot.checkpoint import versions
from surefoot.cli.progress import ProgressLine, Terminal
from surefoot.data import Dataset
from surefoot.errors import ConfigError
from surefoot.tasks import Task

EPISODES = 100
"""By default, where neither episodes nor transitions are asked for."""


class OwnOptions(Protocol):
    """The options that are read."""

    @property
    def policy(self) -> str | None: ...
    @property
    def episodes(self) -> int | None: ...
    @property
    def transitions(self) -> int | None: ...
    @property
    def noise(self) -> float | None: ...
    @property
    def workers(self) -> int | None: ...
    @property
    def seed(self) -> int: ...
    @property
    def out(self) -> Path: ...


def collect_own_task(options: OwnOptions, task: Task) -> Dataset:
    """Collect and write what the options say; the transitions of the log."""
    # Here: nothing else of the command needs these.
    from surefoot.collection.own import OwnCollection, collect_own, write_log
    from surefoot.envs.workers.players import OWN, Players

    if options.out.suffix.lower() not in (".csv", ".hdf5", ".h5"):
        raise ConfigError(f"--out: expected a file that ends in .csv or .hdf5, found {options.out}.")
    if options.episodes is not None and options.transitions is not None:
        raise ConfigError("--episodes: expected either these or --transitions, found both.")
    episodes = EPISODES if options.episodes is None and options.transitions is None else options.episodes
    given = {"policy": options.policy, "noise": options.noise, "transitions": options.transitions}
    chosen = {name: value for name, value in given.items() if value is not None}
    collection = OwnCollection(task, episodes=episodes, seed=options.seed, **chosen)
    workers = min(os.cpu_count() or 1, episodes or 8) if options.workers is None else options.workers
    players = Players(task, OWN, workers=workers, on_death=Terminal().warn_of_death)
    unit = "transitions" if episodes is None else "episodes"
    with players, ProgressLine(f"collecting {task.name}", unit=unit) as line:
        columns = collect_own(collection, players, on_progress=line.report)
    facts = {"recipe": "surefoot collect", "policy": collection.policy, "noise": collection.noise, "seed": options.seed}
    return write_log(collection, columns, options.out, card={**facts, "versions": versions()})
