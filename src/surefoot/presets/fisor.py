"""Presets of FISOR."""

from typing import Any

from surefoot.algorithms.fisor.groups import ScalingConfig
from surefoot.diffusion.policy import DiffusionPolicyConfig
from surefoot.nn import DenoiserConfig

SMALL_POLICY = DiffusionPolicyConfig(
    network=DenoiserConfig(width=128, blocks=2, expansion=2, time_width=64, dropout=0.0),
    learning_rate=1e-3,
    decay_steps=5000,
    ema_rate=0.005,
)
"""A denoiser of 0.1 million parameters, trained for 5,000 steps. Source: measured on PointRobot (results/)."""

_PAPER: dict[str, Any] = {
    "schedule": "joint",
    "joint_updates": 100_000,
    "policy_batch_size": 512,
    "reward_temperature": 5.0,
    "constraint_temperature": 2.0,
    "num_candidates": 8,
    "reward_scaling": "none",
}
LEGACY: dict[str, Any] = {"count_state_left": False, "timeouts_terminal": True, "cost_limit": 10.0}
"""What the authors' code does: h of the state entered only, nothing bootstrapped across timeouts, a limit of 10.

Its DPM-Solver starts from zero noise: --diffusion.sampler dpm_solver --diffusion.start-temperature 0.
"""

FISOR_PRESETS: dict[str, dict[str, Any]] = {
    # Minutes on two CPU cores. Source: our own measurements on PointRobot (results/), not the paper.
    "small": {
        "constraint_updates": 15_000,
        "reward_updates": 12_000,
        "policy_updates": 5_000,
        "policy_batch_size": 256,
        "value_hidden": (128, 128),
        "value_learning_rate": 2e-3,
        "value_final_learning_rate": 1e-5,
        "target_rate": 0.01,
        "expectile": 0.8,
        "constraint_discount_start": 0.99,
        "constraint_discount": 0.999,
        "constraint_expectile": 0.98,
        "trajectory_bound": True,
        "constraint_value_ensemble": 2,
        "reward_scaling": "none",
        "scaling": ScalingConfig(observations=True, constraint=True, reward=True),
        "scaled_advantages": True,
        "reward_temperature": 1.0,
        "constraint_temperature": 2.0,
        "weight_margin": 0.3,
        "num_candidates": 8,
        "safer_step": 1.0,
        "extraction": "feasible_first",
        "margin": 0.15,
        "escape_slack": 0.1,
        "escape_above": 0.1,
        "diffusion": SMALL_POLICY,
    },
    # The paper's sizes and its PointRobot settings (table of hyper-parameters), with the corrected behaviour.
    "paper": _PAPER,
    "legacy": {**_PAPER, **LEGACY},
}
