"""Sizes and losses of a world model."""

from dataclasses import dataclass
from typing import Annotated, Literal

from surefoot.ranges import Range, check_fields, check_relation

EncoderKind = Literal["cnn", "patch", "mlp"]


@dataclass(frozen=True)
class WorldModelConfig:
    """Hyper-parameters of the world model; the defaults are FOSP's (arXiv 2407.04942, its code)."""

    # --- sizes ---
    encoder: EncoderKind = "cnn"
    """How observations are read and drawn: cnn, strided convolutions over an image; patch, squares of 2 x 2 and dense
    layers, a third of the computation on a CPU; mlp, vectors of numbers."""
    channels: Annotated[tuple[int, ...], Range("[1, 65536]", fewest=1)] = (32, 64, 128, 256)
    """Channels after each halving of the image (cnn, patch), or units of each layer (mlp)."""
    deterministic: Annotated[int, Range("[1, 65536]")] = 512
    """Numbers in the recurrent state h."""
    hidden: Annotated[int, Range("[1, 65536]")] = 512
    """Units of the layers inside the recurrent model."""
    groups: Annotated[int, Range("[1, 65536]")] = 48
    """Categorical variables in the random state s."""
    classes: Annotated[int, Range("[1, 65536]")] = 48
    """Classes of each of them."""
    uniform_share: Annotated[float, Range("[0, 1)")] = 0.01
    """Share of uniform probability mixed into every categorical variable."""
    head_hidden: Annotated[tuple[int, ...], Range("[1, 65536]")] = (512, 512)
    """Units of the hidden layers of the heads for reward, cost and going on."""
    bins: Annotated[int, Range("[3, 65535]")] = 255
    """Bins of the heads for reward and cost, an odd number."""

    # --- losses ---
    observation_scale: Annotated[float, Range("[0, inf)")] = 1.0
    """Weight of the squared error of the observation, summed over its numbers."""
    reward_scale: Annotated[float, Range("[0, inf)")] = 1.0
    """Weight of the reward's loss."""
    cost_scale: Annotated[float, Range("[0, inf)")] = 1.0
    """Weight of the cost's loss."""
    cost_emphasis: Annotated[float, Range("[0, inf)")] = 10.0
    """By how much the cost's loss counts more where the cost is at least 1."""
    continue_scale: Annotated[float, Range("[0, inf)")] = 1.0
    """Weight of the loss of going on."""
    prior_scale: Annotated[float, Range("[0, inf)")] = 0.5
    """Weight of KL(posterior || prior) that moves the prior."""
    posterior_scale: Annotated[float, Range("[0, inf)")] = 0.1
    """Weight of KL(posterior || prior) that moves the posterior."""
    free_nats: Annotated[float, Range("[0, inf)")] = 1.0
    """KL below which nothing pulls, in nats, summed over all variables of a step."""

    # --- optimiser ---
    learning_rate: Annotated[float, Range("(0, inf)")] = 1e-4
    """Of Adam."""
    clip: Annotated[float, Range("(0, inf)")] = 1000.0
    """Largest norm of the gradient over all parameters."""
    compute: Literal["float32", "bfloat16"] = "float32"
    """Numbers that activations are computed in; parameters are float32 always."""

    def __post_init__(self) -> None:
        check_fields(self, part="world_model")
        sentence = f"expected an odd number, found {self.bins}"
        check_relation(self, self.bins % 2 == 1, "bins", sentence, part="world_model")

    @property
    def random(self) -> int:
        """Numbers in the random state s."""
        return self.groups * self.classes

    @property
    def features(self) -> int:
        """Numbers in z = [h, s], which heads, actors and critics read."""
        return self.deterministic + self.random
