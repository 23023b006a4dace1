"""Reward, cost and constraints of an environment's steps, as an import of their log would compute them.

A row of the log is the state before a step, the action, and the results of the step. Columns have these names while the
environment runs: those of observation and action are the task file's, the reward's column is the environment's reward,
`terminated` and `truncated` are its flags, and any other name is a key of `info`, with dots into tables (`plant.trip`)
and a number in brackets into arrays (`cons_info[2]`).
"""

import ast
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, NoReturn, TypeAlias

import numpy as np
from jaxtyping import Float

from surefoot.envs.own.making import MAKE, EnvironmentFault
from surefoot.tasks.expressions import Expression
from surefoot.tasks.read_task_file import source_of
from surefoot.tasks.task_file import TaskFile
from surefoot.tasks.violations import violations

INFO = "info."
COST = ("environment", "cost")


class Computed(NamedTuple):
    """Results of a step by the task file."""

    reward: float
    cost: float
    signal: float
    """The worst of all signals in the entered state, relative to their scales; -inf without signals."""


class Happened(NamedTuple):
    """Results of a step by the environment."""

    reward: float
    terminated: bool
    truncated: bool
    info: Mapping[str, Any]


class LiveColumns:
    """The columns of a running episode, and the values that the task file computes of them."""

    def __init__(self, file: TaskFile) -> None:
        self._file = file
        self._reward = None if file.reward is None or file.reward.column else source_of(file.reward)
        self._constraints = tuple(source_of(one) for one in file.constraint)
        self._scales = np.array([one.scale if isinstance(one.scale, float) else 1.0 for one in file.constraint])
        turned = [one.kind == "signal" and one.safe == "above 0" for one in file.constraint]
        self._signs = np.where(turned, -1.0, 1.0)
        self._cost_path = "" if file.environment is None else file.environment.cost
        most = 1 + max((_rows_before(one.tree) for one, _, _ in self._sources()), default=0)
        self._steps: deque[_Row] = deque(maxlen=most)
        self._states: deque[_Row] = deque(maxlen=most)
        self._of_info = {of_state: self._names_of_info(of_state=of_state) for of_state in (False, True)}
        self._seed = self._count = 0

    def begin(self, seed: int, observation: Float[np.ndarray, " obs"], info: Mapping[str, Any]) -> None:
        """Begin an episode.

        Args:
            seed: Seed of the episode, for messages.
            observation: First observation, [obs].
            info: The environment's `info`.

        Raises:
            EnvironmentFault: A number is not finite.
        """
        self._seed, self._count = seed, 0
        self._steps.clear()
        self._states.clear()
        self._states.append(self._state(observation, info))

    def step(
        self, action: Float[np.ndarray, " act"], happened: Happened, entered: Float[np.ndarray, " obs"]
    ) -> Computed:
        """Compute the results of a step.

        Args:
            action: Action in the plant's units, [act].
            happened: Results by the environment.
            entered: Entered observation, [obs].

        Returns:
            Results by the task file.

        Raises:
            EnvironmentFault: A number is not finite, or a key is missing.
        """
        self._count += 1
        row = self._states[-1] | dict(zip(self._file.action.columns, action.tolist(), strict=True))
        self._steps.append(row | self._said(happened) | self._told(happened.info, of_state=False))
        self._states.append(self._state(entered, happened.info))
        found = violations(self._values()[None], self._file.constraint)
        cost = self._cost(happened.info) if self._cost_path else float(found.costs[0])
        signal = -np.inf if found.signal is None else float(found.signal[0])
        return Computed(self._paid(happened.reward), cost, signal)

    @property
    def last_row(self) -> Mapping[str, float]:
        """The columns of the last step that the task file reads: the state before it, the action, the results."""
        return self._steps[-1]

    @property
    def state(self) -> Mapping[str, float]:
        """The columns of the present state that the task file reads."""
        return self._states[-1]

    @property
    def place(self) -> str:
        """Place in the episode, for messages."""
        step = f"step {self._count} of" if self._count else "the start of"
        return f"{step} the episode with seed {self._seed}"

    def refuse(self, key: tuple[str | int, ...], sentence: str) -> NoReturn:
        """Raise `EnvironmentFault`.

        Args:
            key: Key of the task file.
            sentence: The sentence, "expected ..., found ...".

        Returns:
            Never.

        Raises:
            EnvironmentFault: Always.
        """
        raise EnvironmentFault(self._file.task.name, key, f"{sentence} in {self.place}")

    # --- columns ---

    def _sources(self) -> Iterator[tuple[Expression, tuple[str | int, ...], bool]]:
        """What is computed in each step: the expression, its key in the task file, whether it is about the state."""
        for number, (one, expression) in enumerate(zip(self._file.constraint, self._constraints, strict=True)):
            if not (one.kind == "cost" and self._cost_path):  # those are where `cost` says
                yield expression, ("constraint", number, "column" if one.column else "expression"), one.of_state
        if self._reward is not None and self._file.reward is not None:
            yield self._reward, ("reward", "expression"), self._file.reward.at == "state"

    def _names_of_info(self, *, of_state: bool) -> dict[str, tuple[str | int, ...]]:
        """The columns that are keys of `info`, and the key of the task file that first names each. Raises
        `EnvironmentFault` for an action that a state would have to know."""
        file = self._file
        known = set(file.observation.columns)
        if not of_state:
            known |= {*file.action.columns, file.episodes.terminated, file.episodes.truncated}
            known |= set() if file.reward is None else {file.reward.column}
        found: dict[str, tuple[str | int, ...]] = {}
        for expression, key, one in self._sources():
            for name in expression.columns if one == of_state else ():
                if of_state and name in file.action.columns:
                    sentence = (
                        f'expected columns of a state, found the action {name}, which is chosen in it (at = "step")'
                    )
                    raise EnvironmentFault(file.task.name, key, sentence)
                if name not in known:
                    found.setdefault(name, key)
        return found

    def _state(self, observation: np.ndarray, info: Mapping[str, Any]) -> "_Row":
        columns = self._file.observation.columns
        if not np.isfinite(observation).all():
            number = int((~np.isfinite(observation)).argmax())
            sentence = f"expected finite numbers, found {observation[number]} for {columns[number]}"
            self.refuse(("observation", "columns"), sentence)
        return dict(zip(columns, observation.tolist(), strict=True)) | self._told(info, of_state=True)

    def _said(self, happened: Happened) -> "_Row":
        """The columns of reward and flags."""
        file = self._file
        found: dict[str, float] = {
            file.episodes.terminated: happened.terminated,
            file.episodes.truncated: happened.truncated,
        }
        if file.reward is not None and file.reward.column not in file.observation.columns:
            found[file.reward.column] = happened.reward
        return {name: float(value) for name, value in found.items() if name}

    def _told(self, info: Mapping[str, Any], *, of_state: bool) -> "_Row":
        """The columns that are keys of `info`; NaN for those that a reset does not tell."""
        row = {}
        for name, key in self._of_info[of_state].items():
            value = _in_info(info, name)
            if isinstance(value, str):
                if self._count:
                    expected = (
                        f"expected {name} among the columns of [observation] and [action], or as a number in info"
                    )
                    self.refuse(key, f"{expected}, found {value}")
                value = np.nan
            row[name] = value
        return row

    # --- values ---

    def _values(self) -> Float[np.ndarray, " c"]:
        """The constraints of the last step, relative to their scales; 0 for costs that `info` alone tells."""
        found = np.zeros(len(self._constraints))
        for expression, key, of_state in self._sources():
            if key[0] == "constraint":
                number = int(key[1])
                found[number] = value = self._value(expression, key, of_state=of_state)
                if self._file.constraint[number].kind == "cost" and value < 0:
                    self.refuse(key, f"expected a cost of at least 0, found {value:g}")
        return found * self._signs / self._scales

    def _paid(self, reward: float) -> float:
        if self._reward is not None and self._file.reward is not None:
            return self._value(self._reward, ("reward", "expression"), of_state=self._file.reward.at == "state")
        column = "" if self._file.reward is None else self._file.reward.column
        value = self._steps[-1].get(column, reward)
        if not np.isfinite(value):
            self.refuse(MAKE, f"expected a finite reward, found {value}")
        return float(value)

    def _cost(self, info: Mapping[str, Any]) -> float:
        found = _in_info(info, self._cost_path.removeprefix(INFO))
        if isinstance(found, str) or not np.isfinite(found) or found < 0:
            self.refuse(COST, f"expected a finite number from 0 at {self._cost_path}, found {found}")
        return found

    def _value(self, expression: Expression, key: tuple[str | int, ...], *, of_state: bool) -> float:
        rows = self._states if of_state else self._steps
        columns = {name: np.array([row[name] for row in rows]) for name in expression.columns}
        starts = np.zeros(len(rows), bool)
        starts[0] = True  # of what lies before the window nothing is asked
        value = float(expression.evaluate(columns, starts)[-1])
        if not np.isfinite(value):
            self.refuse(key, f"expected a finite value, found {value}")
        return value


_Row: TypeAlias = dict[str, float]


def _in_info(info: Mapping[str, Any], name: str) -> float | str:
    """The number of that name in `info`; where there is none, what is there instead, in words."""
    if name in info:
        return _number(info[name])
    name, bracket, rest = name.partition("[")
    value: Any = info
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            keys = ", ".join(sorted(map(str, value))[:12]) if isinstance(value, Mapping) else ""
            return f"no key {part!r} among {keys}" if keys else f"no key {part!r}"
        value = value[part]
    if bracket:
        array = np.asarray(value).reshape(-1)
        place = rest.rstrip("]")
        if not place.isdecimal() or int(place) >= len(array):
            return f"an array of {len(array)} numbers"
        value = array[int(place)]
    return _number(value)


def _number(value: Any) -> float | str:
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        return f"{value!r:.60}"
    if array.size != 1:
        return f"an array of the shape {list(array.shape)} (name one of its numbers, as [0])"
    return float(array.reshape(()))


def _rows_before(node: ast.AST) -> int:
    """How many rows before its own an expression looks at: the nesting of prev()."""
    deepest = max((_rows_before(part) for part in ast.iter_child_nodes(node)), default=0)
    is_prev = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "prev"
    return deepest + is_prev
