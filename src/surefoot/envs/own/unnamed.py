"""Tasks of Gymnasium environments for which nobody wrote a task file: their numbers have no names, and nothing costs
but what `info` says."""

import sys
from collections.abc import Callable
from typing import Any

from surefoot.envs.own.backend import GymnasiumBackend, file_of_environment, flat_spaces
from surefoot.envs.own.making import as_gymnasium, make_environment
from surefoot.errors import ConfigError
from surefoot.tasks import CostLimit, Environment, Task
from surefoot.tasks.own_task import maker
from surefoot.tasks.reference import Reference
from surefoot.tasks.spaces import FlatSpaces

HORIZON = 1000
"""Longest episode where the environment has no limit and none is given."""


def unnamed_task(
    make: str | Callable[[], Any], *, horizon: int | None = None, cost: str = "", local: bool = False
) -> Task:
    """The task of an environment. `cost`: its place in `info`, as "info.cost"; `local`: whether this process alone
    makes it, by `local_backend`.

    Raises `ConfigError` for a maker that other processes cannot import, `EnvironmentFault` for spaces that do not do.
    """
    reference = maker(make) if isinstance(make, str) else _reference(make, local=local)
    name = make if isinstance(make, str) else reference.path
    task = _task(name, reference, 1, 1, horizon or HORIZON)
    env = make_environment(task, draws=False) if isinstance(make, str) else as_gymnasium(make(), name, name)
    try:
        limit = None if env.spec is None else env.spec.max_episode_steps
        file = file_of_environment(env, name, horizon or limit or HORIZON, cost=cost)
    finally:
        env.close()
    wide, acts = len(file.observation.columns), len(file.action.columns)
    return _task(name, reference, wide, acts, file.task.horizon, file=file)


def spaces_of(make: str) -> tuple[FlatSpaces, int | None]:
    """The numbers of an environment by its Gymnasium id or "module:function", and its longest episode where it has a
    limit. Raises `EnvironmentFault`."""
    env = make_environment(_task(make, maker(make), 1, 1, HORIZON), draws=False)
    try:
        return flat_spaces(env, make), None if env.spec is None else env.spec.max_episode_steps
    finally:
        env.close()


def local_backend(make: Callable[[], Any], task: Task) -> GymnasiumBackend:
    """An environment of this process, of a maker that others need not be able to import."""
    return GymnasiumBackend(task, draws=False, made=as_gymnasium(make(), task.name, task.name))


def _task(name: str, reference: Reference, wide: int, acts: int, horizon: int, **more: Any) -> Task:
    return Task(
        name, wide, acts, horizon, return_min=0.0, return_max=1.0, constraints=(CostLimit(0.0),),
        environment=Environment(reference, "gymnasium", packages=("gymnasium",)), **more,
    )  # fmt: skip


def _reference(make: Callable[[], Any], *, local: bool) -> Reference:
    """The reference of a function or class at the top of a module; of any other where this process alone calls it."""
    module, name = str(getattr(make, "__module__", "")), str(getattr(make, "__qualname__", type(make).__name__))
    place = sys.modules.get(module)
    if not local and (module == "__main__" or place is None or vars(place).get(name) is not make):
        raise ConfigError(
            f"make: expected a function or a class at the top of a module, which other processes can import, found "
            f"{module}:{name}; name one as module:function, or a Gymnasium id."
        )
    return Reference(f"{module}:{name}")
