"""`python -m surefoot.envs.workers.main`: environments of a simulator's task; its owner speaks over pipes."""

from typing import Any

import safetensors.numpy

from surefoot.envs.simulators import make
from surefoot.envs.workers.episodes import arrays_of_episode
from surefoot.envs.workers.ipc import NUMBERS, PIXELS, Opened, serve
from surefoot.envs.workers.local import LocalEnvs
from surefoot.errors import SurefootError
from surefoot.tasks import Task


def open_envs(request: dict[str, Any]) -> Opened:
    """Make request["num_envs"] environments of request["task"]."""
    task = Task.from_json(request["task"], place="the task of a worker process")
    environments = [make(task) for _ in range(request["num_envs"])]
    facts = {
        "num_envs": len(environments),
        "observation_dim": task.observation_dim,
        "action_dim": task.action_dim,
        "frames_per_second": environments[0].metadata["render_fps"],
        "horizon": environments[0].backend.horizon,
    }
    kind = NUMBERS if task.image_shape is None else PIXELS
    envs = LocalEnvs(environments, observation_dim=task.observation_dim, kind=kind)
    return Opened(envs, facts, lambda request: safetensors.numpy.save(arrays_of_episode(environments[0], request)))


if __name__ == "__main__":
    serve(open_envs, (SurefootError,))
