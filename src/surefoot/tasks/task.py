"""A task: a system, what must hold in it, where its episodes and its data come from."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from surefoot.data_spec import DataSpec
from surefoot.errors import ConfigError
from surefoot.json_files import check_json
from surefoot.ranges import COUNT, Range, Ranged
from surefoot.tasks.constraint import Constraint, RunTimeBudget, Signal
from surefoot.tasks.environment import Environment
from surefoot.tasks.reference import Reference
from surefoot.tasks.task_file import TaskFile
from surefoot.vision import Vision


@dataclass(frozen=True)
class D4RLData(Ranged):
    """Conversion of D4RL's data of a robot to a task's."""

    labeller: Reference
    """Makes what labels the steps with costs, a `surefoot.data.d4rl.Labeller` or a `TravelCost`."""
    columns: Annotated[int | None, Range(COUNT)] = None
    """Of its observations, where they go on after those of the task; None where they do not."""


@dataclass(frozen=True)
class Task(Ranged):
    """Shapes, horizon, constraints, environment, data and reference scores of a system. Hashable, and JSON."""

    name: str
    observation_dim: Annotated[int, Range(COUNT)]
    action_dim: Annotated[int, Range(COUNT)]
    horizon: Annotated[int, Range(COUNT)]
    """Longest episode, in environment steps."""
    return_min: Annotated[float, Range("(-inf, inf)")]
    """Reference return that scores 0, in the task's reward units."""
    return_max: Annotated[float, Range("(-inf, inf)")]
    """Reference return that scores 1, in the task's reward units."""
    constraints: tuple[Constraint, ...]
    """What must hold, all of them."""
    deterministic: bool = False
    """Whether the same action in the same state always has the same outcome: nothing is drawn in the middle of an
    episode, such as the next goal. Then what was driven once can be driven again."""
    environment: Environment | None = None
    """Where its episodes come from; None where there are logs alone."""
    dsrl_id: str | None = None
    """Its name in DSRL, which `get_task` accepts too."""
    dsrl_file: str | None = None
    """The published data file."""
    cost_return_min: Annotated[float, Range("(-inf, inf)")] = 0.0
    """Smallest cost return of the reference data."""
    cost_return_max: Annotated[float, Range("(-inf, inf)")] = 0.0
    """Largest cost return of the reference data."""
    dsrl_cost_limits: Annotated[tuple[float, ...], Range("[0, inf)")] = ()
    """Cost limits over an episode of DSRL's protocol; empty where the task is not DSRL's."""
    driver: Reference | None = None
    """Makes scripted drivers that collect data, a `surefoot.collection.scripted.DriverMaker`; None where there are
    none."""
    recipe: str | None = None
    """Row of the tables of recipes by which its data are collected, where it is not called as the task is."""
    collected_as: str | None = None
    """Name of the task whose data `surefoot collect` makes in its place; None where it makes the task's own."""
    presets: str | None = None
    """Row of the tables of presets that were measured on tasks of its kind; None where there is none."""
    d4rl: D4RLData | None = None
    """How D4RL's data of the same robot are read; None where there are none."""
    still_columns: Annotated[tuple[int, ...] | None, Range("[0, 1000000]")] = ()
    """Columns of the observation that may hold one number in all rows by their nature; None: any may."""
    equal_columns: Annotated[tuple[tuple[int, int], ...] | None, Range("[0, 1000000]")] = ()
    """Pairs of columns that may be equal in all rows by their nature; None: any may."""
    exact_set: bool = False
    """Whether its exact feasible set is known (`surefoot.safety`): evaluations take their starts from it."""
    image_shape: Annotated[tuple[int, int, int] | None, Range(COUNT)] = None
    """Height, width and channels where the observation is an image (uint8); None where it is a vector."""

    file: TaskFile | None = field(default=None, compare=False, repr=False)
    """The task file that it was made of, the log's columns and numbers filled in as far as they are known."""

    @staticmethod
    def from_file(path: str | os.PathLike[str]) -> "Task":
        """The task of a task file (TOML, docs/own-log.md). What the file leaves to the log, `*` in columns and "from
        data", is filled in by `Episodes.from_frame` and `from_log`, whose `task` has it.

        Raises `ConfigError`, one sentence with file, line, key, expected and found.
        """
        return Reference("surefoot.data.own_tasks:task_from_file")(path)

    @staticmethod
    def from_env(
        make_env: str | Callable[[], Any], *, constraints: Sequence[str | Mapping[str, Any]] = (),
        horizon: int | None = None, name: str | None = None,
    ) -> "Task":  # fmt: skip
        """The task of a Gymnasium environment, by its spaces.

        Args:
            make_env: Its id, or a function that makes it. A function of a module can be called again wherever the run
                is; another one is handed over to `Run.evaluate` again.
            constraints: What must hold: expressions over `observation[0]`, ..., `action[0]`, ... (where observations
                are a Dict or a Tuple, over the names of its parts, as `tasks.spaces` says) that are at most 0 where it
                is safe, as "abs(observation[2]) - 6", or tables as `[[constraint]]` in a task file. Without any:
                `info["cost"]`, of which none may occur.
            horizon: Longest episode, in steps; by default the environment's own limit.
            name: Of the task; by default the environment's.

        Raises:
            ConfigError: Where the spaces are no numbers, or nothing says how long an episode is.
        """
        found = Reference("surefoot.data.own_tasks:task_from_env")
        return found(make_env, constraints=constraints, horizon=horizon, name=name)

    @staticmethod
    def from_minari(
        path: str | os.PathLike[str], *, constraints: Sequence[str | Mapping[str, Any]] = (), name: str | None = None
    ) -> "Task":
        """The task of a Minari dataset's folder, by its arrays; the log is `Episodes.from_log(path, task)`.

        Args:
            path: The folder.
            constraints: As in `from_env`, over `observations[0]`, `actions[0]`, ...; without any: its costs.
            name: Of the task; by default the folder's.

        Raises:
            DataError: Where there is no such dataset.
            ConfigError: Where neither costs nor constraints say what must hold.
        """
        return Reference("surefoot.data.own_tasks:task_from_minari")(path, constraints=constraints, name=name)

    @classmethod
    def from_json(cls, values: Any, *, place: str) -> "Task":
        """A task out of JSON, as `dataclasses.asdict` has it; `place` is named where it is none: `ConfigError`."""
        return check_json(values, cls, place=place, what="a task")

    @property
    def spec(self) -> DataSpec:
        """Shapes and horizon. Raises `ConfigError` where the columns of a log are still to be counted."""
        if self.file is not None and self.file.has_patterns:
            raise ConfigError(
                f"task {self.name}: columns: expected names without *, found some; take the `task` of the Episodes "
                f"that were read from the log."
            )
        return DataSpec(self.observation_dim, self.action_dim, self.horizon, self.image_shape)

    @property
    def cost_limit(self) -> float:
        """Largest safe sum of costs over an episode: of the first constraint on costs, 0 where there is none."""
        return 0.0 if self.known_cost_limit is None else self.known_cost_limit

    @property
    def known_cost_limit(self) -> float | None:
        """The limit on the sum of costs; None where no constraint is on costs."""
        return next((one.limit for one in self.constraints if not isinstance(one, Signal)), None)

    @property
    def has_signal(self) -> bool:
        """Whether the task's data hold the continuous constraint signal h."""
        return any(isinstance(one, Signal) for one in self.constraints)

    @property
    def budget(self) -> RunTimeBudget | None:
        """The budget of ratio 1; None where no table says."""
        return next((one for one in self.constraints if isinstance(one, RunTimeBudget)), None)

    @property
    def budget_maximum(self) -> float | None:
        """Sum of costs over an episode that a budget ratio of 1 means; None where no table says."""
        return None if self.budget is None else self.budget.maximum

    @property
    def simulated(self) -> bool:
        """Whether episodes come from a simulator on the host, not from functions in JAX."""
        return self.environment is not None and self.environment.kind != "jax"

    @property
    def isolated(self) -> str | None:
        """Name of the virtual environment in which its simulator runs; None: beside surefoot."""
        return None if self.environment is None else self.environment.isolated

    @property
    def vision(self) -> Vision | None:
        """Cameras and action repeat, where a simulator's robot sees."""
        return None if self.environment is None else self.environment.vision
