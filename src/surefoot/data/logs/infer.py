"""A first task file from a log: roles of columns by their names, ranges and steps by their numbers."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from surefoot.data.logs.table import Log, numbers_if_any, seconds_of
from surefoot.tasks.spaces import FlatSpaces

_ROLES: dict[str, str] = {
    "episode": r"(episode|ep|traj|trajectory|rollout|run)(_?(id|index|number|name))?",
    "time": r"t|time|timestamp|time_s|seconds|date(_?time)?",
    "terminated": r"(next\.)?(terminated|terminals?|terminations?|dones?|is_terminal)",
    "truncated": r"(next\.)?(truncated|truncations?|timeouts?|time_limit)",
    "reward": r"(next\.)?(rewards?|r)",
    "cost": r"(next\.)?((infos?[/.])?costs?|trip(ped)?|crash(ed)?|collisions?|violations?|unsafe|alarm)",
    "action": r"(actions?|act|u|ctrl|controls?|cmd|commands?|torque|valve|heater|throttle|steer(ing)?|brake)"
    r"(\[\d+\])?([_.]\w+)*",
}
"""Role -> pattern of the names of its columns, in small letters."""
_INDEX = r"(frame_index|index|task_index|step|row|Unnamed.*|)"
_MOST_LINES = 40
_UNITS = '# units = { COLUMN = "m/s" }'


@dataclass
class Found:
    """Range and gaps of a column."""

    low: float = np.inf
    high: float = -np.inf
    missing: int = 0
    text: bool = False


@dataclass
class LogFacts:
    """Numbers of a log that one pass finds."""

    rows: int = 0
    columns: dict[str, Found] = field(default_factory=dict)
    longest: int = 0
    """Rows of the longest episode."""
    step: float = np.nan
    """Median seconds between rows."""


def infer_task_file(log: Log, *, name: str, paths: Sequence[str]) -> str:
    """Text of a first task file for a log, with comments on the data.

    Args:
        log: Log.
        name: Name of the task.
        paths: Files of the log, for the task file.

    Returns:
        Text in TOML.

    Raises:
        DataError: The log cannot be read.
    """
    roles = {column: _role(column) for column in log.names}
    facts = _facts(log, roles)
    columns = {role: [one for one in log.names if roles[one] == role] for role in {*_ROLES, "observation"}}
    columns["observation"] = [one for one in columns["observation"] if not facts.columns[one].text]
    following = [one for one in columns["observation"] if f"next_{one}" in log.names]
    columns["observation"] = following or columns["observation"]
    return _document(
        f"from {facts.rows:,} rows",
        name,
        horizon=f"{max(facts.longest, 1)}  # longest episode, in steps; the longest logged one",
        sections=[
            [
                "[observation]",
                *_listed("columns", columns["observation"], facts),
                *(['next_prefix = "next_"'] if following else []),
                _UNITS,
            ],
            ["[action]", *_actions(columns["action"], facts)],
            _reward(columns["reward"]),
            _constraint(columns["cost"], columns["observation"], facts),
            _episodes(columns, facts),
            ["[log]", f"paths = {json.dumps(list(paths))}"],
        ],
    )


def infer_from_spaces(spaces: FlatSpaces, *, make: str, limit: int | None, name: str) -> str:
    """Text of a first task file for an environment, by its spaces.

    Args:
        spaces: Names and bounds of observations and actions.
        make: Gymnasium id, or "module:function".
        limit: Longest episode in steps; None: not known.
        name: Name of the task.

    Returns:
        Text in TOML.
    """
    said = "its limit" if limit else "it has no limit: write the longest episode"
    return _document(
        f"from the spaces of {make}",
        name,
        horizon=f"{limit or 1000}  # steps; {said}",
        sections=[
            [
                "[observation]  # a Box row by row, a Dict by its keys, a Tuple by its places; you may rename them",
                *_names("columns", spaces.observation),
                _UNITS,
            ],
            [
                "[action]",
                *_names("columns", spaces.action),
                f"low = {_numbers(spaces.low.tolist())}",
                f"high = {_numbers(spaces.high.tolist())}",
                *(["# they must be finite: write the plant's bounds"] if spaces.unbounded else []),
            ],
            _reward(["reward"]),
            _constraint([], [], LogFacts()),
            ["[episodes]", 'terminated = "terminated"', 'truncated = "truncated"'],
            ["[environment]", f"make = {json.dumps(make)}"],
        ],
    )


def _document(source: str, name: str, *, horizon: str, sections: Sequence[Sequence[str]]) -> str:
    """A task file of a `[task]` table and further sections, with what it was written from."""
    task = [
        "[task]",
        f"name = {json.dumps(name)}",
        f"horizon = {horizon}",
        'reference_returns = "from data"  # or [low, high]: returns that score 0 and 1',
    ]
    first = [f"# A first task file, written {source}. Check every line: it says what the system is."]
    return "\n\n".join("\n".join(section) for section in (first, task, *sections)) + "\n"


def _names(key: str, columns: Sequence[str]) -> list[str]:
    """A list of names, on lines of about 100 letters."""
    lines = [""]
    for one in columns:
        word = f"{json.dumps(one)}, "
        lines += [""] if len(lines[-1] + word) > 100 else []
        lines[-1] += word
    return (
        [f"{key} = [{lines[0][:-2]}]"]
        if len(lines) == 1
        else [f"{key} = [", *(f"    {one[:-1]}" for one in lines), "]"]
    )


def _role(name: str) -> str:
    for role, pattern in _ROLES.items():
        if re.fullmatch(pattern, name.lower()):
            return role
    return "" if re.fullmatch(_INDEX, name) else "observation"


def _facts(log: Log, roles: dict[str, str]) -> LogFacts:
    facts = LogFacts(columns={name: Found() for name in log.names})
    by_role = {roles[name]: name for name in reversed(log.names)}
    ends = [by_role[role] for role in ("terminated", "truncated") if role in by_role]
    last, length, ended = object(), 0, False
    for batch in log.batches(log.names, texts=log.names):
        for name, values in batch.columns.items():
            batch.columns[name] = numbers_if_any(values) if roles[name] not in ("episode", "time") else values
            _add(facts.columns[name], batch.columns[name])
        names = batch.columns[by_role["episode"]] if "episode" in by_role else np.zeros(batch.rows)
        over = np.zeros(batch.rows, bool)
        for name in ends:
            over |= batch.columns[name] == 1
        begins = np.append(ended or names[0].item() != last, (names[1:] != names[:-1]) | over[:-1])
        lengths = np.diff(np.concatenate([[0], np.flatnonzero(begins[1:]) + 1, [batch.rows]]))
        lengths[0] += 0 if begins[0] else length
        facts.longest = max(facts.longest, int(lengths.max()))
        length, last, ended = int(lengths[-1]), names[-1].item(), bool(over[-1])
        if not facts.rows and "time" in by_role and batch.rows > 1:
            seconds = seconds_of(batch.columns[by_role["time"]])
            facts.step = np.nan if seconds is None else float(np.median(np.diff(seconds)))
        facts.rows += batch.rows
    return facts


def _add(found: Found, values: np.ndarray) -> None:
    if values.dtype.kind != "f":
        found.text = True
        return
    finite = values[np.isfinite(values)]
    found.missing += len(values) - len(finite)
    if len(finite):
        found.low, found.high = min(found.low, float(finite.min())), max(found.high, float(finite.max()))


def _listed(key: str, columns: Sequence[str], facts: LogFacts) -> list[str]:
    """A list of columns; with the range of each, where there are few."""
    patterns = list(dict.fromkeys(re.sub(r"\[\d+\]$", "[*]", one) for one in columns))
    if len(columns) > _MOST_LINES or len(patterns) < len(columns):
        return [f"{key} = {json.dumps(patterns)}  # {len(columns)} columns"]
    lines = [f"    {json.dumps(one)},  # {_range(facts.columns[one])}" for one in columns]
    return [f"{key} = [", *lines, "]"]


def _range(found: Found) -> str:
    missing = f", {found.missing:,} missing" if found.missing else ""
    return f"{found.low:.4g} to {found.high:.4g}{missing}" if found.low <= found.high else f"no number{missing}"


def _actions(columns: Sequence[str], facts: LogFacts) -> list[str]:
    if not columns:
        return ["columns = []  # name the columns that the controller chooses, and take them out of [observation]"]
    low = [facts.columns[one].low for one in columns]
    high = [facts.columns[one].high for one in columns]
    return [
        f"columns = {json.dumps(list(columns))}",
        f"low = {_numbers(low)}  # smallest logged numbers: write the physical bounds",
        f"high = {_numbers(high)}",
        "# rate_limit = [...]  # largest change from one step to the next",
    ]


def _numbers(values: Sequence[float]) -> str:
    return f"[{', '.join(repr(float(f'{value:.6g}')) for value in values)}]"


def _reward(columns: Sequence[str]) -> list[str]:
    if not columns:
        return ["# [reward]  # without one, policies are learned by imitation", '# expression = "-abs(COLUMN - 1.0)"']
    return ["[reward]", f"column = {json.dumps(columns[0])}"]


def _constraint(costs: Sequence[str], observed: Sequence[str], facts: LogFacts) -> list[str]:
    if costs:
        return [
            "[[constraint]]",
            f"name = {json.dumps(re.sub(r'[^a-zA-Z0-9_]', '_', costs[0]))}",
            f"column = {json.dumps(costs[0])}  # {_range(facts.columns[costs[0]])}",
            'kind = "cost"  # a signal that says how far a violation is teaches more: see docs/own-log.md',
            "limit = 0.0  # sum over an episode that is still safe",
        ]
    some = observed[0] if observed else "COLUMN"
    return [
        "[[constraint]]",
        'name = "limit"',
        'expression = "abs(COLUMN) - LIMIT"  # safe where it is at most 0: write your own over the log\'s columns',
        f"# as: abs({some}) - {facts.columns[some].high if observed else 1.0:.3g}",
    ]


def _episodes(columns: dict[str, list[str]], facts: LogFacts) -> list[str]:
    lines = ["[episodes]"]
    lines += [f"by = {json.dumps(columns['episode'][0])}"] if columns["episode"] else []
    for key in ("terminated", "truncated", "time"):
        lines += [f"{key} = {json.dumps(columns[key][0])}"] if columns[key] else []
    if columns["time"] and np.isfinite(facts.step) and facts.step > 0:
        lines.append(f"step_seconds = {float(f'{facts.step:.6g}')!r}")
    if len(lines) == 1:
        lines.append('# by = "COLUMN"  # a column that numbers episodes, "files", or "gaps" of a column of times')
    return lines
