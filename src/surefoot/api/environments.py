"""Environments that a caller names or makes, in place of the task's own."""

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from typing import Any

import numpy as np

from surefoot.envs.own.backend import GymnasiumBackend
from surefoot.envs.simulators.adapter import Simulator
from surefoot.envs.vector import VectorEnv
from surefoot.envs.workers.local import LocalEnvs
from surefoot.envs.workers.vector import VectorSimulator
from surefoot.evaluation.evaluation import OpenEnvironment
from surefoot.tasks import Environment, Task
from surefoot.tasks.own_task import maker

MakeEnv = str | Callable[[], Any]
"""A Gymnasium id, "module:function", or a function that makes a Gymnasium environment."""


def environments_of(make_env: MakeEnv) -> OpenEnvironment:
    """Function that opens environments: named ones in worker processes, a function's in this process."""

    def opened(task: Task, num_envs: int, workers: int) -> AbstractContextManager[VectorEnv]:
        if isinstance(make_env, str):
            named = replace(task, environment=Environment(maker(make_env), "gymnasium", packages=("gymnasium",)))
            return VectorSimulator(named, num_envs=num_envs, workers=workers)
        made = [Simulator(task, GymnasiumBackend(task, draws=False, made=make_env())) for _ in range(num_envs)]
        kind = np.uint8 if task.image_shape is not None else np.float32
        return closing(LocalEnvs(made, observation_dim=task.observation_dim, kind=kind))

    return opened
