"""The task file: a system of the user's own in TOML, as data. `read_task_file` reads one.

Each class is a table of the file, each field a key of it with its unit; the JSON schema that editors use
(`task.schema.json`, beside this module) is made from them.
"""

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, MinLen

FROM_DATA = "from data"
ENDS, GAPS, FILES = "ends", "gaps", "files"
"""Ways to tell episodes apart that are no column."""
At = Literal["step", "state"]


class _Table:
    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True}  # noqa: RUF012


@dataclass(frozen=True)
class TaskTable(_Table):
    """Table `[task]`: name, longest episode, reference returns."""

    name: str
    """Letters, digits, dots, dashes and underscores; none of a built-in task."""
    horizon: Annotated[int, Ge(1)]
    """Longest episode, in steps."""
    reference_returns: Literal["from data"] | tuple[float, float] = FROM_DATA
    """Returns that score 0 and 1; from data: those of the worst and the best logged episode."""
    deterministic: bool = False
    """Whether the same action in the same state always has the same outcome."""


@dataclass(frozen=True)
class ObservationTable(_Table):
    """Table `[observation]`: inputs of the policy."""

    columns: Annotated[tuple[str, ...], MinLen(1)]
    """Columns of the log, in this order; * stands for any letters: "flow_*"."""
    units: dict[str, str] = field(default_factory=dict)
    """Column -> its unit: "m/s", "kPa"."""
    next_prefix: str = ""
    """Where the log has the observation that follows in the same row: what its columns' names begin with."""


@dataclass(frozen=True)
class ActionTable(_Table):
    """Table `[action]`: outputs of the policy, in the log's units."""

    columns: Annotated[tuple[str, ...], MinLen(1)]
    """Columns of the log, in this order; * stands for any letters."""
    low: tuple[float, ...] = ()
    """Smallest number of each column; it becomes -1. None: -1."""
    high: tuple[float, ...] = ()
    """Largest number of each column; it becomes 1. None: 1."""
    rate_limit: tuple[Annotated[float, Gt(0)], ...] = ()
    """Largest change of each column from one step to the next; none: no limit."""
    units: dict[str, str] = field(default_factory=dict)
    """Column -> its unit."""

    @property
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Smallest and largest number of each column."""
        width = len(self.columns)
        return self.low or (-1.0,) * width, self.high or (1.0,) * width


@dataclass(frozen=True)
class RewardTable(_Table):
    """Table `[reward]`: a column, or an expression over columns."""

    column: str = ""
    """A column of the log."""
    expression: str = ""
    """Arithmetic over columns: "-abs(level - setpoint)"."""
    at: At = "step"
    """step: a row holds what its action brought; state: what its observation is worth, paid to the step into it."""


@dataclass(frozen=True)
class ConstraintTable(_Table):
    """Table `[[constraint]]`: a signal that stays on one side of 0, or a cost within a limit."""

    name: str
    """What messages and figures call it."""
    column: str = ""
    """A column of the log."""
    expression: str = ""
    """Arithmetic over columns: "abs(level - 0.5) - 0.3"."""
    kind: Literal["signal", "cost"] = "signal"
    """signal: how far the state is from a violation, with its sign; cost: what is added up, as 1 where it is true."""
    safe: Literal["below 0", "above 0"] = "below 0"
    """Where a signal is safe."""
    unit: str = ""
    """Of the signal."""
    scale: Literal["from data"] | Annotated[float, Gt(0)] = FROM_DATA
    """Size of the signal that counts as 1; from data: its mean size in the log."""
    limit: Annotated[float, Ge(0)] = 0.0
    """Sum of a cost over an episode that is still safe."""
    at: Literal["step", "state", ""] = ""
    """step: a row holds what its action brought (costs by default); state: what its observation is (signals)."""

    @property
    def of_state(self) -> bool:
        """Whether a row's value describes the row's observation, rather than the outcome of its action."""
        return (self.at or ("state" if self.kind == "signal" else "step")) == "state"


@dataclass(frozen=True)
class EpisodesTable(_Table):
    """Table `[episodes]`: beginnings and ends of episodes."""

    by: str = ENDS
    """A column that numbers or names episodes; or "ends" (the columns below), "gaps" (of `time`), or "files"."""
    terminated: str = ""
    """A column that is true in the last row of an episode after which nothing follows."""
    truncated: str = ""
    """A column that is true in the last row of an episode that was only cut."""
    time: str = ""
    """A column of times that grow within an episode: seconds, or dates."""
    step_seconds: Annotated[float, Gt(0)] | None = None
    """Seconds from one row to the next."""
    gaps: Literal["refuse", "split"] = "refuse"
    """What a gap in time within an episode means: a fault, or the end of one and the start of another."""
    missing: Literal["refuse", "drop episode"] = "refuse"
    """What a missing number means: a fault, or that its episode is left out."""


@dataclass(frozen=True)
class EnvironmentTable(_Table):
    """Table `[environment]`: the maker of new episodes."""

    make: str
    """A Gymnasium id, or "module:function" that makes an environment."""
    kwargs: dict[str, bool | int | float | str] = field(default_factory=dict)
    """Arguments of its maker."""
    cost: str = ""
    """Where a step's cost is: "info.cost"; empty: it is computed from the constraints."""


@dataclass(frozen=True)
class LogTable(_Table):
    """Table `[log]`: paths of the logs."""

    paths: Annotated[tuple[str, ...], MinLen(1)]
    """Files or folders, from the task file's own folder."""


@dataclass(frozen=True)
class TaskFile(_Table):
    """A system of one's own."""

    task: TaskTable
    observation: ObservationTable
    action: ActionTable
    constraint: Annotated[tuple[ConstraintTable, ...], MinLen(1)]
    episodes: EpisodesTable = field(default_factory=EpisodesTable)
    reward: RewardTable | None = None
    """None: learning by imitation alone."""
    environment: EnvironmentTable | None = None
    log: LogTable | None = None

    @property
    def signals(self) -> tuple[ConstraintTable, ...]:
        """The constraints by a signal."""
        return tuple(one for one in self.constraint if one.kind == "signal")

    @property
    def costs(self) -> tuple[ConstraintTable, ...]:
        """The constraints by a cost."""
        return tuple(one for one in self.constraint if one.kind == "cost")

    @property
    def has_patterns(self) -> bool:
        """Whether * stands for columns that only a log names."""
        return any("*" in name for name in (*self.observation.columns, *self.action.columns))

    def as_json(self) -> dict[str, Any]:
        """The whole file as JSON values, every key with its value."""
        return asdict(self)
