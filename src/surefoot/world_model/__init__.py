"""World models: a recurrent state-space model that observes, imagines and is trained on windows of episodes."""

from surefoot.world_model.config import WorldModelConfig
from surefoot.world_model.latent import Imagined, Latent, Observed
from surefoot.world_model.model import (
    WorldModel,
    imagine,
    imagine_actions,
    in_precision,
    initial,
    loss,
    make_world_model,
    observe,
    observe_step,
    optimizer,
    update,
)

__all__ = [
    "Imagined",
    "Latent",
    "Observed",
    "WorldModel",
    "WorldModelConfig",
    "imagine",
    "imagine_actions",
    "in_precision",
    "initial",
    "loss",
    "make_world_model",
    "observe",
    "observe_step",
    "optimizer",
    "update",
]
