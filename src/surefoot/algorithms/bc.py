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

Imitator = DiffusionPolicyState | Trained
"""State of the network that imitates."""


class StandardizedState(NamedTuple):
    """The state of an imitating network that sees standardized observations."""

    inner: Imitator
    scale: ObservationScale


BCState = Imitator | StandardizedState
"""State of behaviour cloning: a network's, with a scale where observations are standardized."""


def joined(inner: Imitator, scale: ObservationScale | None) -> BCState:
    """The state of behaviour cloning with these parts.

    Args:
        inner: State of the network.
        scale: Scale of its observations; None: they are seen as they are.

    Returns:
        The state.
    """
    return inner if scale is None else StandardizedState(inner, scale)


def parts_of(state: BCState) -> tuple[Imitator, ObservationScale | None]:
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
        return joined(self.fresh(spec, key), self.first_scale(spec))

    def first_scale(self, spec: DataSpec) -> ObservationScale | None:
        """Scale before it is measured; None where observations are not standardized."""
        return unit_observation_scale(spec.observation_dim) if self.standardize else None

    def fresh(self, spec: DataSpec, key: Key[Array, ""]) -> Imitator:
        """Fresh network with its optimizer.

        Args:
            spec: Shapes of what the network reads and answers.
            key: Random key of the parameters.

        Returns:
            The network's state.
        """
        if self.policy_network == "diffusion":
            return init_policy(spec, key, config=self.diffusion)
        actor = DeterministicActor.create(key, spec.observation_dim, self.hidden, spec.action_dim)
        return start_training(actor, self.learning_rate, with_target=False)

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
        inner, scale = parts_of(state)
        moved, metrics = self.imitate(inner, standardized_by(scale, batch.observation), batch.action, key)
        return joined(moved, scale), metrics

    def imitate(
        self, inner: Imitator, seen: Float[Array, "b in"], action: Float[Array, "b act"], key: Key[Array, ""]
    ) -> tuple[Imitator, Metrics]:
        """One gradient step of the network on what it reads.

        Args:
            inner: State of the network.
            seen: Inputs of the network, [b, in].
            action: Logged actions, [b, act].
            key: As of `update`.

        Returns:
            (state, metrics) as of `update`.
        """
        if isinstance(inner, DiffusionPolicyState):
            return update_policy(inner, seen, action, jnp.ones(len(seen)), key, config=self.diffusion)

        def loss(actor: DeterministicActor) -> tuple[Float[Array, ""], None]:
            return squared_error(actor, seen, action), None

        moved, (value, _) = descend(inner, loss, learning_rate=self.learning_rate)
        return moved, {"policy/loss": value}

    def policy(self, state: BCState) -> Policy:
        """Policy that executes one sample of the averaged denoiser, or the deterministic actor's output."""
        inner, scale = parts_of(state)

        def act(carry: Any, inputs: PolicyInputs, key: Key[Array, ""]) -> tuple[Any, Float[Array, "n act"]]:
            return carry, self.answer(inner, standardized_by(scale, inputs.observation), key)

        return Policy(initial=lambda n: None, act=act)

    def answer(self, inner: Imitator, seen: Float[Array, "n in"], key: Key[Array, ""]) -> Float[Array, "n act"]:
        """Actions of the network.

        Args:
            inner: State of the network.
            seen: Inputs of the network, [n, in].
            key: Random key of a sample; a deterministic actor reads none.

        Returns:
            Actions in [-1, 1], [n, act].
        """
        if not isinstance(inner, DiffusionPolicyState):
            return inner.network(seen)
        return propose(inner.network_ema, seen, key, num_candidates=1, config=self.diffusion)[:, 0]


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
