"""The preset `small` of FOSP and SafeDreamer on Safety-Gymnasium's tasks that see: an hour on two CPU cores.

Source: our own measurements on 20,000 decisions of PointGoal1Vision (benchmarks/point_goal_vision.py), not the paper.
"""

from typing import Any

from surefoot.presets.fosp import FOSP_PRESETS, SAFEDREAMER_PRESETS
from surefoot.world_model import WorldModelConfig

VISION_MODEL = WorldModelConfig(
    encoder="patch",
    channels=(8, 24, 64, 128),
    deterministic=256,
    hidden=256,
    groups=24,
    classes=16,
    head_hidden=(256,),
    bins=63,
    # The 24,576 numbers of an image would drown a reward and a cost.
    reward_scale=10.0,
    cost_scale=10.0,
    learning_rate=4e-4,
)
"""For two cameras of 64 x 64."""

_SIZES: dict[str, Any] = {
    "model_updates": 10_000,
    "policy_updates": 3_000,
    "batch_size": 8,
    "window": 32,
    "world_model": VISION_MODEL,
    "horizon": 10,
    "hidden": (256,),
    "actor_hidden": (256, 256),
    "discount": 0.97,
    "imagination_stride": 8,
}

VISION_PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "fosp": {
        "small": {
            **FOSP_PRESETS["small"],
            **_SIZES,
            "actor_mode": "awr",
            "reach_discount": 0.95,
            "critic_learning_rate": 3e-4,
            "actor_learning_rate": 3e-4,
        }
    },
    "safedreamer": {"small": {**SAFEDREAMER_PRESETS["small"], **_SIZES, "learning_rate": 3e-4}},
}
"""Algorithm -> preset -> fields to change, in place of the presets of the same names."""
