"""SafeDreamer's hyper-parameters."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import optax

from surefoot.algorithms.dreamer import Dreamer
from surefoot.constraints import EpisodePIDConfig
from surefoot.planning import CrossEntropyConfig
from surefoot.ranges import COUNT, Range

Form = Literal["bsrp-lag", "osrp", "osrp-lag"]
"""bsrp-lag: the actor acts, and learns under a Lagrangian of the imagined cost. osrp: planning acts, for the reward of
sequences whose cost is below the limit. osrp-lag: planning, for the reward less a multiple of the cost, which the costs
of episodes move. Planners' actors know no cost: they train the critics, and may propose sequences."""


@dataclass(frozen=True)
class SafeDreamerConfig(Dreamer):
    """SafeDreamer's hyper-parameters; the values here are the full preset's."""

    form: Form = "bsrp-lag"
    """Which of SafeDreamer's three: bsrp-lag acts by its actor, osrp and osrp-lag by planning at every step."""

    # --- critics and actor ---
    learning_rate: Annotated[float, Range("(0, inf)")] = 3e-5
    """Of Adam, for critics and actor."""
    clip: Annotated[float, Range("(0, inf)")] = 100.0
    """Largest norm of the gradient of each network."""

    # --- planning (osrp, osrp-lag) ---
    planner: CrossEntropyConfig = field(default_factory=CrossEntropyConfig)
    """How sequences of `horizon` actions are searched for (osrp, osrp-lag)."""
    episode_cost_limit: Annotated[float, Range("[0, inf)")] = 2.0
    """Sequences are safe whose imagined cost, scaled up to a whole episode, is below this; the multiplier of osrp-lag
    holds the costs of episodes to it (osrp, osrp-lag)."""
    episode_steps: Annotated[int | None, Range(COUNT)] = None
    """Decisions in an episode, to which imagined costs are scaled up; None: as many as the task has. The authors' code
    says 1000 whatever the action repeat, by which costs count 4 times as much with a repeat of 4."""
    pid: EpisodePIDConfig = field(default_factory=EpisodePIDConfig)
    """How the costs of episodes move the multiplier (osrp-lag)."""

    @property
    def optimizer(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate, eps=1e-5)
