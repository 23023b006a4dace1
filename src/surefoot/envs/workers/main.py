"""`python -m surefoot.envs.workers.main`: lanes of a Safety-Gymnasium or Bullet task; its owner speaks over pipes."""

from typing import Any, NamedTuple

from surefoot.envs.simulators import make
from surefoot.envs.workers.lanes import Lanes
from surefoot.envs.workers.wire import Opened, serve
from surefoot.errors import SurefootError


class _TaskFacts(NamedTuple):
    """A task as the owner describes it: importing the table of tasks would import JAX."""

    name: str
    suite: str
    simulator_id: str | None
    observation_dim: int
    action_dim: int
    horizon: int


def open_lanes(request: dict[str, Any]) -> Opened:
    """Make request["lanes"] environments of request["task"]."""
    task = _TaskFacts(**request["task"])
    environments = [make(task, render_mode=request["render_mode"]) for _ in range(request["lanes"])]
    facts = {
        "lanes": len(environments),
        "observation_dim": task.observation_dim,
        "action_dim": task.action_dim,
        "frames_per_second": environments[0].metadata["render_fps"],
        "horizon": environments[0].simulator_horizon,
    }
    return Opened(Lanes(environments, observation_dim=task.observation_dim), facts)


if __name__ == "__main__":
    serve(open_lanes, (SurefootError,))
