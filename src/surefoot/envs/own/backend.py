"""One Gymnasium environment as a simulator's backend: flat observations, actions in the plant's units, costs and h."""

from functools import partial
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float

from surefoot.envs.own.live import Computed, Happened, LiveColumns
from surefoot.envs.own.making import MAKE, EnvironmentFault, brief, make_environment
from surefoot.errors import ConfigError, SurefootError
from surefoot.tasks import Task
from surefoot.tasks.action_units import ActionUnits
from surefoot.tasks.spaces import FlatSpaces, flat_values
from surefoot.tasks.task_file import (
    ActionTable,
    ConstraintTable,
    EnvironmentTable,
    ObservationTable,
    TaskFile,
    TaskTable,
)

_SLACK = 1e-6
"""Share of an action's range by which bounds may differ in rounding."""


class GymnasiumBackend:
    """An environment of other people. Its errors, and differences from the task file, are `EnvironmentFault`s."""

    def __init__(self, task: Task, *, draws: bool, made: gymnasium.Env[Any, Any] | None = None) -> None:
        """`draws`: whether `render` will be called; `made`: the environment, where it exists already."""
        assert task.environment is not None
        self.env = make_environment(task.name, task.environment.make, draws=draws) if made is None else made
        try:
            found = flat_spaces(self.env, task.name)
            unnamed = partial(file_of_environment, self.env, task.name, task.horizon, cost="info.cost")
            self.file = unnamed() if task.file is None else task.file
            self._order = _order(self.file, found.observation)
            self.units = ActionUnits.of(self.file.action)
            _check_actions(self.file, self.units, found.low, found.high)
            self.columns = LiveColumns(self.file)
        except BaseException:
            self.close()
            raise
        self.observation_dim, self.horizon = len(self._order), task.horizon
        self.action_low, self.action_high = self.units.low, self.units.high
        fps: Any = self.env.metadata.get("render_fps") or 30
        self.frames_per_second = float(fps)
        self.constraint, self.truncated = -np.inf, False
        self.applied: Float[np.ndarray, " act"] | None = None
        """The last action that the environment was given, in the plant's units."""

    def reset(self, seed: int) -> Float[np.ndarray, " obs"]:
        try:
            value, info = self.env.reset(seed=seed)
            observation = self._flat(value)
        except SurefootError:
            raise
        except Exception as error:  # whatever a stranger's code raises
            place = f"the reset with seed {seed}"
            raise EnvironmentFault(
                self.file.task.name, MAKE, f"expected a start, found {brief(error)} in {place}"
            ) from error
        self.applied, self.truncated, self.constraint = None, False, -np.inf
        self.columns.begin(seed, observation, info)
        return observation

    def step(self, action: Float[np.ndarray, " act"]) -> tuple[Any, ...]:
        applied = self.units.limited(action, self.applied)
        space: Any = self.env.action_space
        try:
            found = self.env.step(applied.astype(space.dtype).reshape(space.shape))
            value, reward, terminated, truncated, info = found
            observation = self._flat(value)
            happened = Happened(float(reward), bool(terminated), bool(truncated), info)
        except SurefootError:
            raise
        except Exception as error:  # whatever a stranger's code raises
            after = f"a step after {self.columns.place}"
            raise EnvironmentFault(
                self.file.task.name, MAKE, f"expected a step, found {brief(error)} in {after}"
            ) from error
        self.applied = applied
        computed: Computed = self.columns.step(applied, happened, observation)
        self.constraint, self.truncated = computed.signal, happened.truncated
        return observation, computed.reward, computed.cost, happened.terminated

    def render(self) -> np.ndarray:
        return np.asarray(self.env.render())

    def close(self) -> None:
        self.env.close()

    def _flat(self, value: Any) -> Float[np.ndarray, " obs"]:
        return flat_values(self.env.observation_space, value)[self._order]


def file_of_environment(
    env: gymnasium.Env[Any, Any], name: str, horizon: int, *, cost: str, make: str = ""
) -> TaskFile:
    """Task file of an environment, made of its spaces.

    Args:
        env: The environment.
        name: Name of the task.
        horizon: Most steps of an episode.
        cost: Key of the cost in `info`; empty where nothing costs.
        make: Maker of the environment, as "module:name" or an id.

    Returns:
        The task file.

    Raises:
        EnvironmentFault: The spaces cannot be used.
    """
    found = flat_spaces(env, name)
    if found.unbounded:
        raise EnvironmentFault(name, MAKE, f"expected actions between finite bounds, found {env.action_space!s:.80}")
    none = ConstraintTable("cost", expression="0", kind="cost")
    return TaskFile(
        TaskTable(name, horizon),
        ObservationTable(found.observation),
        ActionTable(found.action, tuple(found.low.tolist()), tuple(found.high.tolist())),
        (none,),
        environment=EnvironmentTable(make, cost=cost),
    )


# --- spaces ----------------------------------------------------------------------------------------------------------


def flat_spaces(env: gymnasium.Env[Any, Any], task: str) -> FlatSpaces:
    """The numbers that an environment's spaces consist of.

    Args:
        env: The environment.
        task: Name of the task, for messages.

    Returns:
        The numbers with their bounds.

    Raises:
        EnvironmentFault: The spaces do not consist of numbers.
    """
    try:
        return FlatSpaces.of(env)
    except ConfigError as error:
        raise EnvironmentFault(task, MAKE, str(error)) from error


def _order(file: TaskFile, names: tuple[str, ...]) -> np.ndarray:
    """Where the columns of the file lie in the flat observation: by their names where the environment has all of them,
    else by their places."""
    columns = file.observation.columns
    if set(columns) <= set(names):
        return np.array([names.index(one) for one in columns])
    if len(columns) != len(names):
        shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
        sentence = f"expected {len(names)} columns, as many as the environment's observation has numbers ({shown})"
        raise EnvironmentFault(file.task.name, ("observation", "columns"), f"{sentence}, found {len(columns)}")
    return np.arange(len(names))


def _check_actions(file: TaskFile, units: ActionUnits, low: np.ndarray, high: np.ndarray) -> None:
    """Refuse another number of actions than the environment's, and bounds beyond its."""
    columns = file.action.columns
    if len(columns) != len(low):
        sentence = f"expected {len(low)} columns, as many as the environment's action has numbers, found {len(columns)}"
        raise EnvironmentFault(file.task.name, ("action", "columns"), sentence)
    for number, name in enumerate(columns):
        slack = _SLACK * max(1.0, units.high[number] - units.low[number])
        for key, beyond, found, bound in (
            ("low", units.low < low - slack, units.low, low), ("high", units.high > high + slack, units.high, high)
        ):  # fmt: skip
            if beyond[number]:
                least = "at least" if key == "low" else "at most"
                sentence = (
                    f"expected {least} {bound[number]:g} for {name}, the environment's bound, found {found[number]:g}"
                )
                raise EnvironmentFault(file.task.name, ("action", key), sentence)
