"""Presets of FOSP and SafeDreamer."""

from dataclasses import replace
from typing import Any

from surefoot.constraints import AugmentedConfig, EpisodePIDConfig
from surefoot.planning import CrossEntropyConfig
from surefoot.world_model import WorldModelConfig

SMALL_MODEL = WorldModelConfig(
    encoder="patch",
    channels=(16, 64),
    deterministic=128,
    hidden=128,
    groups=16,
    classes=8,
    head_hidden=(128, 128),
    bins=63,
    # Fewer pixels would let the KL dominate.
    observation_scale=8.0,
    reward_scale=4.0,
    cost_scale=3.0,
    learning_rate=1e-3,
)
"""0.7 million parameters for images of 16 x 16. Source: our measurements on HazardRun (results/hazard_run): 63 bins
do as well as 255 there and halve the heads' computation."""


def for_vectors(changes: dict[str, Any]) -> dict[str, Any]:
    """A preset for tasks whose observations are vectors: two layers as wide as the recurrent model's read them."""
    model: WorldModelConfig = changes.get("world_model", WorldModelConfig())
    read = replace(model, encoder="mlp", channels=(model.hidden, model.hidden), observation_scale=1.0)
    return {**changes, "world_model": read, "scale_observations": True}


_SMALL: dict[str, Any] = {
    "schedule": "decoupled",
    "model_updates": 3000,
    "policy_updates": 1500,
    "batch_size": 16,
    "window": 16,
    "world_model": SMALL_MODEL,
    "horizon": 5,
    "imagination_stride": 4,
    "hidden": (128,),
    "actor_hidden": (128, 128),
    "discount": 0.9,
    "act_with": "mean",
}
"""Sizes and schedule of both algorithms."""

FOSP_PRESETS: dict[str, dict[str, Any]] = {
    # HazardRun in minutes on two CPU cores. Source: our own measurements (results/hazard_run), not the paper.
    "small": {
        **_SMALL,
        "reach_discount": 0.9,
        "critic_learning_rate": 1e-3,
        "actor_learning_rate": 1e-3,
        "actor_mode": "backprop",
        "reward_temperature": 5.0,
        "cost_temperature": 5.0,
        "constrain": False,
    },
    # The paper's sizes: two cameras of 64 x 64, 42 million parameters, with what the paper means.
    "intended": {},
    # What the authors' code does: docs/fosp.md, "The paper and the authors' code".
    "released": {
        "reference_code": True,
        "reachability": "released",
        "data_branch": False,
        "actor_mode": "backprop",
    },
}

SAFEDREAMER_PRESETS: dict[str, dict[str, Any]] = {
    # The multiplier of the code would need days to move.
    "small": {
        **_SMALL,
        "learning_rate": 1e-3,
        "lagrangian": AugmentedConfig(multiplier=0.01, penalty=0.01, growth=1e-3),
        # A tenth of the code's sequences, a fifth of them the actor's, for steps of a plan in milliseconds.
        "planner": CrossEntropyConfig(num_samples=64, num_policy_samples=16, iterations=4, num_elites=8),
        "episode_cost_limit": 1.0,
        "pid": EpisodePIDConfig(proportional=0.5, integral=0.05, derivative=0.05, most=5.0, after_steps=0),
    },
    # The paper's sizes, costs scaled to the decisions of the task's own episodes.
    "intended": {},
    # As FOSP's authors ran BSRP-Lag; its planners scale costs to 1000 steps, whatever the action repeat.
    "released": {"episode_steps": 1000},
}

PIXELS_MODEL = replace(SMALL_MODEL, channels=(16, 32, 64), observation_scale=8.0)
"""For images of 32 x 32. Source: our own measurements (results/point_robot_pixels)."""

# PointRobotPixels in about 13 minutes of processor time a seed. A decision is 0.2 s: braking from 2 m/s takes 10 of
# them, and the way to the goal 15 to 25. Source: measurements of one seed (docs/fosp.md).
_PIXELS: dict[str, Any] = {
    "model_updates": 9000,
    "policy_updates": 4000,
    "world_model": PIXELS_MODEL,
    "horizon": 8,
    "discount": 0.95,
}
# The data hold good behaviour: weighting it learns more in these minutes than gradients through the model do.
_PIXELS_ACTOR: dict[str, Any] = {
    "reach_discount": 0.97,
    "actor_mode": "awr",
    "imagined_branch": False,
    "policy_updates": 8000,  # no dreams: in the time of 4,000 of SafeDreamer's
    # The cost's scale is about 9 here, so that differences of half a violating step need so large a temperature.
    "reward_temperature": 10.0,
    "cost_temperature": 20.0,
    "cost_slack": 0.2,
    "num_candidates": 16,
    # Online: real costs teach where the hazards lie now before dreams show them, and a unit of cost counts as such.
    "online_data_branch": True,
    "expansion_cost": 1.0,
    "expansion_temperature": 20.0,
}
PIXELS_PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "fosp": {"small": {**FOSP_PRESETS["small"], **_PIXELS, **_PIXELS_ACTOR}},
    "safedreamer": {"small": {**SAFEDREAMER_PRESETS["small"], **_PIXELS}},
}
"""Algorithm -> presets of PointRobotPixels, of both image sizes, that differ from those of other tasks."""


def for_larger(changes: dict[str, Any]) -> dict[str, Any]:
    """The preset for images twice as large: one more halving, and a quarter of the weight of each of the pixels."""
    model: WorldModelConfig = changes["world_model"]
    channels = (model.channels[0] // 2, *model.channels)
    read = replace(model, channels=channels, observation_scale=model.observation_scale / 4)
    return {**changes, "world_model": read}
