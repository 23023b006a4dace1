"""A check of whether tasks run here as the table of tasks says, and how fast."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from surefoot.envs.simulators import make
from surefoot.errors import ConfigError, SimulatorError, option
from surefoot.observer import Observer
from surefoot.tasks import Task, get_task


class Probe(NamedTuple):
    """Measurements of a task's simulator."""

    observation_dim: int
    action_dim: int
    horizon: int
    """Horizon of the simulator itself, steps."""
    steps_per_cpu_second: float
    """Steps per CPU second of the simulator's process, with random actions, without resets."""
    reset_cpu_seconds: float
    """CPU seconds of the last reset."""


def probe(task: Task, *, steps: int = 50, seed: int = 0) -> Probe:
    """Open a task and take random steps.

    Args:
        task: The task.
        steps: Number of steps.
        seed: Seed of the actions and episodes.

    Returns:
        Measurements.

    Raises:
        SimulatorError: The simulator is missing, or differs from the table of tasks.
    """
    env = make(task)  # refuses other dimensions
    try:
        if (found := env.backend.horizon) != task.horizon:
            raise SimulatorError(
                f"task {task.name}: expected a horizon of {task.horizon}, found {found} in its simulator."
            )
        actions = np.random.default_rng(seed).uniform(-1, 1, (steps, task.action_dim)).astype(np.float32)
        stepping = resetting = 0.0
        ended = True
        for number, action in enumerate(actions):
            if ended:
                began = env.cpu_seconds()
                observation, _ = env.reset(seed=seed + number)
                resetting = env.cpu_seconds() - began
                _check(task, observation, 0.0, 0.0)
            began = env.cpu_seconds()
            observation, reward, terminated, truncated, info = env.step(action)
            stepping += env.cpu_seconds() - began
            ended = terminated or truncated
            _check(task, observation, reward, info["cost"])
    finally:
        env.close()
    return Probe(task.observation_dim, task.action_dim, task.horizon, steps / stepping, resetting)


def probe_all(names: Sequence[str], *, steps: int, observer: Observer) -> dict[str, Probe | SimulatorError]:
    """Check the simulators of several tasks.

    Args:
        names: Names of the tasks.
        steps: Steps of each.
        observer: Receives progress.

    Returns:
        Name -> measurements, or the error.

    Raises:
        UnknownNameError: There is no such task.
        ConfigError: A task is Surefoot's own, without a simulator.
    """
    tasks = [get_task(name) for name in names]
    for task in tasks:
        if not task.simulated:
            raise ConfigError(
                f"{option('tasks')}: expected tasks of a simulator, found {task.name}, which is surefoot's own."
            )
    found: dict[str, Probe | SimulatorError] = {}
    with observer.progress("checking", unit="tasks") as line:
        for number, task in enumerate(tasks):
            line.report(number, len(tasks), phase=task.name)
            try:
                found[task.name] = probe(task, steps=steps)
            except SimulatorError as error:
                found[task.name] = error
        line.report(len(tasks), len(tasks))
    return found


def _check(task: Task, observation: np.ndarray, reward: float, cost: float) -> None:
    if observation.shape != (task.observation_dim,) or observation.dtype != np.float32:
        raise SimulatorError(
            f"task {task.name}: expected observations of {task.observation_dim} float32 numbers, found "
            f"{observation.shape} of {observation.dtype}."
        )
    if not np.isfinite([*observation, reward, cost]).all() or cost < 0:
        raise SimulatorError(f"task {task.name}: expected finite numbers and costs from 0, found others in a step.")
