"""Columns of a log that a task file reads: patterns with * are resolved, and missing columns refused."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from surefoot.data.logs.table import Log
from surefoot.tasks.expressions import Expression
from surefoot.tasks.read_task_file import TaskFileReader, matches, source_of
from surefoot.tasks.task_file import ENDS, FILES, GAPS, TaskFile

_SHOWN = 12


@dataclass(frozen=True)
class Columns:
    """A task file with a log's columns, and its parsed expressions."""

    file: TaskFile
    """Task file without patterns."""
    reward: Expression | None
    constraints: tuple[Expression, ...]
    next_columns: tuple[str, ...]
    """Columns of the next observation, where the log has them; else empty."""

    @property
    def episode_column(self) -> str:
        """Column that tells episodes apart; empty where none does."""
        by = self.file.episodes.by
        return "" if by in (ENDS, FILES, GAPS) else by

    @property
    def texts(self) -> tuple[str, ...]:
        """Columns in which text may stand."""
        return tuple(filter(None, (self.episode_column, self.file.episodes.time)))

    @property
    def step_columns(self) -> tuple[str, ...]:
        """Columns of actions and of what belongs to a step; they may be empty in an episode's last row."""
        found, of_state = [*self.file.action.columns, *self._computed_from("step")], set(self.state_columns)
        return tuple(dict.fromkeys(name for name in found if name not in of_state))

    @property
    def state_columns(self) -> tuple[str, ...]:
        """Columns that every row must have."""
        found = [*self.file.observation.columns, *self._computed_from("state"), *self.next_columns]
        return tuple(dict.fromkeys(found))

    def _computed_from(self, at: str) -> Iterator[str]:
        """The columns that a reward and constraints of a step, or of a state, are computed from."""
        if self.reward is not None and self.file.reward is not None and self.file.reward.at == at:
            yield from self.reward.columns
        for one, expression in zip(self.file.constraint, self.constraints, strict=True):
            if one.of_state == (at == "state"):
                yield from expression.columns

    @property
    def numeric(self) -> tuple[str, ...]:
        """Columns of numbers."""
        flags = (self.file.episodes.terminated, self.file.episodes.truncated)
        return tuple(dict.fromkeys([*self.state_columns, *self.step_columns, *filter(None, flags)]))

    @property
    def read(self) -> tuple[str, ...]:
        """All columns that are read."""
        return tuple(dict.fromkeys([*self.numeric, *self.texts]))


def resolve_columns(file: TaskFile, log: Log, reader: TaskFileReader) -> Columns:
    """Task file with the columns of a log.

    Args:
        file: Task file.
        log: Log.
        reader: Reader of the task file, which names its lines in messages.

    Returns:
        The columns and parsed expressions.

    Raises:
        ConfigError: A column is missing, or numbers do not fit the columns.
    """
    observations = _spelled(file.observation.columns, log, reader, ("observation", "columns"))
    actions = _spelled(file.action.columns, log, reader, ("action", "columns"))
    action, width = replace(file.action, columns=actions), len(actions)
    for key in ("low", "high", "rate_limit"):
        if (numbers := getattr(action, key)) and len(numbers) != width:
            sentence = f"expected {width} numbers, one for each of {', '.join(actions[:_SHOWN])}, found {len(numbers)}"
            reader.refuse(("action", key), sentence)
    found = replace(file, observation=replace(file.observation, columns=observations), action=action)
    reward = None
    if file.reward is not None:
        reward = source_of(file.reward)
        _check_there(reward.columns, log, reader, ("reward", "column" if file.reward.column else "expression"))
    constraints = []
    for number, one in enumerate(file.constraint):
        constraints.append(source_of(one))
        key = ("constraint", number, "column" if one.column else "expression")
        _check_there(constraints[-1].columns, log, reader, key)
    for key in ("by", "terminated", "truncated", "time"):
        name = getattr(file.episodes, key)
        if name and not (key == "by" and name in (ENDS, FILES, GAPS)):
            _check_there([name], log, reader, ("episodes", key))
    following: tuple[str, ...] = ()
    if prefix := file.observation.next_prefix:
        following = tuple(prefix + name for name in observations)
        _check_there(following, log, reader, ("observation", "next_prefix"))
    resolved = Columns(found, reward, tuple(constraints), following)
    if (name := resolved.episode_column) in resolved.numeric:
        table = ("observation", "columns") if name in observations else ("episodes", "by")
        reader.refuse(
            table, f"expected {name!r:.60}, which names the episode, in no other place, found it used as a number"
        )
    return resolved


def _spelled(patterns: Sequence[str], log: Log, reader: TaskFileReader, key: tuple[str | int, ...]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for pattern in patterns:
        if "*" not in pattern:
            _check_there([pattern], log, reader, key)
        names = [pattern] if "*" not in pattern else [name for name in log.names if matches(pattern, name)]
        if not names:
            reader.refuse(key, f"expected columns of {log.name} that fit {pattern!r:.60}, found none; {_listed(log)}")
        found |= dict.fromkeys(names)
    return tuple(found)


def _check_there(names: Sequence[str], log: Log, reader: TaskFileReader, key: tuple[str | int, ...]) -> None:
    for name in names:
        if name not in log.names:
            if why := log.left_out.get(name):
                reader.refuse(key, f"expected a column of {log.name}, found {name!r:.60} with {why}")
            near = difflib.get_close_matches(name, log.names, n=1)
            hint = f"did you mean {near[0]!r:.60}" if near else _listed(log)
            reader.refuse(key, f"expected a column of {log.name}, found {name!r:.60}; {hint}")


def _listed(log: Log) -> str:
    more = f" and {len(log.names) - _SHOWN} more" if len(log.names) > _SHOWN else ""
    return f"it has {', '.join(f'{name:.60}' for name in log.names[:_SHOWN])}{more}"
