"""The smallest algorithm that training can run: two linear regressions, the second on weighted transitions.

Accidents are in the data, not in the algorithm, so that all tests share its compiled programs: in the update number
`constraint` (the same in all rows) the seeds whose first value starts positive get a NaN, in the metric where
`constraint_before` is 0, in the state where it is 1.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from surefoot.protocols import Inputs
from surefoot.types import DataSpec, Metrics, Phase, Policy, PolicyInputs, Transition

SPEC = DataSpec(observation_dim=3, action_dim=2, horizon=10)


class ToyState(NamedTuple):
    """`value_target` starts as the very array that `value` is, as careless code would have it."""

    value: Float[Array, " obs"]
    value_target: Float[Array, " obs"]
    policy: Float[Array, "obs act"]
    first_value: Float[Array, " obs"]
    updates: Int[Array, ""]
    key: Key[Array, ""]


@dataclass(frozen=True)
class ToySizes:
    """How long the phases are: a nested record, as algorithms may have."""

    value_updates: int = 10
    policy_updates: int = 10


@dataclass(frozen=True)
class ToyAlgorithm:
    """value: reward = observation . value. policy: action = observation . policy, where value is positive, no cost."""

    sizes: ToySizes = ToySizes()
    batch_sizes: tuple[int, int] = (4, 8)
    learning_rate: float = 0.1

    inputs: ClassVar[Inputs] = Inputs()

    def prepare(self, dataset: Any, task: Any) -> Any:
        raise NotImplementedError

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase("value", self.sizes.value_updates, self.batch_sizes[0]),
            Phase("policy", self.sizes.policy_updates, self.batch_sizes[1]),
        )

    def init(self, spec: DataSpec, key: Key[Array, ""], statistics: None = None) -> ToyState:
        value = 0.1 * jax.random.normal(key, (spec.observation_dim,))
        policy = jnp.zeros((spec.observation_dim, spec.action_dim))
        return ToyState(value, value, policy, value, jnp.zeros((), jnp.int32), key)

    def update(
        self, state: ToyState, batch: Transition, key: Key[Array, ""], *, phase: str
    ) -> tuple[ToyState, Metrics]:
        noise = 1e-12 * jax.random.key_data(key)[0].astype(jnp.float32)  # below 0.005; cheaper to compile than a draw
        observation = batch.observation + noise
        if phase == "value":
            error = lambda value: jnp.mean((observation @ value - batch.reward) ** 2)  # noqa: E731
            loss, gradient = jax.value_and_grad(error)(state.value)
            value = state.value - self.learning_rate * gradient
            state = state._replace(value=value, value_target=0.9 * state.value_target + 0.1 * value)
        else:
            error = lambda policy: jnp.mean((observation @ policy - batch.action) ** 2)  # noqa: E731
            loss, gradient = jax.value_and_grad(error)(state.policy)
            state = state._replace(policy=state.policy - self.learning_rate * gradient)
        bad = (state.updates == batch.constraint[0]) & (state.first_value[0] > 0)
        in_state = batch.constraint_before[0]
        loss = jnp.where(bad & (in_state == 0), jnp.nan, loss)
        state = state._replace(policy=jnp.where(bad & (in_state == 1), jnp.nan, state.policy))
        metrics = {f"{phase}/loss": loss, f"{phase}/lowest_reward": batch.reward.min()}
        return state._replace(updates=state.updates + 1), metrics

    def sample_weights(self, state: ToyState, data: Transition, *, phase: str) -> Float[Array, " N"] | None:
        if phase == "value":
            return None
        return jnp.maximum(data.observation @ state.value_target, 0.0) * (1.0 - data.cost)

    def policy(self, state: ToyState) -> Policy:
        def act(carry: None, inputs: PolicyInputs, key: Key[Array, ""]) -> tuple[None, Float[Array, "n act"]]:
            mean = inputs.observation @ state.policy
            return carry, jnp.clip(mean + 0.1 * jax.random.normal(key, mean.shape), -1.0, 1.0)

        return Policy(initial=lambda n: None, act=act)

    def feasible_value(self, state: ToyState, observations: Float[Array, "n obs"]) -> Float[Array, " n"]:
        return observations @ state.value


def toy_data(
    rows: int = 64, *, poisoned_update: int = -1, poisoned: Literal["metric", "state"] = "metric"
) -> Transition:
    """reward = o . (1, -1, 0.5), action = clip(o[:2]), from standard normal observations."""
    rng = np.random.default_rng(0)
    observation = rng.standard_normal((rows, 3)).astype(np.float32)
    zeros = np.zeros(rows, np.float32)
    columns: dict[str, Any] = {
        "observation": observation,
        "action": np.clip(observation[:, :2], -1, 1),
        "reward": observation @ np.array([1.0, -1.0, 0.5], np.float32),
        "cost": zeros,
        "next_observation": observation,
        "terminated": zeros,
        "truncated": zeros,
        "constraint": zeros + np.float32(poisoned_update),
        "constraint_before": zeros + np.float32(poisoned == "state"),
        "constraint_ahead": zeros,
        "episode_violations": zeros,
        "episode_cost": zeros,
    }
    return Transition(**columns)
