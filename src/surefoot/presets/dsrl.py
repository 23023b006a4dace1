"""Presets for DSRL's tasks, whose data know costs but no continuous constraint signal. They take the place of those of
the same name on these tasks."""

from typing import Any

from surefoot.presets.fisor import SMALL_POLICY

_SMALL: dict[str, Any] = {
    "constraint_updates": 15_000,
    "reward_updates": 8_000,
    "policy_updates": 5_000,
    "policy_batch_size": 256,
    "value_hidden": (128, 128),
    "value_learning_rate": 1e-3,
    "value_final_learning_rate": 1e-5,
    "violation_scale": 1.0,
    "constraint_expectile": 0.98,
    "constraint_value_ensemble": 2,
    "scaled_advantages": True,
    "reward_temperature": 2.0,
    "constraint_temperature": 2.0,
    "weight_margin": 0.6,
    "num_candidates": 16,
    "safer_step": 0.2,
    "extraction": "first_feasible",
    "margin": 0.9,
    "diffusion": SMALL_POLICY,
}
"""Minutes on two CPU cores. Source: our own measurements on BallRun (docs/protocol.md), not the paper, whose scale of h
(25) and expectile (0.9) leave no feasible region there."""

DSRL_PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "fisor": {
        "small": _SMALL,
        # The paper's sizes, temperatures and expectiles, which are the class's own defaults.
        "paper": {"schedule": "joint"},
        # What the authors' code does: h of the state entered only, nothing bootstrapped across timeouts, a limit of 10.
        "legacy": {
            "schedule": "joint",
            "count_state_left": False,
            "timeouts_terminal": True,
            "cost_limit": 10.0,
        },
    },
}
"""Algorithm -> preset -> fields to change."""

DSRL_TASK_PRESETS: dict[str, dict[str, dict[str, dict[str, Any]]]] = {
    # A single action hardly matters on a lap: values learn from the logged ways on, of which an expectile of 0.8 finds
    # the good ones, one of 0.98 the lucky ones (docs/protocol.md).
    "CarCircle": {
        "fisor": {
            "small": _SMALL
            | {
                "constraint_updates": 40_000,
                "reward_updates": 12_000,
                "policy_updates": 12_000,
                "trajectory_bound": True,
                "value_bound": True,
                "constraint_expectile": 0.8,
                "margin": 0.7,
            },
        },
    },
}
"""Task -> algorithm -> preset -> fields to change."""
