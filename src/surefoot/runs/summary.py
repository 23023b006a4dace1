"""Keys of a run's summary.json that commands and reports read back; it may hold more.

A key whose value is of another type is refused where the summary is read, so that its readers need no checks.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, NotRequired

from annotated_types import Len
from typing_extensions import TypedDict

from surefoot.files import write_json
from surefoot.json_files import read_json

SUMMARY = "summary.json"

Pair = Annotated[list[float], Len(2, 2)]
Interval = Pair | None
"""95 % interval; None where there are too few episodes for one."""
Triple = Annotated[list[float], Len(3, 3)]
"""A number for each slice of the published region."""


class LimitFigures(TypedDict):
    """Figures relative to one cost limit."""

    limit: float
    normalised_cost_mean: float
    normalised_cost_interval: Interval
    normalised_cost_per_seed: list[float]
    episode_safe_rate: float
    episode_safe_interval: Interval
    seed_safe_rate: float


class ProtocolFigures(TypedDict):
    """Figures of an evaluation by a protocol."""

    protocol: NotRequired[str]
    episodes: int
    seeds: Annotated[list[int], Len(1)]
    normalised_return_mean: float
    normalised_return_interval: Interval
    normalised_cost_mean: float
    cost_mean: NotRequired[float]
    cost_cvar: float
    zero_cost_rate: float
    zero_cost_interval: Interval
    episode_safe_rate: float
    safe: bool
    limits: Annotated[list[LimitFigures], Len(1)]
    timing: NotRequired[dict[str, Any]]


class BudgetRecord(TypedDict):
    """Figures under one budget."""

    asked: str
    ratio: NotRequired[float | None]
    budget: float | None
    episodes: int
    return_mean: float
    return_interval: Interval
    return_per_seed: list[float]
    cost_mean: float
    cost_interval: Interval
    cost_per_seed: list[float]
    step_seconds_median: float
    lanes: int
    normalised_cost_mean: NotRequired[float | None]
    normalised_cost_interval: NotRequired[Interval]
    exceeded_rate: NotRequired[float]
    exceeded_interval: NotRequired[Interval]
    nearly_within_rate: NotRequired[float]
    nearly_within_interval: NotRequired[Interval]


class BudgetFigures(TypedDict, total=False):
    """Figures of an evaluation under budgets."""

    seeds: list[int]
    level: float | None
    budgets: list[BudgetRecord]
    return_rises: bool | None
    share_of_unconstrained_return: float | None
    setting: str


class RegionFigures(TypedDict, total=False):
    """Agreement of the learned feasible region with the exact one, on each slice."""

    iou: Triple
    false_safe_rate: Triple
    false_alarm_rate: Triple
    auroc: Triple


class BatchTimes(TypedDict):
    """Latency of a policy for a number of environments."""

    batch: int
    p50_ms: float
    p95_ms: float
    p99_ms: NotRequired[float]


class Latency(TypedDict, total=False):
    """Result of `surefoot bench act`."""

    batches: list[BatchTimes]
    devices: list[str]
    step: int


class ExactInfeasibility(TypedDict, total=False):
    """Agreement of p with the exact feasible set."""

    region: RegionFigures
    exact: list[dict[str, Any]]
    auroc: list[dict[str, Any]]


class Rollout(TypedDict):
    """An episode that was drawn as an animation."""

    file: str
    caption: str


class ShareFigures(TypedDict):
    """A share of states or episodes; None where there are none."""

    share: float | None
    interval: Interval
    per_seed: list[float | None]


class WarningSteps(TypedDict):
    """Steps before a first violation in which no state is feasible: quantiles over episodes."""

    tenth: float
    median: float
    nine_tenths: float


class JudgedFigures(TypedDict):
    """Figures of logged episodes by a policy's values and actions."""

    episodes: int
    safe_episodes: int
    violating_episodes: int
    safe_feasible: ShareFigures
    violating_feasible: ShareFigures
    warned: ShareFigures
    foreseen: NotRequired[ShareFigures]
    warning_steps: WarningSteps | None
    fallback_safe: ShareFigures
    fallback: ShareFigures
    far_actions: ShareFigures


class HeldOutFigures(TypedDict, total=False):
    """Figures of training and of held-out episodes, or the reason why there are none."""

    training: JudgedFigures
    held_out: JudgedFigures
    reason: str
    verdict: str


class Summary(TypedDict, total=False):
    """Content of a run's summary.json."""

    task: str
    algorithm: str
    preset: str | None
    seeds: list[int]
    config: dict[str, Any]
    versions: dict[str, str]
    data: dict[str, Any]
    training: dict[str, Any]
    held_out: HeldOutFigures
    acting: dict[str, Any]
    simulator: dict[str, Any]
    wall_seconds: float
    peak_memory_mb: float
    evaluation: dict[str, Any]
    evaluation_infeasibility: ExactInfeasibility
    feasible_region: RegionFigures
    protocol: ProtocolFigures
    budgets: BudgetFigures
    latency: Latency
    rollouts: list[Rollout]


def read_summary(run: Path) -> dict[str, Any]:
    """The run's summary; empty where none was written. Raises `ConfigError` where it has another form."""
    path = run / SUMMARY
    if not path.exists():
        return {}
    found: Any = read_json(path, Summary, what="the summary of a run", advice="evaluate again, or remove the key")
    return found


def merge_summary(run: Path, changes: Mapping[str, Any], *, without: Collection[str] = ()) -> dict[str, Any]:
    """Replace entries of a run's summary in one step.

    Args:
        run: Folder of the run.
        changes: New entries.
        without: Keys to remove.

    Returns:
        The whole summary.
    """
    summary = merged_summary(run, changes, without=without)
    write_json(run / SUMMARY, summary)
    return summary


def merged_summary(run: Path, changes: Mapping[str, Any], *, without: Collection[str] = ()) -> dict[str, Any]:
    """The summary that `merge_summary` would write, without writing it.

    Args:
        run: Folder of the run.
        changes: New values by key.
        without: Keys that are left out.

    Returns:
        The summary.
    """
    return {**{key: value for key, value in read_summary(run).items() if key not in without}, **changes}
