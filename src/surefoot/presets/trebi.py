"""Presets of TREBI. `TREBI_TASK_PRESETS` replace the presets of equal names on their tasks."""

from dataclasses import replace
from typing import Any

from surefoot.nn import TemporalConfig
from surefoot.planning import GuideConfig, SamplerConfig

_SMALL: dict[str, Any] = {
    "plan_horizon": 16,
    "model_updates": 8_000,
    "value_updates": 8_000,
    "batch_size": 64,
    "learning_rate": 1e-3,
    "final_learning_rate": 1e-5,
    "ema_start": 500,
    "network": TemporalConfig(width=16, multipliers=(1, 2)),
    "value_network": TemporalConfig(width=16, multipliers=(1, 2)),
    "value_heads": "shared",
    "value_ensemble": 2,
    "num_candidates": 32,
    "sampler": SamplerConfig(kind="dpm_solver", steps=5, warm_steps=3),
    "guide": GuideConfig(units="spread", cost_weight=5.0, steps=0, scale=1.0, stop=1, start=10),
    "margin_level": 0.1,
    "calibration_segments": 2_048,
}
"""Minutes on two CPU cores: networks of some 50,000 numbers, five denoising steps from noise and three from the plan
before. Values choose among candidates and do not move them: on SafePendulum gradients, of both lengths tried, led to
where the cost value is wrong, and low budgets were exceeded (docs/trebi-results.md)."""

_LEGACY: dict[str, Any] = {
    "reward_discount": 0.99,
    "cost_discount": 0.99,
    "know_time_left": False,
    "normalize_targets": False,
    "chosen_by": "last_guide",
    "calibration_segments": 0,
    "value_heads": "separate",
}
"""What the authors' code does, whatever the task: discounted budgets, values that do not know the time, raw targets,
the choice by the last guide evaluation, every episode trained on."""

_TOY: dict[str, Any] = _LEGACY | {
    "num_candidates": 128,
    "guide": GuideConfig(kind="hinge", cost_weight=1000.0, units="raw", steps=2, scale=0.1, stop=2),
}
"""The scripts of January 2023 for the two toys, the submission's: horizon 32, T = 20, K = 2, B = 128."""

_TOY_CONFIG: dict[str, Any] = _LEGACY | {
    "num_candidates": 128,
    "guide": GuideConfig(kind="exponential", cost_weight=20.0, units="raw", steps=2, scale=0.1, stop=2),
}
"""The same from the configuration files, whose values the scripts overrode."""

_FAST: dict[str, Any] = _TOY | {
    "num_candidates": 13,
    "sampler": SamplerConfig(kind="dpm_solver", steps=7, warm_steps=4),
    "guide": replace(_TOY["guide"], start=10),
    "chosen_by": "rescored",
}
"""The networks and the training of the toys' scripts, and plans in a fortieth of the time: four denoising steps from
the plan before, three of them guided."""

TREBI_PRESETS: dict[str, dict[str, Any]] = {
    # Source: our own measurements (benchmarks/planning.py for the time), not the paper.
    "small": _SMALL,
    # Small networks over the whole chain: what the few steps of `small` cost can be seen against it.
    "small_whole_chain": _SMALL
    | {
        "sampler": SamplerConfig(),
        "num_candidates": 64,
        "guide": GuideConfig(units="spread", cost_weight=5.0, steps=2, scale=0.5, stop=2),
    },
    # The paper's sizes, with the corrected behaviour. Days on two CPU cores.
    "paper": {"num_candidates": 128},
    "legacy": _TOY,
    "legacy_config": _TOY_CONFIG,
    # Source: our own measurements (benchmarks/legacy_planner.py).
    "legacy_fast": _FAST,
}
"""Preset -> fields to change; for the toys, and where no task has its own."""


def _runner(guide: dict[str, Any], **sizes: Any) -> dict[str, dict[str, Any]]:
    """Presets of a MuJoCo runner. Falling is penalised, as by the authors, in the legacy ones only: the corrected
    targets count the cost that evaluation counts."""
    penalties = {
        "termination_reward": -100.0,
        "termination_cost": 100.0,
        "num_candidates": 64,
        "model_updates": 1_000_000,
    }
    scripts = GuideConfig(**({"kind": "hinge", "cost_weight": 100.0, "steps": 2, "scale": 0.1, "stop": 2} | guide))
    config = GuideConfig(**({"kind": "exponential", "cost_weight": 5.0, "steps": 2, "scale": 0.1, "stop": 2} | guide))
    discounts = {"reward_discount": 0.997, "cost_discount": 0.997}
    return {
        # An episode has a thousand steps: every second action is planned, among half as many plans.
        "small": _SMALL
        | {
            "plan_horizon": 16,
            # Half as much return again as with a third of the model's updates and values of noisy segments (Hopper).
            "model_updates": 45_000,
            "value_updates": 15_000,
            "clean_value_share": 1.0,
            "network": TemporalConfig(width=32, multipliers=(1, 2)),
            "value_network": TemporalConfig(width=32, multipliers=(1, 2)),
            "num_candidates": 16,
            "control_interval": 2,
            # Budgets are hundreds of times a step's cost, which replanning keeps to without a margin.
            "margin_level": 0.0,
        },
        "legacy": _LEGACY | penalties | {"guide": scripts} | sizes,
        "legacy_config": _LEGACY | penalties | {"guide": config} | discounts | sizes,
    }


_CHEETAH: dict[str, Any] = {"plan_horizon": 4, "network": TemporalConfig(multipliers=(1, 4, 8))}
_CHEETAH |= {"value_network": _CHEETAH["network"]}
_BULLET: dict[str, dict[str, Any]] = {
    # As on SafePendulum, more return under each limit than with less training of the model. Margins from held-out
    # segments are more than twice the smallest limit at first (docs/trebi-results.md).
    "small": _SMALL
    | {
        "model_updates": 60_000,
        "value_updates": 20_000,
        "network": TemporalConfig(32, (1, 2)),
        "clean_value_share": 1.0,
        "margin_level": 0.0,
        "cost_margin": 5.0,
    },
    "legacy": _LEGACY
    | {
        "cost_discount": 1.0,
        "reward_discount": 1.0,
        "num_candidates": 64,
        "guide": GuideConfig(kind="hinge", cost_weight=100.0, units="raw", steps=2, scale=0.1, stop=2),
    },
}
"""Bullet-Safety-Gym with its native cost and discount 1. Chosen on BallCircle and CarCircle; on the others, whose
limits are the same, it was not tried."""

TREBI_TASK_PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    # Its planner follows imagined swings that the actions do not make, where the model is trained for less; the margin
    # is for the lowest budget, from which a fall back from the top takes most (docs/trebi-results.md).
    "SafePendulum": {
        "small": _SMALL | {"model_updates": 24_000, "clean_value_share": 1.0, "cost_margin": 5.0},
        "legacy": _TOY,
    },
    # Margins from held-out segments are more than its lowest budget at first: no plan kept it (docs/trebi-results.md).
    "SafeReacher": {"small": _SMALL | {"margin_level": 0.0, "cost_margin": 1.0}, "legacy": _TOY},
    **dict.fromkeys(("Hopper", "hopper-medium-v2", "hopper-medium-replay-v2"), _runner({})),
    "hopper-medium-expert-v2": _runner({"scale": 1e-4, "stop": 4}),
    **dict.fromkeys(
        ("Walker2d", "walker2d-medium-v2", "walker2d-medium-replay-v2", "walker2d-medium-expert-v2"), _runner({})
    ),
    **dict.fromkeys(
        ("HalfCheetah", "halfcheetah-medium-v2", "halfcheetah-medium-replay-v2", "halfcheetah-medium-expert-v2"),
        _runner({"scale": 1e-3, "stop": 4}, **_CHEETAH),
    ),
    **dict.fromkeys(
        ("BallCircle", "CarCircle", "DroneCircle", "AntCircle", "BallRun", "CarRun", "DroneRun", "AntRun"), _BULLET
    ),
}
"""Task -> preset -> fields to change."""
