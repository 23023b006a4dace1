"""FOSP's hyper-parameters, in groups whose fields keep their own names."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

import optax

from surefoot.algorithms.dreamer import Dreamer
from surefoot.ranges import Range, Ranged, Relation
from surefoot.types import FORMERLY, GROUP

Reachability = Literal["ref", "hj", "released"]
"""ref: probability of a violation ahead, of states. hj: worst constraint signal to come. released: what the authors'
code does, a critic of states and actions that never sees a cost."""
Weighting = Literal["feasibility", "reward", "cloning"]
"""feasibility: FOSP. reward: advantages of reward alone, blind to cost. cloning: every action alike."""


@dataclass(frozen=True)
class CriticsConfig(Ranged):
    """Q and V of reward and of cost."""

    expectile: Annotated[float, Range("(0, 1)")] = 0.8
    """Upper expectile of V of the reward."""
    cost_expectile: Annotated[float, Range("(0, 1)")] = 0.8
    """Lower expectile of V of the cost: weight of the errors where V is above Q."""
    critic_learning_rate: Annotated[float, Range("(0, inf)")] = 3e-5
    """Of Adam."""
    critic_clip: Annotated[float, Range("(0, inf)")] = 100.0
    """Largest norm of the gradient of each critic."""
    data_branch: bool = True
    """Train the critics on the data's steps, too."""
    imagined_branch: bool = field(default=True, metadata={FORMERLY: "dream_branch"})
    """Train the critics on imagined steps, too."""
    online_data_branch: bool = False
    """Train the critics on the replay's steps in fine-tuning, too; False: on imagined ones alone, as the authors."""
    reference_code: bool = field(default=False, metadata={FORMERLY: "released"})
    """Values as the authors' code: V follows the online Q of imagined steps alone, the reward's by the lower
    expectile."""

    @property
    def optimizer(self) -> optax.GradientTransformation:
        return optax.adam(self.critic_learning_rate, eps=1e-5)


@dataclass(frozen=True)
class ReachConfig(Ranged):
    """p, the probability that a violation cannot be avoided."""

    reachability: Reachability = "ref"
    """ref: p of a violation ahead. hj: worst constraint signal ahead. released: as the authors' code."""
    reach_discount: Annotated[float, Range("(0, 1)")] = 0.99
    """Discount of p (or of the constraint signal) per decision."""
    reach_expectile: Annotated[float, Range("(0, 1)")] = 0.9
    """Lower expectile over the data's actions (hj only)."""


@dataclass(frozen=True)
class ExtractionConfig(Ranged):
    """Losses of the actor."""

    actor_mode: Literal["awr", "backprop"] = "awr"
    """awr: the data's actions, weighted. backprop: gradients through the model."""
    weighting: Weighting = "feasibility"
    """feasibility: FOSP. reward: blind to cost. cloning: every action of the data alike (awr). For comparison."""
    reward_temperature: Annotated[float, Range("[0, inf)")] = 1.0
    """b_r: weight of scaled reward advantages (awr)."""
    cost_temperature: Annotated[float, Range("[0, inf)")] = 1.0
    """b_c: weight of scaled cost advantages (awr)."""
    cost_slack: Annotated[float, Range("[0, inf)")] = 0.1
    """An action costs nothing where Q of the cost is at most this; a fitted Q is never exactly 0 (awr)."""
    actor_learning_rate: Annotated[float, Range("(0, inf)")] = 3e-5
    """Of Adam."""
    actor_clip: Annotated[float, Range("(0, inf)")] = 100.0
    """Largest norm of the actor's gradient."""
    constrain: bool = True
    """Add the augmented Lagrangian of the imagined cost from feasible states; costs a gradient through the model."""

    @property
    def optimizer(self) -> optax.GradientTransformation:
        return optax.chain(optax.clip_by_global_norm(self.actor_clip), optax.adam(self.actor_learning_rate, eps=1e-5))


@dataclass(frozen=True)
class ExpansionConfig(Ranged):
    """Safe policy expansion: the choice between the actor that learns online and the frozen offline one."""

    expansion: bool = False
    """Choose between the actor and the frozen offline one: set by fine-tuning."""
    expansion_temperature: Annotated[float, Range("[0, inf)")] = 5.0
    """P(i) is proportional to exp of this times Q_r - expansion_cost Q_c of action i."""
    expansion_cost: Annotated[float, Range("[0, inf)")] = 0.1
    """What a unit of cost counts there."""


@dataclass(frozen=True)
class FOSPConfig(Dreamer):
    """FOSP's hyper-parameters; the values here are the full preset's."""

    critics: CriticsConfig = field(default_factory=CriticsConfig, metadata={GROUP: CriticsConfig})
    """Values and critics."""
    reach: ReachConfig = field(default_factory=ReachConfig, metadata={GROUP: ReachConfig})
    """Feasibility."""
    extraction: ExtractionConfig = field(default_factory=ExtractionConfig, metadata={GROUP: ExtractionConfig})
    """The actor's losses."""
    num_candidates: Annotated[int, Range("[1, 2^20]")] = 1
    """Beyond the paper: so many actions compete for each decision, the actor's own and draws from it: the largest Q of
    the reward among those that cost nothing (`cost_slack`) acts, else the smallest Q of the cost. 1: only its own."""
    expanding: ExpansionConfig = field(default_factory=ExpansionConfig, metadata={GROUP: ExpansionConfig})
    """Fine-tuning."""

    def _relations(self) -> Iterator[Relation]:
        critics, extraction = self.critics, self.extraction
        branches = critics.data_branch or critics.imagined_branch
        sentence = "expected it or imagined_branch, at least one of them, found neither"
        yield Relation(branches, "data_branch", sentence, ["imagined_branch"], critics)
        cloning_works = extraction.weighting != "cloning" or extraction.actor_mode == "awr"
        sentence = "expected feasibility or reward with actor_mode backprop, found cloning"
        yield Relation(cloning_works, "weighting", sentence, ["actor_mode"], extraction)
        imagines = self.reach.reachability != "released" or critics.imagined_branch
        sentence = "expected True with reachability released, found False"
        yield Relation(imagines, "imagined_branch", sentence, ["reachability"], critics)
