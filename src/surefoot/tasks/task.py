"""One task as data and protocol know it."""

from dataclasses import dataclass
from typing import Annotated, Literal

from surefoot.ranges import COUNT, Range, check_fields
from surefoot.types import DataSpec
from surefoot.vision import Vision

Suite = Literal["surefoot", "safety_gymnasium", "bullet_safety_gym", "metadrive", "gymnasium_mujoco"]
"""Who simulates it: surefoot's own pure-JAX tasks, a simulator of DSRL's, or Gymnasium's MuJoCo environments."""


@dataclass(frozen=True)
class Task:
    """Shapes, horizon, limits, reference scores and ids of a task."""

    name: str
    observation_dim: Annotated[int, Range(COUNT)]
    action_dim: Annotated[int, Range(COUNT)]
    horizon: Annotated[int, Range(COUNT)]
    """Longest episode, in environment steps."""
    return_min: Annotated[float, Range("(-inf, inf)")]
    """Reference return that scores 0, in the task's reward units."""
    return_max: Annotated[float, Range("(-inf, inf)")]
    """Reference return that scores 1, in the task's reward units."""
    cost_limit: Annotated[float, Range("[0, inf)")]
    """Largest safe sum of costs over an episode, strict protocol (FISOR's)."""
    has_constraint: bool
    """Whether its data carry the continuous constraint signal h (metres, > 0 is a violation)."""
    deterministic: bool = False
    """Whether the same action in the same state always has the same outcome: nothing is drawn in the middle of an
    episode, such as the next goal. Then what was driven once can be driven again."""
    suite: Suite = "surefoot"
    dsrl_id: str | None = None
    """Its name in DSRL, which `get_task` accepts too."""
    simulator_id: str | None = None
    """Its name in the simulator; None where the simulator has no such id."""
    dsrl_file: str | None = None
    """The published data file."""
    cost_return_min: Annotated[float, Range("(-inf, inf)")] = 0.0
    """Smallest cost return of the reference data."""
    cost_return_max: Annotated[float, Range("(-inf, inf)")] = 0.0
    """Largest cost return of the reference data."""
    dsrl_cost_limits: Annotated[tuple[float, ...], Range("[0, inf)")] = ()
    """Cost limits over an episode of DSRL's protocol; empty where the task is not DSRL's."""
    budget_maximum: Annotated[float | None, Range("(0, inf)")] = None
    """Sum of costs over an episode that a budget ratio of 1 means; None where no table says."""
    budget_maximum_discounted: Annotated[float | None, Range("(0, inf)")] = None
    """The same at discount 0.99."""
    budget_conversion: Annotated[float | None, Range("(0, inf)")] = None
    """Discounted sum over undiscounted sum, at discount 0.99."""
    image_shape: Annotated[tuple[int, int, int] | None, Range(COUNT)] = None
    """Height, width and channels where the observation is an image (uint8); None where it is a vector."""
    vision: Vision | None = None
    """Cameras and action repeat, where a simulator's robot sees; a step is then a decision."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def spec(self) -> DataSpec:
        return DataSpec(self.observation_dim, self.action_dim, self.horizon, self.image_shape)
