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
from surefoot.nn.trajectory import TemporalConfig, TemporalUNet, TrajectoryValue

__all__ = [
    "MLP",
    "Denoiser",
    "DenoiserConfig",
    "Dense",
    "Gaussian",
    "GaussianActor",
    "NormedMLP",
    "TemporalConfig",
    "TemporalUNet",
    "TrajectoryValue",
    "apply_gradient",
    "clip_each",
    "init_optimizer",
    "member",
    "move_towards",
]
