"""Episodes of a controller in an environment of other people, as the rows of a log."""

from typing import Any, NamedTuple

import numpy as np

from surefoot.envs.own.backend import GymnasiumBackend
from surefoot.envs.own.controllers import chosen, controller
from surefoot.tasks.task_file import TaskFile


class Request(NamedTuple):
    """Description of an episode, which depends on nothing else."""

    seed: int
    """Seed of the environment."""
    policy: str
    """Name of the policy, as `controller` takes it."""
    noise: float
    """Standard deviation of noise on the policy's actions, in halves of their ranges."""
    noise_seed: int


Rows = dict[str, np.ndarray]
"""Column -> its numbers, float64 [T] or [T + 1]; NaN where a row has none."""


def play(backend: GymnasiumBackend, request: Request, horizon: int) -> Rows:
    """Play one episode.

    Args:
        backend: The environment.
        request: Description of the episode.
        horizon: Most steps.

    Returns:
        Columns of the log, float64 [T] or [T + 1].

    Raises:
        EnvironmentFault: The environment fails, or does not fit its task file.
        ConfigError: The policy fails.
    """
    file, units = backend.file, backend.units
    random = np.random.default_rng(request.noise_seed)
    act = controller(request.policy, backend.env, units)(random)
    observation, steps, over, terminated = backend.reset(request.seed), 0, False, False
    rows: list[dict[str, float]] = []
    while not over:
        action = chosen(act, observation, width=len(units.low), policy=request.policy)
        noise = request.noise * random.standard_normal(len(action)) * 0.5 * (units.high - units.low)
        observation, reward, cost, terminated = backend.step(units.limited(action + noise, backend.applied))
        steps += 1
        over = terminated or backend.truncated or steps >= horizon
        row = {**_costs(file, cost), **backend.columns.last_row}
        if file.reward is not None and file.reward.column:
            row.setdefault(file.reward.column, reward)
        for name in file.observation.columns if file.observation.next_prefix else ():
            row[file.observation.next_prefix + name] = backend.columns.state[name]
        rows.append(row | _flags(file, False, False))
    _end(file, rows, backend.columns.state, terminated=terminated)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}


def _end(file: TaskFile, rows: list[dict[str, float]], state: Any, *, terminated: bool) -> None:
    """Mark the last row. Where rows do not hold the state that follows, another one holds that in which the episode
    ended, and nothing else; but not where the mark is what a step cost, too."""
    flags = _flags(file, terminated, not terminated)
    computed = {one.column for one in file.constraint}
    if file.observation.next_prefix or any(flags[name] and name in computed for name in flags):
        rows[-1] |= flags
    else:
        rows.append({**state, **flags})


def _flags(file: TaskFile, terminated: bool, truncated: bool) -> dict[str, float]:
    flags = {file.episodes.terminated: float(terminated), file.episodes.truncated: float(truncated)}
    return {name: value for name, value in flags.items() if name}


def _costs(file: TaskFile, cost: float) -> dict[str, float]:
    """The step's cost under the name of the column that holds costs, where one does: the environment may tell it under
    another."""
    columns = [one.column for one in file.costs if one.column]
    return dict.fromkeys(columns[:1], cost)
