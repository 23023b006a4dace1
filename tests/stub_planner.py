"""The smallest planner under budgets, and a task that it plans exactly: it spends what is left, at most 1 a step.

The task's state is what was spent so far; an observation is that and the step. Reward and cost of a step are the action
where it is positive. Episodes last 6 steps; those that have spent more than 3.5 terminate.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from surefoot.envs.entered import Entered
from surefoot.envs.pure import PureTask
from surefoot.planning.noise import normal_rows
from surefoot.protocols import Inputs
from surefoot.tasks import RunTimeBudget, Task
from surefoot.tasks.environment import own
from surefoot.types import DataSpec, Metrics, Phase, Policy, PolicyInputs, Transition

HORIZON = 6
TASK = Task(
    "Spend", 2, 1, HORIZON, return_min=0.0, return_max=10.0, constraints=(RunTimeBudget(4.0, 3.0, 0.5),),
    environment=own("Spend"),
)  # fmt: skip


class SpendState(NamedTuple):
    spent: Float[Array, " n"]
    step: Int[Array, " n"]


def reset(keys: Key[Array, " n"]) -> tuple[SpendState, Float[Array, "n 2"]]:
    state = SpendState(jnp.zeros(len(keys)), jnp.zeros(len(keys), jnp.int32))
    return state, _observe(state)


def step(state: SpendState, action: Float[Array, "n 1"]) -> tuple[SpendState, Entered]:
    cost = jnp.clip(action[:, 0], 0.0, 1.0)
    entered = SpendState(state.spent + cost, state.step + 1)
    terminated = entered.spent > 3.5
    truncated = (entered.step >= HORIZON) & ~terminated
    return entered, Entered(_observe(entered), cost, cost, terminated, truncated)


def _observe(state: SpendState) -> Float[Array, "n 2"]:
    return jnp.stack([state.spent, state.step.astype(jnp.float32)], -1)


SPEND = PureTask(reset, step, HORIZON)


@dataclass(frozen=True)
class StubPlanner:
    """Spends min(left less a margin, 1) a step plus noise; its memory counts steps; it imagines that nothing moves."""

    updates: int = 2
    batch_size: int = 4
    budget_discount: float = 1.0
    """Per step."""
    noise: float = 0.0
    """Standard deviation of what is added to an action."""
    imagined_steps: int = 3
    """Length of an imagined plan."""
    cost_margin: float = 0.0
    """Left unspent."""

    inputs: ClassVar[Inputs] = Inputs(budget=True)

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase("all", self.updates, self.batch_size),)

    def prepare(self, dataset: Any, task: Task) -> Transition:
        raise NotImplementedError

    def init(self, spec: DataSpec, key: Key[Array, ""], statistics: None = None) -> dict[str, Array]:
        return {"gain": jnp.ones(())}

    def update(self, state: Any, batch: Transition, key: Key[Array, ""], *, phase: str) -> tuple[Any, Metrics]:
        return state, {"all/loss": jnp.zeros(())}

    def policy(self, state: Any) -> Policy:
        def initial(count: int) -> dict[str, Array]:
            plan = jnp.zeros((count, self.imagined_steps, 2))
            return {"steps": jnp.zeros(count, jnp.int32), "plan": plan}

        def act(memory: Any, inputs: PolicyInputs, key: Key[Array, "*n"]) -> tuple[Any, Float[Array, "n 1"]]:
            assert inputs.remaining_budget is not None
            assert inputs.step is not None
            noise = self.noise * normal_rows(key, inputs.remaining_budget.shape)
            action = jnp.clip(state["gain"] * (inputs.remaining_budget - self.cost_margin) + noise, 0.0, 1.0)
            # A memory that disagrees with the step would show as an action of -1.
            action = jnp.where(memory["steps"] == inputs.step, action, -1.0)
            plan = jnp.broadcast_to(inputs.observation[:, None], memory["plan"].shape)
            return {"steps": memory["steps"] + 1, "plan": plan}, action[:, None]

        return Policy(initial, act, keyed=True)

    def imagined(self, state: Any, memory: Any) -> Float[Array, "n h 2"]:
        return memory["plan"]


def stub_states(seeds: int) -> dict[str, np.ndarray]:
    """The state of each seed, with a leading axis."""
    return {"gain": np.ones(seeds, np.float32)}
