"""Environments of tasks: makers of episodes."""

from dataclasses import dataclass
from typing import Literal

from surefoot.tasks.reference import Reference
from surefoot.vision import Vision


@dataclass(frozen=True)
class Environment:
    """Maker of a task's environment, and the way to run it. It names a factory, so that a task needs no simulator and
    no JAX."""

    make: Reference
    """Factory. jax: returns a `surefoot.envs.pure.PureTask`. simulator: called with the task and `draws`, whether
    pictures are wanted; returns a `surefoot.envs.simulators.Backend`. gymnasium: returns a `gymnasium.Env`, whose
    numbers mean what the task's file says; without a file, its costs are `info["cost"]`."""
    kind: Literal["jax", "simulator", "gymnasium"]
    """Kind of environment. jax: pure functions over many environments. simulator, gymnasium: stepped on the host, in
    worker processes."""
    packages: tuple[str, ...] = ()
    """Installed packages of the simulation, whose versions a data card names."""
    isolated: str | None = None
    """Name of the virtual environment in which it runs because its libraries conflict with others, one simulation a
    process. None: beside surefoot."""
    vision: Vision | None = None
    """Cameras and action repeat of a robot with cameras; a step is then a decision."""


def own(name: str) -> Environment:
    """Environment of surefoot's in pure JAX, by its name in `surefoot.envs.pure`."""
    return Environment(Reference("surefoot.envs.pure:pure_task", (("name", name),)), "jax")
