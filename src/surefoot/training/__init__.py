"""Training runs: the scanned, vmapped fit; the run's folder; the policy loaded back from it."""

from surefoot.hyperparameters import from_hyperparameters, hyperparameters
from surefoot.protocols import Algorithm
from surefoot.training.fit import MetricLogger, Progress, Share, fit
from surefoot.training.loaded import LoadedPolicy, load_policy
from surefoot.training.run_config import RunConfig, make_config
from surefoot.training.run_directory import RunDirectory
from surefoot.training.wandb_logger import WandbLogger

__all__ = [
    "Algorithm",
    "LoadedPolicy",
    "MetricLogger",
    "Progress",
    "RunConfig",
    "RunDirectory",
    "Share",
    "WandbLogger",
    "fit",
    "from_hyperparameters",
    "hyperparameters",
    "load_policy",
    "make_config",
]
