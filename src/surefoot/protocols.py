"""What an algorithm must have, what it takes, and what it may offer.

Every algorithm is an `Algorithm` and declares its `Inputs`. What only some offer is a protocol of its own: ask with
`isinstance(algorithm, HasFeasibleValue)`, never by the name of a method.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from jaxtyping import Array, Float, Key

from surefoot.types import DataSpec, Decision, Metrics, Phase, Policy, Transition


@dataclass(frozen=True)
class Inputs:
    """What an algorithm takes beside transitions of vectors."""

    images: bool = False
    """`prepare` takes images; they stay uint8 in the data, in batches and in `PolicyInputs`."""
    budget: bool = False
    """Acting takes `PolicyInputs.remaining_budget`."""
    windows: bool = False
    """Updates take windows of consecutive steps."""
    initial_states: bool = False
    """Updates take first states of episodes beside transitions."""

    @property
    def in_memory(self) -> bool:
        """Whether single transitions are not enough, so that data are read whole."""
        return self.windows or self.initial_states


@runtime_checkable
class CitesPaper(Protocol):
    """An algorithm that says where it was published."""

    paper: ClassVar[str]
    """Authors, place and year, and the number on arXiv."""


class Data(Protocol):
    """What `prepare` makes: rows that training draws, in memory or where they lie. In memory it is a tree of arrays."""

    @property
    def num_rows(self) -> int:
        """Rows that may be drawn: transitions, or the starts of windows."""
        ...

    @property
    def statistics(self) -> Any:
        """What `Algorithm.init` takes of the data, as their mean; None where that is nothing."""
        ...

    def take(self, rows: Any) -> Any:
        """The batch of these rows [*B]."""
        ...


class Acts(Protocol):
    """Whatever has a policy: all that a rollout asks of an algorithm."""

    def policy(self, state: Any, /) -> Policy:
        """How a state acts."""
        ...


class Algorithm(Protocol):
    """A frozen, hashable dataclass of hyper-parameters with pure methods over a state, a tree of finite arrays."""

    inputs: ClassVar[Inputs]

    def prepare(self, dataset: Any, task: Any) -> Data:
        """The dataset of a task as the algorithm learns from it."""
        ...

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The stretches of training, in order."""
        ...

    def init(self, spec: DataSpec, key: Key[Array, ""], statistics: Any = None) -> Any:
        """The first state. `statistics` are the data's; without them the state has the same shapes."""
        ...

    def update(self, state: Any, batch: Any, key: Key[Array, ""], *, phase: str) -> tuple[Any, Metrics]:
        """One gradient update on a batch [B, ...]; the same metrics in every update of a phase."""
        ...

    def sample_weights(self, state: Any, data: Any, *, phase: str) -> Float[Array, " N"] | None:
        """Weights by which rows are drawn; None: all alike. Evaluated as the phase starts and where a run resumes in
        it: parameters that it reads must stay frozen during the phase."""
        ...

    def policy(self, state: Any) -> Policy:
        """The policy of a state."""
        ...


# --- training ---


@runtime_checkable
class Calibrates(Protocol):
    """An algorithm that takes more from the data than batches, such as their mean: it is kept in the state."""

    @property
    def calibrated_phases(self) -> tuple[str, ...]:
        """Names of the phases that begin with a calibration."""
        ...

    def calibrate(self, state: Any, data: Transition, *, phase: str) -> Any:
        """The state with what the phase takes from `data`, the training data or an even sample of them; pure.

        Called once, before the first update of the phase; a run that is resumed there or later ends with the same bits.
        """
        ...


@runtime_checkable
class Relabels(Protocol):
    """An algorithm whose updates take `Labeled` batches, with labels of all rows by a frozen part of the state."""

    def relabel_interval(self, phase: str) -> int:
        """Updates of the phase after which labels are renewed; 0: it has none."""
        ...

    def refreeze(self, state: Any, *, phase: str) -> Any:
        """The state with what labels depend on copied anew, which happens before the first update of each interval."""
        ...

    def labels(self, state: Any, data: Any, *, phase: str) -> Any:
        """A tree of arrays [N], a row each; computed for each interval, and again where a run resumes within one."""
        ...


@runtime_checkable
class PlansUpdates(Protocol):
    """An algorithm whose updates depend on how many its phases have, as where the learning rate falls over them."""

    @property
    def planned_over(self) -> dict[str, str]:
        """Numbers of updates on which training depends from the first update of their phase on -> how."""
        ...


@runtime_checkable
class LearnsWithoutRewards(Protocol):
    """An algorithm that can learn from data without rewards."""

    def without_rewards(self) -> tuple[Any, list[str]]:
        """The algorithm for such data, and remarks on options that differ. Raises `ConfigError` without a way."""
        ...


@runtime_checkable
class SelectsEpisodes(Protocol):
    """An algorithm that is trained on some of the episodes, by a mode of its own."""

    @property
    def data_filter(self) -> Literal["all", "safe", "risky", "boundary", "pareto"]:
        """Which, as filters of data are called."""
        ...


@runtime_checkable
class FineTunes(Algorithm, Protocol):
    """An algorithm on windows that goes on learning while it acts."""

    @property
    def window(self) -> int:
        """Frames per window."""
        ...

    def fine_tuning(self) -> "FineTunes":
        """The algorithm that goes on online; it has one phase."""
        ...

    def frozen(self, state: Any) -> Any:
        """The state that fine-tuning begins with."""
        ...

    def after_episodes(self, state: Any, costs: Float[Array, " n"], lengths: Float[Array, " n"]) -> Any:
        """The state that has seen what episodes of n environments cost in the mean, and how long they were."""
        ...

    def acting_metrics(self, state: Any, carry: Any) -> Metrics:
        """What acting was like up to the policy's memory `carry`, at the end of each environment's last episode."""
        ...


def relabel_interval(algorithm: object, phase: str) -> int:
    """Updates after which labels are renewed; 0 where the phase has none."""
    return algorithm.relabel_interval(phase) if isinstance(algorithm, Relabels) else 0


def is_calibrated(algorithm: object, phase: str) -> bool:
    """Whether a phase begins with a calibration."""
    return isinstance(algorithm, Calibrates) and phase in algorithm.calibrated_phases


# --- acting ---


@runtime_checkable
class PlansUnderBudget(Algorithm, Protocol):
    """An algorithm whose policy takes a budget at run time."""

    @property
    def budget_discount(self) -> float:
        """d in b_{t+1} = (b_t - c_t) / d, per environment step; 1: plain costs."""
        ...


@runtime_checkable
class RemarksOnBudgets(Protocol):
    """An algorithm that knows which budgets its data say something of."""

    def budget_remarks(self, state: Any, budgets: list[float], /) -> list[str]:
        """What is suspicious about budgets of episodes, a sentence each. `state`: of one seed. Raises `ConfigError`."""
        ...


@runtime_checkable
class TrainedForLimit(Protocol):
    """An algorithm that is trained for one limit on an episode's cost, and takes none at run time."""

    @property
    def trained_limit(self) -> float | None:
        """A sum of costs over an episode; None where there is none."""
        ...


@runtime_checkable
class ShowsPlans(Protocol):
    """A planner whose memory holds the observations that it expects."""

    def imagined(self, state: Any, memory: Any) -> Float[Array, "n h obs"]:
        """The observations of the plans that the policy remembers, in the environment's units."""
        ...


@runtime_checkable
class PredictsCosts(Protocol):
    """A planner that predicts the cost to come of segments, from which margins can be calibrated."""

    @property
    def num_candidates(self) -> int:
        """Segments sampled for each decision."""
        ...

    def predict(
        self, state: Any, x: Float[Array, "b H d"], t: Float[Array, " b"], share_left: Float[Array, " b"]
    ) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
        """Reward and cost to come of normalized, noisy segments, in their own units."""
        ...


@runtime_checkable
class ChoosesCandidates(Protocol):
    """An algorithm that samples several actions for a decision, of which one acts."""

    @property
    def choice(self) -> dict[str, Any]:
        """How it chooses, for summaries: `num_candidates`, and where it has them `extraction` and `margin`."""
        ...


@runtime_checkable
class SearchesActions(Protocol):
    """An algorithm whose decisions may be a search, which no file of a fixed program holds."""

    @property
    def search(self) -> str:
        """What it searches, in words; empty where its decisions are none."""
        ...


def choice_of(algorithm: object) -> dict[str, Any]:
    """How an algorithm chooses among candidates; empty where it does not."""
    return algorithm.choice if isinstance(algorithm, ChoosesCandidates) else {}


# --- values ---


@runtime_checkable
class HasFeasibleValue(Protocol):
    """An algorithm whose values say where it is safe."""

    def feasible_value(self, state: Any, observation: Float[Array, "n obs"], /) -> Float[Array, " n"]:
        """V_h [n]: the worst constraint signal to come; > 0 is a violation that cannot be avoided."""
        ...


@runtime_checkable
class HasActionValue(Protocol):
    """An algorithm whose values say what actions are worth."""

    def action_value(
        self, state: Any, observation: Float[Array, "n obs"], action: Float[Array, "n act"], /
    ) -> Float[Array, " n"]:
        """Q(s, a) [n]: the discounted reward to come, in the units of the rewards that it learned from."""
        ...


@runtime_checkable
class HasCostToCome(Protocol):
    """An algorithm whose values say what is still to be paid."""

    def cost_to_come(self, state: Any, observation: Float[Array, "n obs"], /) -> Float[Array, " n"]:
        """V_c [n]: the discounted cost to come of acting as the policy does, in the units of the cost."""
        ...


@runtime_checkable
class ActsFeasibly(HasFeasibleValue, Protocol):
    """An algorithm whose policy asks such values for feasible actions."""

    @property
    def forbids_violations(self) -> bool:
        """Whether every state in violation counts as infeasible; False where costs within a limit are allowed."""
        ...

    def feasible_margin(self, state: Any, /) -> Float[Array, ""]:
        """A state counts as feasible where its value is at most minus this."""
        ...

    def decide(self, state: Any, observation: Float[Array, "n obs"], key: Key[Array, ""], /) -> Decision:
        """What the policy does there."""
        ...


@runtime_checkable
class HasWorldModel(Algorithm, Protocol):
    """An algorithm on a world model, which its states have in `model`."""

    @property
    def world_model(self) -> Any:
        """The model's `WorldModelConfig`."""
        ...


@runtime_checkable
class HasInfeasibility(Protocol):
    """An algorithm that says along windows how likely a violation cannot be avoided."""

    def window_infeasibility(self, state: Any, frames: Any, key: Key[Array, ""]) -> Float[Array, "b t"]:
        """p along windows [B, T, ...]: the probability that a violation cannot be avoided."""
        ...
