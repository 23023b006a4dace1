"""Task: a system, its constraints, and the source of its episodes and data."""

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
    """Conversion of D4RL's data of a robot to a task's data."""

    labeller: Reference
    """Maker of the function that labels steps with costs, a `surefoot.data.d4rl.Labeller` or a `TravelCost`."""
    columns: Annotated[int | None, Range(COUNT)] = None
    """Number of columns of D4RL's observations, where they extend beyond the task's; None where they do not."""


@dataclass(frozen=True)
class Task(Ranged):
    """Shapes, horizon, constraints, environment, data and reference scores of a system. Hashable, and valid JSON."""

    name: str
    """Name in files, tables and commands."""
    observation_dim: Annotated[int, Range(COUNT)]
    """Numbers of an observation."""
    action_dim: Annotated[int, Range(COUNT)]
    """Numbers of an action; each lies in [-1, 1]."""
    horizon: Annotated[int, Range(COUNT)]
    """Longest episode, in environment steps."""
    return_min: Annotated[float, Range("(-inf, inf)")]
    """Reference return that scores 0, in the task's reward units."""
    return_max: Annotated[float, Range("(-inf, inf)")]
    """Reference return that scores 1, in the task's reward units."""
    constraints: tuple[Constraint, ...]
    """Constraints, which must all hold."""
    deterministic: bool = False
    """Whether an action in a state always has the same outcome: nothing is drawn in the middle of an episode, such as
    the next goal. Recorded actions can then be replayed."""
    environment: Environment | None = None
    """Maker of the task's episodes; None where there are logs alone."""
    dsrl_id: str | None = None
    """Name in DSRL, which `get_task` accepts, too."""
    dsrl_file: str | None = None
    """Name of the published data file."""
    cost_return_min: Annotated[float, Range("(-inf, inf)")] = 0.0
    """Smallest cost return of the reference data."""
    cost_return_max: Annotated[float, Range("(-inf, inf)")] = 0.0
    """Largest cost return of the reference data."""
    dsrl_cost_limits: Annotated[tuple[float, ...], Range("[0, inf)")] = ()
    """Cost limits over an episode of DSRL's protocol; empty where the task is not DSRL's."""
    driver: Reference | None = None
    """Maker of scripted drivers that collect data, a `surefoot.collection.scripted.DriverMaker`; None where there are
    none."""
    recipe: str | None = None
    """Row of the tables of recipes by which its data are collected; None: the task's name."""
    collected_as: str | None = None
    """Name of the task whose data `surefoot collect` makes instead; None: the task's own."""
    presets: str | None = None
    """Row of the tables of presets that were measured on such tasks; None where there is none."""
    d4rl: D4RLData | None = None
    """Conversion of D4RL's data of the robot; None where there are none."""
    still_columns: Annotated[tuple[int, ...] | None, Range("[0, 1000000]")] = ()
    """Columns of the observation that may hold one number in all rows; None: any may."""
    equal_columns: Annotated[tuple[tuple[int, int], ...] | None, Range("[0, 1000000]")] = ()
    """Pairs of columns that may be equal in all rows; None: any may."""
    exact_set: bool = False
    """Whether the exact feasible set is known (`surefoot.safety`), from which evaluations take their starts."""
    image_shape: Annotated[tuple[int, int, int] | None, Range(COUNT)] = None
    """Height, width and channels where the observation is an image (uint8); None where it is a vector."""

    file: TaskFile | None = field(default=None, compare=False, repr=False)
    """Task file that it was made of, with the log's columns and numbers as far as they are known."""

    @staticmethod
    def from_file(path: str | os.PathLike[str]) -> "Task":
        """Task of a task file (TOML, docs/own-log.md).

        What the file leaves to the log, `*` in columns and "from data", is filled in by `Episodes.from_frame` and
        `from_log`, whose `task` holds it.

        Args:
            path: Task file.

        Returns:
            The task.

        Raises:
            ConfigError: The file cannot be used; the sentence names file, line, key, expected and found.
        """
        return Reference("surefoot.data.own_tasks:task_from_file")(path)

    @staticmethod
    def from_env(
        make_env: str | Callable[[], Any], *, constraints: Sequence[str | Mapping[str, Any]] = (),
        horizon: int | None = None, name: str | None = None,
    ) -> "Task":  # fmt: skip
        """Task of a Gymnasium environment, by its spaces.

        Args:
            make_env: Environment id, or a function that makes the environment. A function of a module can be called
                again wherever the run is; another one is given to `Run.evaluate` again.
            constraints: Expressions that are at most 0 where it is safe, such as "abs(observation[2]) - 6", over
                `observation[0]`, ..., `action[0]`, ... (where observations are a Dict or a Tuple, over the names of its
                parts, as `tasks.spaces` says), or tables like `[[constraint]]` in a task file. Empty: `info["cost"]`,
                which must be 0.
            horizon: Longest episode, in steps; None: the environment's own limit.
            name: Name of the task; None: the environment's.

        Returns:
            The task.

        Raises:
            ConfigError: The spaces are no numbers, or nothing says how long an episode is.
        """
        found = Reference("surefoot.data.own_tasks:task_from_env")
        return found(make_env, constraints=constraints, horizon=horizon, name=name)

    @staticmethod
    def from_minari(
        path: str | os.PathLike[str], *, constraints: Sequence[str | Mapping[str, Any]] = (), name: str | None = None
    ) -> "Task":
        """Task of a Minari dataset, by its arrays; the log is `Episodes.from_log(path, task)`.

        Args:
            path: Folder of the dataset.
            constraints: As in `from_env`, over `observations[0]`, `actions[0]`, ...; empty: the dataset's costs.
            name: Name of the task; None: the folder's.

        Returns:
            The task.

        Raises:
            DataError: There is no such dataset.
            ConfigError: Neither costs nor constraints say what must hold.
        """
        return Reference("surefoot.data.own_tasks:task_from_minari")(path, constraints=constraints, name=name)

    @classmethod
    def from_json(cls, values: Any, *, place: str) -> "Task":
        """Task from JSON values, as `dataclasses.asdict` gives them.

        Args:
            values: JSON values.
            place: File or key, for messages.

        Returns:
            The task.

        Raises:
            ConfigError: The values are no task.
        """
        return check_json(values, cls, place=place, what="a task")

    @property
    def spec(self) -> DataSpec:
        """Shapes and horizon. Raises `ConfigError` where the columns of a log are not known yet."""
        if self.file is not None and self.file.has_patterns:
            raise ConfigError(
                f"task {self.name}: columns: expected names without *, found some; take the `task` of the Episodes "
                f"that were read from the log."
            )
        return DataSpec(self.observation_dim, self.action_dim, self.horizon, self.image_shape)

    @property
    def cost_limit(self) -> float:
        """Largest safe undiscounted cost of an episode, by the first constraint on costs; 0 without one."""
        return 0.0 if self.known_cost_limit is None else self.known_cost_limit

    @property
    def known_cost_limit(self) -> float | None:
        """Largest safe undiscounted cost of an episode; None without a constraint on costs."""
        return next((one.limit for one in self.constraints if not isinstance(one, Signal)), None)

    @property
    def has_signal(self) -> bool:
        """Whether the task's data hold a continuous constraint signal h."""
        return any(isinstance(one, Signal) for one in self.constraints)

    @property
    def budget(self) -> RunTimeBudget | None:
        """Budget constraint with its maximum; None where no table has one."""
        return next((one for one in self.constraints if isinstance(one, RunTimeBudget)), None)

    @property
    def budget_maximum(self) -> float | None:
        """Undiscounted cost of an episode that a budget ratio of 1 means; None where no table has it."""
        return None if self.budget is None else self.budget.maximum

    @property
    def simulated(self) -> bool:
        """Whether episodes come from a simulator on the host instead of functions in JAX."""
        return self.environment is not None and self.environment.kind != "jax"

    @property
    def isolated(self) -> str | None:
        """Name of the virtual environment in which the simulator runs; None: beside surefoot."""
        return None if self.environment is None else self.environment.isolated

    @property
    def vision(self) -> Vision | None:
        """Cameras and action repeat of a simulated robot with cameras; else None."""
        return None if self.environment is None else self.environment.vision
