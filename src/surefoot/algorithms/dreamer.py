"""Shared parts of FOSP and SafeDreamer: hyper-parameters, data, phases, and the world model's part of an update.

FOSP and SafeDreamer add critics, an actor and a policy.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot import world_model
from surefoot.algorithms.imagination import posterior_states
from surefoot.constraints import AugmentedConfig
from surefoot.data import Dataset
from surefoot.data.frame_stream import FrameStream, stays_in_files
from surefoot.data.frames import FrameData, Frames, FrameWindows, ObservationScales, frames_of, scaled
from surefoot.errors import ConfigError
from surefoot.protocols import Inputs
from surefoot.ranges import NUMBER, Range, Ranged
from surefoot.tasks import Task
from surefoot.types import BEFORE, FORMERLY, GROUP, DataSpec, Metrics, Phase
from surefoot.world_model import Latent, WorldModelConfig


@dataclass(frozen=True)
class DreamerTraining(Ranged):
    """Numbers of updates, and the windows of a batch."""

    joint_updates: Annotated[int, Range(NUMBER)] = 500_000
    """Updates of everything (joint)."""
    model_updates: Annotated[int, Range(NUMBER)] = 250_000
    """Updates of the world model (decoupled)."""
    policy_updates: Annotated[int, Range(NUMBER)] = 250_000
    """Updates of critics and actor (decoupled)."""
    batch_size: Annotated[int, Range("[1, 2^24]")] = 16
    """Windows per update."""
    window: Annotated[int, Range("[2, 2^20]")] = 64
    """Frames per window."""


@dataclass(frozen=True)
class ImaginationConfig(Ranged):
    """Imagined rollouts, and what their returns are worth."""

    horizon: Annotated[int, Range("[1, 65536]")] = 15
    """Imagined steps."""
    imagination_stride: Annotated[int, Range("[1, 2^20]")] = field(default=1, metadata={FORMERLY: "dream_stride"})
    """Imagine from every so many frames of a window."""
    discount: Annotated[float, Range("(0, 1)")] = 1.0 - 1.0 / 333.0
    """Per decision (gamma)."""
    mixing: Annotated[float, Range("(0, 1)")] = 0.95
    """lambda of the returns: 0 trusts the critic after one step, 1 only at the end."""


@dataclass(frozen=True)
class DreamerActor(Ranged):
    """The actor's network and entropy, and the scale of its advantages."""

    actor_hidden: Annotated[tuple[int, ...], Range("[1, 65536]")] = (512, 512)
    """Units of the hidden layers of the actor."""
    entropy: Annotated[float, Range("[0, inf)")] = 3e-4
    """Weight of the actor's entropy, in nats."""
    spread_rate: Annotated[float, Range("(0, 1]")] = 0.01
    """Share of a batch's percentiles that enters the scale of advantages at each update."""
    act_with: Literal["sample", "mean"] = "sample"
    """A draw from the actor, or its mean."""


@dataclass(frozen=True)
class ImaginedCostLimit(Ranged):
    """The limit on the imagined cost."""

    cost_limit: Annotated[float, Range("[0, inf)")] = 0.0
    """d: allowed imagined cost, summed over the steps of a rollout where `pessimistic`, else their mean."""
    pessimistic: bool = True
    """Sum the cost's returns over the steps of an imagined rollout instead of their mean."""
    lagrangian: AugmentedConfig = field(default_factory=AugmentedConfig)
    """First values and growth of the multiplier of the imagined cost."""

    def excess(self, returns: Float[Array, "h n"]) -> Float[Array, ""]:
        """g: how far the returns of imagined costs lie above the limit.

        Args:
            returns: Lambda-returns of costs along H steps from n states, [H, n].

        Returns:
            A scalar; > 0 is above the limit.
        """
        return (returns.sum(0) if self.pessimistic else returns.mean(0)).mean() - self.cost_limit


@dataclass(frozen=True)
class Dreamer(Ranged, ABC):
    """Hyper-parameters of schedule, world model, critics and actor; the defaults are those of the full preset."""

    schedule: Literal["joint", "decoupled"] = "joint"
    """joint: model, critics and actor in every update. decoupled: the model first, then the others on its frozen
    states."""
    training: DreamerTraining = field(default_factory=DreamerTraining, metadata={GROUP: DreamerTraining})
    """Updates and batches."""
    world_model: WorldModelConfig = field(default_factory=WorldModelConfig)
    """The world model."""
    scale_observations: bool = field(default=False, metadata={BEFORE: False})
    """Vectors only: the model sees them without their mean over the data, in standard deviations."""
    imagination: ImaginationConfig = field(default_factory=ImaginationConfig, metadata={GROUP: ImaginationConfig})
    """Imagined rollouts."""
    hidden: Annotated[tuple[int, ...], Range("[1, 65536]")] = (512, 512)
    """Units of the hidden layers of the critics."""
    target_rate: Annotated[float, Range("(0, 1]")] = field(default=0.02, metadata={FORMERLY: "slow_rate"})
    """Share of the critics that enters their slow copies at each update."""
    acting: DreamerActor = field(default_factory=DreamerActor, metadata={GROUP: DreamerActor})
    """The actor."""
    cost: ImaginedCostLimit = field(default_factory=ImaginedCostLimit, metadata={GROUP: ImaginedCostLimit})
    """The limit on the imagined cost."""

    inputs: ClassVar[Inputs] = Inputs(images=True, windows=True)

    # --- data and phases ---

    def prepare(self, dataset: Dataset | FrameData, task: Task) -> FrameWindows | FrameStream:
        """Windows of frames; transitions become frames first, and frames in files stay there.

        Args:
            dataset: Logged transitions or frames.
            task: Task of the data.

        Returns:
            Windows in memory, or a stream of windows from files.

        Raises:
            ConfigError: `scale_observations` is set for a task of images.
        """
        if self.scale_observations and task.image_shape is not None:
            raise ConfigError(f"scale_observations: expected False for {task.name}, whose observations are images.")
        frames = dataset if isinstance(dataset, FrameData) else frames_of(dataset)
        if stays_in_files(frames):
            return FrameStream(frames, length=self.training.window)
        return frames.windows(length=self.training.window, scales=self.scale_observations)

    @property
    def phases(self) -> tuple[Phase, ...]:
        training = self.training
        if self.schedule == "joint":
            return (Phase("joint", training.joint_updates, training.batch_size),)
        phases = (
            Phase("model", training.model_updates, training.batch_size),
            Phase("policy", training.policy_updates, training.batch_size),
        )
        return tuple(phase for phase in phases if phase.updates > 0)

    def first_scales(self, spec: DataSpec, statistics: ObservationScales | None) -> ObservationScales | None:
        """Observation scales of the first state.

        Args:
            spec: Shapes of the data.
            statistics: Scales of the data, or None.

        Returns:
            The data's scales, else the identity; None where observations are not scaled.
        """
        none = ObservationScales.none(spec.observation_dim) if self.scale_observations else None
        return none if statistics is None else statistics

    # --- fine-tuning ---

    @property
    def window(self) -> int:
        """Frames of a window."""
        return self.training.window

    def frozen(self, state: Any) -> Any:
        """State that fine-tuning begins with."""
        return state

    def after_episodes(self, state: Any, costs: Float[Array, " n"], lengths: Float[Array, " n"]) -> Any:
        """State after n episodes online.

        Args:
            state: Training state.
            costs: Costs of the episodes, [n].
            lengths: Decisions of the episodes, [n].

        Returns:
            The state; here unchanged.
        """
        return state

    # --- updates of states that have a `model`, a `model_optimizer` and `scales` ---

    def update(self, state: Any, batch: Frames, key: Key[Array, ""], *, phase: str) -> tuple[Any, Metrics]:
        """One update of the given phase; in `joint` the policy learns from the states that the model has just inferred.

        Args:
            state: Training state with a `model`, a `model_optimizer` and `scales`.
            batch: B windows of T frames.
            key: Random key of the update.
            phase: `joint`, `model` or `policy`.

        Returns:
            (state, metrics).

        Raises:
            ConfigError: `phase` is unknown.
        """
        k_model, k_policy = jax.random.split(key)
        batch = batch._replace(observation=scaled(batch.observation, state.scales))
        if phase == "policy":
            latent = posterior_states(state.model, batch, k_model, config=self.world_model)
            return self.update_policy(state, batch, latent, k_policy)
        if phase not in ("model", "joint"):
            raise ConfigError(f"unknown phase '{phase}'; known: model, policy, joint.")
        model, optimizer, metrics, latent = world_model.update(
            state.model, state.model_optimizer, batch, k_model, config=self.world_model
        )
        state = state._replace(model=model, model_optimizer=optimizer)
        if phase == "model":
            return state, metrics
        latent = jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf.astype(jnp.float32)), latent)
        state, policy_metrics = self.update_policy(state, batch, latent, k_policy)
        return state, metrics | policy_metrics

    @abstractmethod
    def update_policy(self, state: Any, batch: Frames, latent: Latent, key: Key[Array, ""]) -> tuple[Any, Metrics]:
        """One update of critics and actor.

        Args:
            state: Training state.
            batch: B windows of T frames.
            latent: The world model's states along the windows, [B, T, ...].
            key: Random key of the rollout.

        Returns:
            (state, metrics).
        """

    def imagined_starts(self, batch: Frames, latent: Latent) -> tuple[Latent, Float[Array, " n"]]:
        """States to imagine from: every `imagination_stride`-th of each window.

        Args:
            batch: B windows of T frames.
            latent: The world model's states along the windows, [B, T, ...].

        Returns:
            (states [n, ...], mask [n] that is 0 where a state is terminal).
        """
        chosen = slice(None, None, self.imagination.imagination_stride)
        start = jax.tree.map(lambda leaf: leaf[:, chosen].reshape(-1, leaf.shape[-1]), latent)
        return start, 1.0 - batch.terminated[:, chosen].astype(jnp.float32).reshape(-1)
