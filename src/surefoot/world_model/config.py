"""Sizes and losses of a world model."""

from dataclasses import dataclass
from typing import Literal

from surefoot.errors import ConfigError

EncoderKind = Literal["cnn", "patch", "mlp"]


@dataclass(frozen=True)
class WorldModelConfig:
    """Hyper-parameters of the world model; the values here are FOSP's full preset (its specification, section 2)."""

    # --- sizes ---
    encoder: EncoderKind = "cnn"
    """How observations are read and drawn: cnn, strided convolutions over an image; patch, squares of 2 x 2 and dense
    layers, a third of the computation on a CPU; mlp, vectors of numbers."""
    channels: tuple[int, ...] = (32, 64, 128, 256)
    """Channels after each halving of the image (cnn, patch), or units of each layer (mlp)."""
    deterministic: int = 512
    """Numbers in the recurrent state h."""
    hidden: int = 512
    """Units of the layers inside the recurrent model."""
    groups: int = 48
    """Categorical variables in the random state s."""
    classes: int = 48
    """Classes of each of them."""
    uniform_share: float = 0.01
    """Share of uniform probability mixed into every categorical variable."""
    head_hidden: tuple[int, ...] = (512, 512)
    """Units of the hidden layers of the heads for reward, cost and going on."""
    bins: int = 255
    """Bins of the heads for reward and cost, an odd number."""

    # --- losses ---
    observation_scale: float = 1.0
    """Weight of the squared error of the observation, summed over its numbers."""
    reward_scale: float = 1.0
    """Weight of the reward's loss."""
    cost_scale: float = 1.0
    """Weight of the cost's loss."""
    cost_emphasis: float = 10.0
    """By how much the cost's loss counts more where the cost is at least 1."""
    continue_scale: float = 1.0
    """Weight of the loss of going on."""
    prior_scale: float = 0.5
    """Weight of KL(posterior || prior) that moves the prior."""
    posterior_scale: float = 0.1
    """Weight of KL(posterior || prior) that moves the posterior."""
    free_nats: float = 1.0
    """KL below which nothing pulls, in nats, summed over all variables of a step."""

    # --- optimiser ---
    learning_rate: float = 1e-4
    """Of Adam."""
    clip: float = 1000.0
    """Largest norm of the gradient over all parameters."""
    compute: Literal["float32", "bfloat16"] = "float32"
    """Numbers that activations are computed in; parameters are float32 always."""

    def __post_init__(self) -> None:
        if self.bins < 3 or self.bins % 2 == 0:
            raise ConfigError(f"bins: expected an odd number of at least 3, found {self.bins}.")
        if not self.channels:
            raise ConfigError("channels: expected at least one layer, found none.")

    @property
    def random(self) -> int:
        """Numbers in the random state s."""
        return self.groups * self.classes

    @property
    def features(self) -> int:
        """Numbers in z = [h, s], which heads, actors and critics read."""
        return self.deterministic + self.random
