"""BC: behaviour cloning, the plain baseline (no critics, no notion of safety).

The policy imitates every transition alike, of the episodes that its mode keeps: BC-Safe is BC on safe episodes. The
diffusion policy is that of Wang et al. (2023, arXiv 2208.06193) without its Q term; the deterministic actor is OSRL's.

- noise prediction, every transition alike: `update_policy`
- mean squared error of a deterministic actor's actions: `squared_error`
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot import data
from surefoot.algorithms.standardize import (
    ObservationScale,
    observation_scale,
    standardized_by,
    unit_observation_scale,
)
from surefoot.data import Dataset
from surefoot.diffusion.policy import (
    DiffusionPolicyConfig,
    DiffusionPolicyState,
    init_policy,
    propose,
    update_policy,
)
from surefoot.nn import DeterministicActor
from surefoot.nn.offline import Trained, descend, start_training
from surefoot.protocols import Inputs
from surefoot.ranges import NUMBER, Range, Ranged
from surefoot.tasks import Task
from surefoot.types import BEFORE, DataSpec, Metrics, Phase, Policy, PolicyInputs, Transition


class StandardizedState(NamedTuple):
    """The state of an imitating network that sees standardized observations."""

    inner: DiffusionPolicyState | Trained
    scale: ObservationScale


BCState = DiffusionPolicyState | Trained | StandardizedState
"""State of behaviour cloning: a network's, with a scale where observations are standardized."""


def with_scale(inner: DiffusionPolicyState | Trained, spec: DataSpec, *, standardize: bool) -> BCState:
    """The state with a scale that is still to be measured, where observations are to be standardized.

    Args:
        inner: State of the networks.
        spec: Dimensions of the data.
        standardize: Whether observations are standardized.

    Returns:
        The state.
    """
    return StandardizedState(inner, unit_observation_scale(spec.observation_dim)) if standardize else inner


def parts_of(state: BCState) -> tuple[DiffusionPolicyState | Trained, ObservationScale | None]:
    """The network's state, and the scale of its observations; None: they are seen as they are."""
    return (state.inner, state.scale) if isinstance(state, StandardizedState) else (state, None)


@dataclass(frozen=True)
class BC(Ranged):
    """Behaviour cloning with these hyper-parameters."""

    policy_updates: Annotated[int, Range(NUMBER)] = 100_000
    """Updates of the policy."""
    policy_batch_size: Annotated[int, Range("[1, 2^24]")] = 1024
    """Transitions per update."""
    diffusion: DiffusionPolicyConfig = field(default_factory=DiffusionPolicyConfig)
    """The diffusion policy."""
    mode: Literal["all", "safe", "risky", "boundary", "frontier"] = field(default="all", metadata={BEFORE: "all"})
    """Episodes to imitate, by the sum of their costs C and the limit: all; safe, C <= limit; risky, C >= 2 limit;
    boundary, 0.5 limit < C <= 1.5 limit; frontier, whose return is near what the best reach at their cost. The limit
    is the task's, or filter_cost_limit."""
    policy_network: Literal["diffusion", "deterministic"] = field(default="diffusion", metadata={BEFORE: "diffusion"})
    """What imitates: a diffusion policy, or one action for each state."""
    hidden: Annotated[tuple[int, ...], Range("[1, 65536]", fewest=1)] = field(
        default=(256, 256), metadata={BEFORE: (256, 256)}
    )
    """Units of the hidden layers of the deterministic actor."""
    learning_rate: Annotated[float, Range("(0, inf)")] = field(default=1e-3, metadata={BEFORE: 1e-3})
    """Of Adam for the deterministic actor."""
    standardize: bool = field(default=False, metadata={BEFORE: False})
    """The network sees observations less their mean and divided by their standard deviation, measured on the training
    data and kept in the state, so that units do not matter."""

    inputs: ClassVar[Inputs] = Inputs()
    paper: ClassVar[str] = "Wang et al., ICLR 2023, arXiv 2208.06193, without its Q term"

    # --- data and phases ---

    def prepare(self, dataset: Dataset, task: Task) -> Transition:
        """All transitions of the dataset, actions clipped to [-1, 1]; rewards are not used."""
        return data.to_transitions(dataset, reward_scale=1.0)

    def without_rewards(self) -> tuple["BC", list[str]]:
        """The same algorithm without remarks: behaviour cloning reads no rewards."""
        return self, []

    @property
    def data_filter(self) -> Literal["all", "safe", "risky", "boundary", "pareto"]:
        """Filter of episodes that `mode` stands for."""
        return "pareto" if self.mode == "frontier" else self.mode

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The only phase, `policy`."""
        return (Phase("policy", self.policy_updates, self.policy_batch_size),)

    @property
    def calibrated_phases(self) -> tuple[str, ...]:
        """The only phase, where observations are standardized."""
        return ("policy",) if self.standardize else ()

    def calibrate(self, state: StandardizedState, data: Transition, *, phase: str) -> StandardizedState:
        """The state with the scale of the observations of `data`."""
        return state._replace(scale=observation_scale(data.observation))

    # --- init, update, policy ---

    def init(self, spec: DataSpec, key: Key[Array, ""], statistics: None = None) -> BCState:
        """Fresh networks: a diffusion policy, or a deterministic actor.

        Args:
            spec: Shapes of the data.
            key: Random key of the parameters.
            statistics: None; the data have none.

        Returns:
            The state before the first update.
        """
        if self.policy_network == "diffusion":
            return with_scale(init_policy(spec, key, config=self.diffusion), spec, standardize=self.standardize)
        actor = DeterministicActor.create(key, spec.observation_dim, self.hidden, spec.action_dim)
        inner = start_training(actor, self.learning_rate, with_target=False)
        return with_scale(inner, spec, standardize=self.standardize)

    def update(self, state: BCState, batch: Transition, key: Key[Array, ""], *, phase: str) -> tuple[BCState, Metrics]:
        """One gradient step of noise prediction, or of the deterministic actor's regression.

        Args:
            state: Training state.
            batch: b transitions.
            key: Random key of diffusion times, noise and dropout; a deterministic actor reads none.
            phase: `policy`.

        Returns:
            `(state, metrics)`: `policy/loss`, and for a diffusion policy `policy/noise_error`, the unweighted squared
            error.
        """
        if isinstance(state, StandardizedState):
            seen = batch._replace(observation=standardized_by(state.scale, batch.observation))
            moved, metrics = self.update(state.inner, seen, key, phase=phase)
            return StandardizedState(parts_of(moved)[0], state.scale), metrics
        if isinstance(state, DiffusionPolicyState):
            weights = jnp.ones_like(batch.reward)
            return update_policy(state, batch.observation, batch.action, weights, key, config=self.diffusion)

        def loss(actor: DeterministicActor) -> tuple[Float[Array, ""], None]:
            return squared_error(actor, batch.observation, batch.action), None

        moved, (value, _) = descend(state, loss, learning_rate=self.learning_rate)
        return moved, {"policy/loss": value}

    def policy(self, state: BCState) -> Policy:
        """Policy that executes one sample of the averaged denoiser, or the deterministic actor's output."""
        inner, scale = parts_of(state)

        def act(carry: Any, inputs: PolicyInputs, key: Key[Array, ""]) -> tuple[Any, Float[Array, "n act"]]:
            seen = standardized_by(scale, inputs.observation)
            if not isinstance(inner, DiffusionPolicyState):
                return carry, inner.network(seen)
            actions = propose(inner.network_ema, seen, key, num_candidates=1, config=self.diffusion)
            return carry, actions[:, 0]

        return Policy(initial=lambda n: None, act=act)


def squared_error(
    actor: DeterministicActor, observation: Float[Array, "b obs"], action: Float[Array, "b act"]
) -> Float[Array, ""]:
    """Mean squared error of a deterministic actor over all numbers of the batch's actions.

    Args:
        actor: Network from observations to actions in [-1, 1].
        observation: Observations, [b, obs].
        action: Logged actions, [b, act].

    Returns:
        The loss, a scalar.
    """
    return jnp.mean((actor(observation) - action) ** 2)
