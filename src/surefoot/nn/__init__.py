"""Networks: small Equinox modules whose activations are static, so that plain jit, vmap, grad and scan work."""

from surefoot.nn.gaussian import Gaussian, GaussianActor
from surefoot.nn.networks import (
    MLP,
    Denoiser,
    DenoiserConfig,
    Dense,
    apply_gradient,
    clip_each,
    init_optimizer,
    member,
    move_towards,
)
from surefoot.nn.normed import NormedMLP
from surefoot.nn.offline import ActionVAE, DeterministicActor, SquashedGaussianActor, VAEConfig
from surefoot.nn.trajectory import TemporalConfig, TemporalUNet, TrajectoryValue

__all__ = [
    "MLP",
    "ActionVAE",
    "Denoiser",
    "DenoiserConfig",
    "Dense",
    "DeterministicActor",
    "Gaussian",
    "GaussianActor",
    "NormedMLP",
    "SquashedGaussianActor",
    "TemporalConfig",
    "TemporalUNet",
    "TrajectoryValue",
    "VAEConfig",
    "apply_gradient",
    "clip_each",
    "init_optimizer",
    "member",
    "move_towards",
]
