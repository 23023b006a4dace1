"""`python -m surefoot.envs.workers.main`: environments of a simulator's task; its owner speaks over pipes."""

from functools import partial
from typing import Any, NamedTuple

from surefoot.envs.simulators import make
from surefoot.envs.workers.episodes import run_episode
from surefoot.envs.workers.ipc import NUMBERS, PIXELS, Opened, serve
from surefoot.envs.workers.local import LocalEnvs
from surefoot.errors import SurefootError
from surefoot.vision import Vision, from_json


class _TaskFacts(NamedTuple):
    """A task as the owner describes it: importing the table of tasks would import JAX."""

    name: str
    suite: str
    simulator_id: str | None
    observation_dim: int
    action_dim: int
    horizon: int
    vision: Vision | None


def open_envs(request: dict[str, Any]) -> Opened:
    """Make request["num_envs"] environments of request["task"]."""
    task = _TaskFacts(**{**request["task"], "vision": from_json(request["task"]["vision"])})
    environments = [make(task, render_mode=request["render_mode"]) for _ in range(request["num_envs"])]
    facts = {
        "num_envs": len(environments),
        "observation_dim": task.observation_dim,
        "action_dim": task.action_dim,
        "frames_per_second": environments[0].metadata["render_fps"],
        "horizon": environments[0].simulator_horizon,
    }
    kind = NUMBERS if task.vision is None else PIXELS
    envs = LocalEnvs(environments, observation_dim=task.observation_dim, kind=kind)
    return Opened(envs, facts, partial(run_episode, environments[0]))


if __name__ == "__main__":
    serve(open_envs, (SurefootError,))
