"""Sizes and losses of a world model."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from surefoot.ranges import Range, Ranged, Relation

EncoderKind = Literal["cnn", "patch", "mlp"]


@dataclass(frozen=True)
class WorldModelConfig(Ranged, part="world_model"):
    """Hyper-parameters of the world model; the defaults are FOSP's (arXiv 2407.04942, its code)."""

    # --- sizes ---
    encoder: EncoderKind = "cnn"
    """Encoder and decoder of observations. cnn: strided convolutions over an image. patch: dense layers over squares of
    2 x 2, a third of the computation on a CPU. mlp: dense layers over vectors."""
    channels: Annotated[tuple[int, ...], Range("[1, 65536]", fewest=1)] = (32, 64, 128, 256)
    """Channels after each halving of the image (cnn, patch), or units of each layer (mlp)."""
    deterministic: Annotated[int, Range("[1, 65536]")] = 512
    """Numbers of the recurrent state h."""
    hidden: Annotated[int, Range("[1, 65536]")] = 512
    """Units of the layers inside the recurrent model."""
    groups: Annotated[int, Range("[1, 65536]")] = 48
    """Categorical variables in the stochastic state s."""
    classes: Annotated[int, Range("[1, 65536]")] = 48
    """Classes of each categorical variable."""
    uniform_share: Annotated[float, Range("[0, 1)")] = 0.01
    """Share of uniform probability mixed into every categorical variable ("unimix")."""
    head_hidden: Annotated[tuple[int, ...], Range("[1, 65536]")] = (512, 512)
    """Units of the hidden layers of the heads for reward, cost and continuation."""
    bins: Annotated[int, Range("[3, 65535]")] = 255
    """Bins of the heads for reward and cost; odd."""

    # --- losses ---
    observation_scale: Annotated[float, Range("[0, inf)")] = 1.0
    """Weight of the squared error of the observation, summed over its numbers."""
    reward_scale: Annotated[float, Range("[0, inf)")] = 1.0
    """Weight of the reward's loss."""
    cost_scale: Annotated[float, Range("[0, inf)")] = 1.0
    """Weight of the cost's loss."""
    cost_emphasis: Annotated[float, Range("[0, inf)")] = 10.0
    """Factor of the cost's loss where the cost is at least 1."""
    continue_scale: Annotated[float, Range("[0, inf)")] = 1.0
    """Weight of the continuation's loss."""
    prior_scale: Annotated[float, Range("[0, inf)")] = 0.5
    """Weight of the KL(posterior || prior) whose gradient moves the prior."""
    posterior_scale: Annotated[float, Range("[0, inf)")] = 0.1
    """Weight of the KL(posterior || prior) whose gradient moves the posterior."""
    free_nats: Annotated[float, Range("[0, inf)")] = 1.0
    """Free nats: the KL loss, summed over all variables of a step, is clipped below this."""

    # --- optimiser ---
    learning_rate: Annotated[float, Range("(0, inf)")] = 1e-4
    """Learning rate of Adam."""
    clip: Annotated[float, Range("(0, inf)")] = 1000.0
    """Largest norm of the gradient over all parameters."""
    compute: Literal["float32", "bfloat16"] = "float32"
    """Floating-point type of activations; parameters are float32 always."""

    def _relations(self) -> Iterator[Relation]:
        yield Relation(self.bins % 2 == 1, "bins", f"expected an odd number, found {self.bins}")

    @property
    def random(self) -> int:
        """Numbers of the stochastic state s."""
        return self.groups * self.classes

    @property
    def features(self) -> int:
        """Numbers of z = [h, s], which heads, actors and critics read."""
        return self.deterministic + self.random
