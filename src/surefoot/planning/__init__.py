"""Planning: segments sampled from a behaviour model, guided by values and chosen under a budget; and cross-entropy
search in a world model, safe sequences first."""

from surefoot.planning.cross_entropy import CrossEntropyConfig, Evaluate, Plan, plan_actions, refit, safe_first, shifted
from surefoot.planning.guidance import GuideConfig, guide, guide_gradient
from surefoot.planning.sampler import (
    Sampled,
    SamplerConfig,
    choose_plan,
    fix_observation,
    sample_segments,
    with_fused_networks,
)

__all__ = [
    "CrossEntropyConfig",
    "Evaluate",
    "GuideConfig",
    "Plan",
    "Sampled",
    "SamplerConfig",
    "choose_plan",
    "fix_observation",
    "guide",
    "guide_gradient",
    "plan_actions",
    "refit",
    "safe_first",
    "sample_segments",
    "shifted",
    "with_fused_networks",
]
