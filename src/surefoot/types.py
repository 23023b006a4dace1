"""Records that pass between parts: transitions, metrics, policies."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeAlias

from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from surefoot.data_spec import DataSpec as DataSpec
from surefoot.ranges import NUMBER, Range, Ranged

Metrics: TypeAlias = dict[str, Float[Array, ""]]
"""Name, such as `constraint/value` -> figure of an update."""

BEFORE = "before"
"""Key in the metadata of a hyper-parameter that was added later: its value in older runs, whose files lack it."""

FORMERLY = "formerly"
"""Key in the metadata of a renamed option or hyper-parameter: its former name, which is still accepted."""

GROUP = "group"
"""Key in the metadata of a field that holds a nested configuration whose fields keep their own names in files and
options: its type."""

UNKNOWN_AHEAD = 1e30
"""`Transition.constraint_ahead` of an episode that did not terminate: larger than any h, and finite."""


class Transition(NamedTuple):
    """Transitions as algorithms see them, all float32, with leading axes of a batch or of the whole data."""

    observation: Float[Array, "*B obs"]
    """State s that the step leaves."""
    action: Float[Array, "*B act"]
    """Action in [-1, 1]."""
    reward: Float[Array, "*B"]
    """Reward, scaled as the algorithm's `prepare` does."""
    cost: Float[Array, "*B"]
    """Cost of the step."""
    next_observation: Float[Array, "*B obs"]
    """State s' that the step enters."""
    terminated: Float[Array, "*B"]
    """1 where the task ended the episode with this step, else 0."""
    truncated: Float[Array, "*B"]
    """1 where the episode was cut after this step, else 0."""
    constraint: Float[Array, "*B"]
    """Constraint signal h of the state that the step enters; > 0 is a violation."""
    constraint_before: Float[Array, "*B"]
    """Constraint signal h of the state that the step leaves."""
    constraint_ahead: Float[Array, "*B"]
    """Largest h of the states entered from this step to the end of a terminated episode. In a cut episode, the
    discounted value along the logged steps with a violation after the cut, or `UNKNOWN_AHEAD` where h has no known
    upper bound."""
    episode_violations: Float[Array, "*B"]
    """Violating steps of the whole episode; `UNKNOWN_AHEAD` in an unfinished one."""
    episode_cost: Float[Array, "*B"]
    """Undiscounted cost of the whole episode; `UNKNOWN_AHEAD` in an unfinished one."""

    statistics = None

    @property
    def num_rows(self) -> int:
        """Number of transitions."""
        return self.reward.shape[0]

    def take(self, rows: Any) -> "Transition":
        """Transitions with these indices."""
        return Transition(*(values[rows] for values in self))


class Labeled(NamedTuple):
    """A batch with the labels of its rows."""

    batch: Any
    labels: Any


@dataclass(frozen=True)
class Phase(Ranged):
    """A phase of training with one kind of update. Hashable."""

    name: str
    """Name, which `update` is given."""
    updates: Annotated[int, Range(NUMBER)]
    """Gradient updates in this phase."""
    batch_size: Annotated[int, Range(NUMBER)]
    """Transitions per update."""


class Decision(NamedTuple):
    """Decision of a policy that chooses feasible actions by its values, for n environments."""

    action: Float[Array, "n act"]
    """Executed actions."""
    feasible: Bool[Array, " n"]
    """Whether any candidate action counts as feasible; elsewhere the policy's fallback acts."""


class ActionBounds(NamedTuple):
    """Smallest and largest actions that the plant applies as they are, in [-1, 1]."""

    low: Float[Array, "n act"]
    high: Float[Array, "n act"]


class PolicyInputs(NamedTuple):
    """Inputs of a policy at each step, for n environments at once."""

    observation: Float[Array, "n obs"]
    remaining_budget: Float[Array, " n"] | None = None
    """Remaining budget, in the units of the algorithm's `budget_discount`; inf: no limit."""
    step: Int[Array, " n"] | None = None
    """Environment steps taken so far in the episode, int32; needed by algorithms that plan over the rest of it."""
    reward: Float[Array, " n"] | None = None
    """Reward of the previous step in the task's units; 0 as an episode begins."""
    applied: Float[Array, "n act"] | None = None
    """Previous actions in [-1, 1] as the plant applied them under its rate limits; None: as they were chosen. Not read
    as an episode begins."""
    within: ActionBounds | None = None
    """Where rate limits hold, the actions that are applied as they are; what lies beyond is cut. Policies that choose
    among candidates judge what would be applied."""


class Policy(NamedTuple):
    """Policy as two pure functions: `initial(n) -> carry` and `act(carry, inputs, key) -> (carry, action)`.

    A `keyed` policy also takes keys [n], of which each environment's noise depends on its own alone.
    """

    initial: Callable[[int], PyTree[Any]]
    """Memory of n environments before their first step."""
    act: Callable[[PyTree[Any], PolicyInputs, Key[Array, "*n"]], tuple[PyTree[Any], Float[Array, "n act"]]]
    """Actions [n, act] in [-1, 1], and the memory after them."""
    keyed: bool = False
    """Whether it takes a key for each environment."""
