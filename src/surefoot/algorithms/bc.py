"""BC: behaviour cloning with a diffusion policy, the plain baseline (no critics, no notion of safety).

The policy imitates every transition alike (Wang et al., 2023, arXiv 2208.06193, without its Q term);
BC-Safe is the same on data filtered to safe episodes.

- noise prediction, every transition alike: `update_policy`
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot import data
from surefoot.data import Dataset
from surefoot.diffusion.policy import (
    DiffusionPolicyConfig,
    DiffusionPolicyState,
    init_policy,
    propose,
    update_policy,
)
from surefoot.protocols import Inputs
from surefoot.ranges import NUMBER, Range, check_fields
from surefoot.tasks import Task
from surefoot.types import DataSpec, Metrics, Phase, Policy, PolicyInputs, Transition


@dataclass(frozen=True)
class BC:
    """Hyper-parameters of behaviour cloning."""

    policy_updates: Annotated[int, Range(NUMBER)] = 100_000
    """Updates of the policy."""
    policy_batch_size: Annotated[int, Range("[1, 2^24]")] = 1024
    """Transitions per update."""
    diffusion: DiffusionPolicyConfig = field(default_factory=DiffusionPolicyConfig)
    """The diffusion policy."""

    def __post_init__(self) -> None:
        check_fields(self)

    inputs: ClassVar[Inputs] = Inputs()
    paper: ClassVar[str] = "Wang et al., ICLR 2023, arXiv 2208.06193, without its Q term"

    # --- data and phases ---

    def prepare(self, dataset: Dataset, task: Task) -> Transition:
        """The dataset as it is, actions clipped. Rewards are not used."""
        return data.to_transitions(dataset, reward_scale=1.0)

    def without_rewards(self) -> tuple["BC", list[str]]:
        """Itself: it reads none."""
        return self, []

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase("policy", self.policy_updates, self.policy_batch_size),)

    # --- init, update, policy ---

    def init(self, spec: DataSpec, key: Key[Array, ""], statistics: None = None) -> DiffusionPolicyState:
        return init_policy(spec, key, config=self.diffusion)

    def update(
        self, state: DiffusionPolicyState, batch: Transition, key: Key[Array, ""], *, phase: str
    ) -> tuple[DiffusionPolicyState, Metrics]:
        """One step of noise prediction on the batch."""
        weights = jnp.ones_like(batch.reward)
        return update_policy(state, batch.observation, batch.action, weights, key, config=self.diffusion)

    def sample_weights(self, state: DiffusionPolicyState, data: Transition, *, phase: str) -> None:
        """Every transition alike."""
        return None

    def policy(self, state: DiffusionPolicyState) -> Policy:
        """One sample from the moving average of the denoiser."""

        def act(carry: Any, inputs: PolicyInputs, key: Key[Array, ""]) -> tuple[Any, Float[Array, "n act"]]:
            actions = propose(state.network_ema, inputs.observation, key, num_candidates=1, config=self.diffusion)
            return carry, actions[:, 0]

        return Policy(initial=lambda n: None, act=act)
