"""Presets for tasks whose data know costs but no continuous constraint signal, whatever their suite."""

from dataclasses import replace
from typing import Any

from surefoot.algorithms.fisor.groups import ReturnsConfig, ScalingConfig
from surefoot.presets.fisor import LEGACY, SMALL_POLICY

COSTS_PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "fisor": {
        # Minutes on two CPU cores. Source: our own measurements on the development tasks (docs/protocol.md), not the
        # paper, whose scale of h (25) and expectile (0.9) leave no feasible region there. No number has a unit.
        "small": {
            "value_targets": "returns",
            "value_updates": 10_000,
            "critic_updates": 8_000,
            "returns": ReturnsConfig(refresh_interval=500, mixing=0.95, cost_expectile=0.7, largest_weight=20.0),
            "recovery": "cost",
            "advantage": "return",
            "policy_updates": 10_000,
            "policy_batch_size": 256,
            "value_hidden": (128, 128),
            "value_learning_rate": 1e-3,
            "value_final_learning_rate": 1e-5,
            "target_rate": 0.01,
            "violation_scale": 1.0,
            "constraint_expectile": 0.8,
            "expectile": 0.7,
            "constraint_value_ensemble": 2,
            "scaling": ScalingConfig(
                observations=True,
                constraint=True,
                reward=True,
                weight_quantile=0.9,
                margin_quantile=0.93,
            ),
            "margin_over": "allowed",
            "reward_temperature": 1.5,
            "constraint_temperature": 1.5,
            "num_candidates": 16,
            "extraction": "first_feasible",
            "diffusion": replace(SMALL_POLICY, decay_steps=10_000),
        },
        # The paper's sizes, temperatures and expectiles, which are the class's own defaults.
        "paper": {"schedule": "joint"},
        "legacy": {"schedule": "joint", **LEGACY},
    },
}
"""Algorithm -> preset -> fields to change. They take the place of those of the same name on these tasks."""
