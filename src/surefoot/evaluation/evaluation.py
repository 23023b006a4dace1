"""An evaluation as a value (conditions, episodes, scorers), and the one way to run it on a trained run.

Its rows, files and figures replace those of an earlier evaluation together: all or none.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, NamedTuple

from surefoot.envs.vector import VectorEnv
from surefoot.evaluation.alike import check_alike, rate_remarks, task_beside
from surefoot.evaluation.budgets import Budget
from surefoot.files import json_rows
from surefoot.observer import Observer
from surefoot.protocols import choice_of
from surefoot.ranges import Range, Ranged
from surefoot.runs.evaluation_files import NotKeptError, keep, unwritten
from surefoot.runs.loaded import LoadedRun
from surefoot.runs.run_data import RunData, run_data
from surefoot.runs.summary import merged_summary
from surefoot.tasks import Task

OpenEnvironment = Callable[[Task, int, int], AbstractContextManager[VectorEnv]]
"""From (task, number of environments, worker processes) to environments of that task."""


@dataclass(frozen=True, kw_only=True)
class Condition(Ranged):
    """Condition under which episodes are run, or a limit that they are scored against."""

    start: str = "drawn"
    """The start set: feasible, infeasible, fixed, or drawn by the task."""
    share: Annotated[float, Range("(0, 1]")] = 1.0
    """Of the evaluation's episodes, how many are of this condition; one at least."""
    cost_limit: Annotated[float | None, Range("[0, inf)")] = None
    """On an episode's cost. Conditions that differ by it share their episodes: no policy is told its limit."""
    budget: Budget | None = None
    """Budget that the policy is given."""


class Episodes(NamedTuple):
    """Result of a rollout."""

    rows: list[dict[str, Any]]
    seen: Any = None
    """Further data for the scorers: paths, frames, times."""
    grown: Mapping[str, bytes] | None = None
    """Files that hold the rows already; None where they are still to be written."""
    fault: OSError | None = None
    """Error of appending rows to such a file."""


class Scored(NamedTuple):
    """Result of a scorer."""

    summary: Mapping[str, Any] = {}
    """Entries of the run's summary."""
    files: Mapping[str, bytes] = {}
    """Files of the evaluation, by name."""
    drawn: Mapping[str, bytes] | None = None
    """Files of drawn episodes; None leaves those of an earlier evaluation."""


@dataclass(frozen=True, kw_only=True)
class Evaluation(Ranged):
    """Conditions x episodes x scorers."""

    conditions: Sequence[Condition]
    episodes: Annotated[int, Range("[1, 10^7]")]
    """Of each seed and condition."""
    roll_out: Callable[["Setting"], Episodes]
    """Runs the episodes of all seeds."""
    scorers: Sequence[Callable[["Setting", Episodes], Scored]]
    """Make figures and files of the episodes."""
    part: str = "evaluation"
    """Part of the run's files that these replace."""
    replaces: Sequence[str] = ()
    """Entries of other evaluations that leave the summary."""

    def count(self, condition: Condition) -> int:
        """Number of episodes of a condition."""
        return max(1, int(self.episodes * condition.share))


@dataclass(kw_only=True)
class Setting(Ranged):
    """An evaluation of a run on a task, while it runs."""

    evaluation: Evaluation
    run: LoadedRun
    task: Task
    workers: Annotated[int, Range("[1, 1024]")] = 1
    """Processes that step a simulator."""
    changed: Mapping[str, Any] = field(default_factory=dict)
    """Hyper-parameters of this evaluation alone."""
    observer: Observer = field(default_factory=Observer)
    open_environment: OpenEnvironment | None = None
    """Opens environments in place of the task's own."""

    @property
    def elsewhere(self) -> bool:
        """Whether the task differs from the run's."""
        return self.task.name != self.run.config.task

    @property
    def place(self) -> str:
        """Suffix of the names of another task's parts, files and entries."""
        return f"_{self.task.name}" if self.elsewhere else ""

    @cached_property
    def data(self) -> RunData:
        """Training data of the run."""
        return run_data(self.run.directory, self.run.config)

    def data_to_compare(self) -> RunData:
        """Training data of the run, with a remark where they are gone."""
        if self.data.reason:
            self.observer.remark([f"the data's row is left out: {self.data.reason}"])
        return self.data

    @property
    def method(self) -> dict[str, Any]:
        """Columns that all rows share."""
        config = self.run.config
        extraction = choice_of(self.run.algorithm).get("extraction", "single")
        return {"task": self.task.name, "algorithm": config.algorithm, "extraction": extraction}

    @property
    def acting(self) -> dict[str, Any]:
        """How the policy acts, for the summary."""
        return {"step": self.run.step, **choice_of(self.run.algorithm), "overrides": dict(self.changed)}


def evaluate(
    evaluation: Evaluation,
    run: LoadedRun,
    *,
    task: str | Task | None = None,
    workers: int = 1,
    changed: Mapping[str, Any] | None = None,
    observer: Observer | None = None,
    open_environment: OpenEnvironment | None = None,
) -> dict[str, Any]:
    """Evaluate all seeds of a run and write the results into its folder.

    Args:
        evaluation: What to measure.
        run: All seeds, loaded.
        task: Another task than the run's, with equal observations and actions.
        workers: Processes that step a simulator.
        changed: Hyper-parameters of this evaluation alone, as the run was loaded with them.
        observer: Receives progress and remarks.
        open_environment: Opens environments in place of the task's own.

    Returns:
        The run's summary; figures on another task replace those on its own there.

    Raises:
        ConfigError: The run cannot be measured so.
        NotKeptError: The results could not be written; it holds them.
    """
    at = Setting(
        evaluation=evaluation,
        run=run,
        task=task_beside(run, None if task == run.config.task else task),
        workers=workers,
        changed=changed or {},
        observer=observer or Observer(),
        open_environment=open_environment,
    )
    check_alike(run, at.task)
    at.observer.remark(rate_remarks(run, at.task))
    episodes = evaluation.roll_out(at)
    return _kept(at, episodes, [scorer(at, episodes) for scorer in evaluation.scorers])


def _kept(at: Setting, episodes: Episodes, found: Sequence[Scored]) -> dict[str, Any]:
    path, part = at.run.directory.path, f"{at.evaluation.part}{at.place}"
    summary = _merged(one.summary for one in found)
    if episodes.fault is not None:
        raise NotKeptError(unwritten(episodes.fault, path), merged_summary(path, summary)) from episodes.fault
    shown = {name.replace(at.place, ""): value for name, value in summary.items()} if at.elsewhere else {}
    rows = {} if episodes.grown is not None else {f"episodes{at.place}.jsonl": json_rows(episodes.rows)}
    parts: dict[str, Mapping[str, bytes]] = {part: {**rows, **_merged(one.files for one in found)}}
    drawn = [one.drawn for one in found if one.drawn is not None]
    parts |= {"rollouts": _merged(drawn)} if drawn else {}
    grown = None if episodes.grown is None else {part: episodes.grown}
    try:
        return keep(path, parts, summary, without=() if at.elsewhere else at.evaluation.replaces, grown=grown) | shown
    except NotKeptError as error:
        error.summary |= shown  # what is printed
        raise


def _merged(tables: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: value for table in tables for name, value in table.items()}
