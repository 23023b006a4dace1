"""Planning: whole segments sampled from a model of behaviour, led by values, chosen under a budget."""

from surefoot.planning.guidance import GuideConfig, guide, guide_gradient
from surefoot.planning.sampler import Sampled, SamplerConfig, fix_observation, sample_segments
from surefoot.planning.selection import choose_plan

__all__ = [
    "GuideConfig",
    "Sampled",
    "SamplerConfig",
    "choose_plan",
    "fix_observation",
    "guide",
    "guide_gradient",
    "sample_segments",
]
