"""The records that pass between the floors: transitions, metrics, policies."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeAlias

from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from surefoot.data_spec import DataSpec as DataSpec
from surefoot.ranges import NUMBER, Range, Ranged

Metrics: TypeAlias = dict[str, Float[Array, ""]]
"""Name -> figure of an update, as `constraint/value`."""

BEFORE = "before"
"""Key in the metadata of a hyper-parameter that was added later: its value in runs from before, whose files lack it."""

FORMERLY = "formerly"
"""Key in the metadata of an option or a hyper-parameter that was renamed: its name before, which is still accepted."""

GROUP = "group"
"""Key in the metadata of a field that holds a nested configuration whose fields keep their own names in files and
options: its type."""

UNKNOWN_AHEAD = 1e30
"""`Transition.constraint_ahead` of an episode that did not terminate: larger than any h, and finite."""


class Transition(NamedTuple):
    """Transitions as the algorithms see them, all float32; leading axes are free (batch, or the whole data).

    `constraint` is the constraint signal h of the state that the step enters, `constraint_before` that of the
    state it leaves; h > 0 is a violation. `constraint_ahead` is the largest h of the states entered from here to the
    end of the episode, where it terminated; where it was cut, the discounted value of that way with a violation after
    the cut, and `UNKNOWN_AHEAD` where h has no known upper bound. `terminated` and `truncated` are 0 or 1.
    `episode_violations` counts the violating steps of the whole episode, `episode_cost` adds up its costs;
    `UNKNOWN_AHEAD` in an unfinished one.
    """

    observation: Float[Array, "*B obs"]
    action: Float[Array, "*B act"]
    reward: Float[Array, "*B"]
    cost: Float[Array, "*B"]
    next_observation: Float[Array, "*B obs"]
    terminated: Float[Array, "*B"]
    truncated: Float[Array, "*B"]
    constraint: Float[Array, "*B"]
    constraint_before: Float[Array, "*B"]
    constraint_ahead: Float[Array, "*B"]
    episode_violations: Float[Array, "*B"]
    episode_cost: Float[Array, "*B"]

    statistics = None

    @property
    def num_rows(self) -> int:
        """Transitions."""
        return self.reward.shape[0]

    def take(self, rows: Any) -> "Transition":
        """The transitions in these rows."""
        return Transition(*(values[rows] for values in self))


class Labeled(NamedTuple):
    """A batch with the labels of its rows."""

    batch: Any
    labels: Any


@dataclass(frozen=True)
class Phase(Ranged):
    """A stretch of training in which every update is alike. Hashable."""

    name: str
    """Passed to `update`, which does what this phase is for."""
    updates: Annotated[int, Range(NUMBER)]
    """Gradient updates in this phase."""
    batch_size: Annotated[int, Range(NUMBER)]
    """Transitions per update."""


class Decision(NamedTuple):
    """What a policy that asks its values for feasible actions does in n states."""

    action: Float[Array, "n act"]
    """The executed one."""
    feasible: Bool[Array, " n"]
    """Whether any action that it could choose from counts as feasible; elsewhere its fallback acts."""


class PolicyInputs(NamedTuple):
    """What a policy is given at each step, for n environments at once."""

    observation: Float[Array, "n obs"]
    remaining_budget: Float[Array, " n"] | None = None
    """Cost that may still be caused, in the units of the algorithm's `budget_discount`; inf: no limit."""
    step: Int[Array, " n"] | None = None
    """Environment steps taken so far in the episode, int32; algorithms that do not plan over the rest ignore it."""
    reward: Float[Array, " n"] | None = None
    """Of the step before, in the task's units; 0 as an episode begins."""
    applied: Float[Array, "n act"] | None = None
    """Actions of the step before as the plant applied them under its rate limits, in [-1, 1]; None: as they were
    chosen. Not read as an episode begins."""


class Policy(NamedTuple):
    """A policy as two pure functions: `initial(n) -> carry` and `act(carry, inputs, key) -> (carry, action)`.

    One that is `keyed` also takes keys [n]: then an environment's noise depends on its own alone.
    """

    initial: Callable[[int], PyTree[Any]]
    act: Callable[[PyTree[Any], PolicyInputs, Key[Array, "*n"]], tuple[PyTree[Any], Float[Array, "n act"]]]
    keyed: bool = False
