"""Environments of tasks: how the episodes of a task are made."""

from dataclasses import dataclass
from typing import Literal

from surefoot.tasks.reference import Reference
from surefoot.vision import Vision


@dataclass(frozen=True)
class Environment:
    """The maker of a task's environment, and the way to run it. It names a factory, so that a task needs no simulator
    and no JAX."""

    make: Reference
    """jax: returns a `surefoot.envs.pure.PureTask`. simulator: called with the task and `draws`, whether pictures are
    wanted; returns a `surefoot.envs.simulators.Backend`. gymnasium: returns a `gymnasium.Env`, whose numbers mean what
    the task's file says; without one, its costs are `info["cost"]`."""
    kind: Literal["jax", "simulator", "gymnasium"]
    """jax: pure functions over many environments; the others step on the host, in worker processes."""
    packages: tuple[str, ...] = ()
    """Installed packages that simulate it, whose versions a data card names."""
    isolated: str | None = None
    """Name of the virtual environment in which it runs, since its libraries go with no others: one simulation a
    process. None: beside surefoot."""
    vision: Vision | None = None
    """Cameras and action repeat, where a simulator's robot sees; a step is then a decision."""


def own(name: str) -> Environment:
    """An environment of surefoot's in pure JAX, by its name in `surefoot.envs.pure`."""
    return Environment(Reference("surefoot.envs.pure:pure_task", (("name", name),)), "jax")
