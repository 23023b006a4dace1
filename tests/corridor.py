"""A corridor that everything is known of, and a policy that creeps back in it, with values that tell the truth.

x' = x + 0.1 a, reward x', h = x' - 1, for 10 steps; the second column of an observation is the episode's, and idle. The
policy's action is -0.5 times its state; so from x it earns 10 x - 2.75 times that.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float, Key

from surefoot import data
from surefoot.algorithms import ALGORITHMS
from surefoot.data import Dataset
from surefoot.data.selection import select, selection
from surefoot.protocols import Inputs
from surefoot.tasks import TASKS, CostLimit, Signal, Task
from surefoot.training import RunDirectory, make_config
from surefoot.types import DataSpec, Decision, Metrics, Phase, Policy, PolicyInputs, Transition

HORIZON = 10
TASK = Task(
    "Corridor", 2, 1, HORIZON, return_min=-10.0, return_max=10.0, constraints=(CostLimit(0.0), Signal(unit="m")),
    deterministic=True,
)  # fmt: skip


@dataclass(frozen=True)
class Walker:
    """A policy without values."""

    updates: int = 1
    batch_size: int = 4

    inputs: ClassVar[Inputs] = Inputs()

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase("all", self.updates, self.batch_size),)

    def prepare(self, dataset: Any, task: Task) -> Transition:
        return data.to_transitions(dataset, reward_scale=1.0)

    def init(self, spec: DataSpec, key: Key[Array, ""], statistics: None = None) -> dict[str, Array]:
        return {"gain": jnp.ones(())}

    def update(self, state: Any, batch: Transition, key: Key[Array, ""], *, phase: str) -> tuple[Any, Metrics]:
        return state, {"all/loss": jnp.zeros(())}

    def policy(self, state: Any) -> Policy:
        def act(carry: Any, inputs: PolicyInputs, key: Key[Array, ""]) -> tuple[Any, Float[Array, "n 1"]]:
            return carry, jnp.full((len(inputs.observation), 1), -0.5) * state["gain"]

        return Policy(lambda n: None, act)


@dataclass(frozen=True)
class Creeper(Walker):
    """Knows V_h = x - 1 where its state is 1; with `blind`, every state and action counts as feasible."""

    margin: float = 0.1
    blind: bool = False

    forbids_violations: ClassVar[bool] = True

    def decide(self, state: Any, observation: Any, key: Any) -> Decision:
        action = jnp.full((len(observation), 1), -0.5) * state["gain"]
        return Decision(action, self.feasible_action_value(state, observation, action) <= -self.margin)

    def feasible_margin(self, state: Any) -> Any:
        return jnp.asarray(self.margin)

    def feasible_value(self, state: Any, observation: Any) -> Any:
        return observation[:, 0] * state["gain"] * (not self.blind) - 1.0

    def feasible_action_value(self, state: Any, observation: Any, action: Any) -> Any:
        return (observation[:, 0] + 0.1 * action[:, 0]) * state["gain"] * (not self.blind) - 1.0


def corridor(episodes: int = 120, *, seed: int = 0) -> Dataset:
    """Episodes of random actions from x in [-1, 1.2]."""
    random = np.random.default_rng(seed)
    x = random.uniform(-1.0, 1.2, episodes)
    actions = random.uniform(-1.0, 1.0, (episodes, HORIZON))
    path = np.concatenate([x[:, None], x[:, None] + 0.1 * np.cumsum(actions, 1)], 1)
    idle = np.repeat(random.uniform(-1.0, 1.0, episodes), HORIZON)
    before, after = path[:, :-1].ravel(), path[:, 1:].ravel()
    rows = episodes * HORIZON
    return Dataset(
        TASK.name,
        observations=np.stack([before, idle], 1).astype(np.float32),
        actions=actions.reshape(-1, 1).astype(np.float32),
        rewards=after.astype(np.float32),
        costs=(after.astype(np.float32) > 1.0).astype(np.float32),
        next_observations=np.stack([after, idle], 1).astype(np.float32),
        terminated=np.zeros(rows, bool),
        truncated=np.arange(rows) % HORIZON == HORIZON - 1,
        constraints=after.astype(np.float32) - np.float32(1.0),
    )


def know_the_corridor(monkeypatch: pytest.MonkeyPatch, *, algorithm: type = Creeper) -> None:
    """Put the task and the algorithm into the tables."""
    monkeypatch.setitem(ALGORITHMS, "creeper", algorithm)
    monkeypatch.setitem(TASKS, TASK.name, TASK)


def corridor_run(
    folder: Path, *, algorithm: Any = None, held_out: float = 0.2, gain: float = 1.0, task_file: Any = None,
    task: Task = TASK, dataset: Dataset | None = None,
) -> Path:  # fmt: skip
    """A run with a checkpoint, and its data beside it, as training would leave them."""
    algorithm = Creeper() if algorithm is None else algorithm
    place = folder / "data.hdf5"
    if dataset is None:
        dataset = corridor()
        data.save(place, dataset)
    chosen = selection(task, data_filter="all", fraction=1.0, held_out=held_out)
    config = make_config(
        algorithm, name="creeper", task=task, seeds=(0, 1), data_path=str(place),
        data_fingerprint=select(dataset, chosen).fingerprint(), log_interval=1, checkpoint_interval=1,
        data_selection=chosen,
    )  # fmt: skip
    config = replace(config, task_file=task_file)
    run = RunDirectory(folder / "run")
    run.start(config, resume=False)
    run.save_checkpoint(1, {"gain": jnp.full(2, gain)}, config.identity)
    return run.path
