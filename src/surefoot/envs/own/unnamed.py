"""Tasks of Gymnasium environments without a task file: their numbers have no names, and only `info` holds costs."""

import sys
from collections.abc import Callable
from typing import Any

from surefoot.envs.own.backend import GymnasiumBackend, file_of_environment, flat_spaces
from surefoot.envs.own.making import as_gymnasium, make_environment
from surefoot.errors import ConfigError
from surefoot.tasks import Task
from surefoot.tasks.own_task import maker, unfinished_task_of
from surefoot.tasks.spaces import FlatSpaces

HORIZON = 1000
"""Most steps of an episode where the environment has no limit and none is given."""


def unnamed_task(
    make: str | Callable[[], Any], *, horizon: int | None = None, cost: str = "", local: bool = False
) -> Task:
    """The task of an environment without a task file.

    Args:
        make: Gymnasium id, "module:name", or a function or class.
        horizon: Most steps of an episode; None: the environment's limit, or `HORIZON`.
        cost: Place of the cost in `info`, as "info.cost"; empty where nothing costs.
        local: Whether this process alone makes the environment, by `local_backend`.

    Returns:
        The task.

    Raises:
        ConfigError: Other processes cannot import the maker.
        EnvironmentFault: The spaces cannot be used.
    """
    name = make if isinstance(make, str) else _path(make, local=local)
    env = make_environment(name, maker(name)) if isinstance(make, str) else as_gymnasium(make(), name, name)
    try:
        limit = None if env.spec is None else env.spec.max_episode_steps
        return unfinished_task_of(file_of_environment(env, name, horizon or limit or HORIZON, cost=cost, make=name))
    finally:
        env.close()


def spaces_of(make: str) -> tuple[FlatSpaces, int | None]:
    """The numbers of an environment by its Gymnasium id or "module:function", and its limit of steps, if any. Raises
    `EnvironmentFault`."""
    env = make_environment(make, maker(make))
    try:
        return flat_spaces(env, make), None if env.spec is None else env.spec.max_episode_steps
    finally:
        env.close()


def local_backend(make: Callable[[], Any], task: Task) -> GymnasiumBackend:
    """An environment of this process, whose maker other processes need not be able to import.

    Args:
        make: The maker.
        task: The task, as of `unnamed_task`.

    Returns:
        The environment.
    """
    return GymnasiumBackend(task, draws=False, made=as_gymnasium(make(), task.name, task.name))


def _path(make: Callable[[], Any], *, local: bool) -> str:
    """The path of a function or class at the top of a module; of any other where this process alone calls it."""
    module, name = str(getattr(make, "__module__", "")), str(getattr(make, "__qualname__", type(make).__name__))
    place = sys.modules.get(module)
    if not local and (module == "__main__" or place is None or vars(place).get(name) is not make):
        raise ConfigError(
            f"make: expected a function or a class at the top of a module, which other processes can import, found "
            f"{module}:{name}; name one as module:function, or a Gymnasium id."
        )
    return f"{module}:{name}"
