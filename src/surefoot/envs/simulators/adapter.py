"""One Gymnasium environment over all simulators: float32, actions in [-1, 1], cost in `info`, a time limit of its
own."""

import time
from typing import Any, Literal, Protocol, runtime_checkable

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float, UInt8

from surefoot.errors import ConfigError, SimulatorError
from surefoot.tasks import Task

MOST_SEED = 2**31
"""Bound of the seeds of episodes, exclusive."""
UNSTARTED = -1
"""Number of steps before an episode has begun."""
_ARRAY, _DOUBLE = np.ndarray, np.dtype(np.float64)


class Backend(Protocol):
    """One simulator behind the adapter. An episode is a function of its seed and its actions, to the bit."""

    observation_dim: int
    action_low: Float[np.ndarray, " act"]
    action_high: Float[np.ndarray, " act"]
    frames_per_second: float
    """Frames per second of simulated time; a step is one frame."""
    horizon: int
    """Steps after which the simulator itself would end an episode; the adapter uses the task's."""

    def reset(self, seed: int) -> np.ndarray:
        """Start the episode of `seed` and return its first observation [observation_dim], or image [height, width,
        channels]."""
        ...

    def step(self, action: np.ndarray) -> tuple[Any, ...]:
        """Take one step with an action inside the simulator's box.

        Returns observation, reward, cost, terminated, and more that is ignored, so that a simulator's own step can be
        used unchanged.
        """
        ...

    def render(self) -> np.ndarray:
        """The present state as a picture, uint8 [height, width, 3]."""
        ...

    def close(self) -> None:
        """Free what the simulator holds; calling it again does nothing."""
        ...


@runtime_checkable
class HasProcess(Protocol):
    """A backend whose simulator runs in a process of its own."""

    def cpu_seconds(self) -> float:
        """CPU time that the simulator's process has used so far."""
        ...


@runtime_checkable
class SaysMore(Protocol):
    """A backend that reports more about its last step than others."""

    constraint: float
    """The worst signal h of the entered state, > 0 for a violation; -inf where there is none."""
    truncated: bool
    """Whether the backend ended the episode for a reason of its own, such as a limit on time."""


class Simulator(gymnasium.Env[np.ndarray, np.ndarray]):
    """A task in its simulator. The simulator sets `terminated`, the task's horizon `truncated`; never both."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012

    def __init__(self, task: Task, backend: Backend, *, render_mode: Literal["rgb_array"] | None = None) -> None:
        """Raises `SimulatorError` where the simulator's dimensions are not the task's."""
        found = (backend.observation_dim, len(backend.action_low))
        if found != (task.observation_dim, task.action_dim):
            backend.close()
            raise SimulatorError(
                f"task {task.name}: expected {task.observation_dim} numbers in an observation and {task.action_dim} in "
                f"an action, found {found[0]} and {found[1]}; install the pinned version with "
                f"`surefoot simulators install all`."
            )
        self.task = task
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": backend.frames_per_second}
        if task.image_shape is None:
            self.observation_space = spaces.Box(-np.inf, np.inf, (task.observation_dim,), np.float32)
        else:
            self.observation_space = spaces.Box(0, 255, task.image_shape, np.uint8)
        self._kind = self.observation_space.dtype
        self.action_space = spaces.Box(-1.0, 1.0, (task.action_dim,), np.float32)
        self._backend = backend
        self._backend_step = backend.step
        self._more = backend if isinstance(backend, SaysMore) else None
        self._low = np.asarray(backend.action_low, np.float64)
        self._half = 0.5 * (np.asarray(backend.action_high, np.float64) - self._low)
        self._plain = bool((self._low == -1).all() and (self._half == 1).all())
        self._action_dim = task.action_dim
        self._horizon = task.horizon
        self._steps = UNSTARTED

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float[np.ndarray, " obs"], dict[str, Any]]:
        """Start an episode.

        Equal seeds and actions give equal episodes, to the bit, whatever ran before.

        Args:
            seed: 0 to 2**31 - 1; None: the next that this environment's generator draws.
            options: Must be empty.

        Returns:
            (observation [obs], `info` with a cost of 0).

        Raises:
            ConfigError: The seed is out of range, or there are options.
        """
        if options:
            raise ConfigError(f"reset of {self.task.name}: expected no options, found {sorted(options)}.")
        if seed is not None and not 0 <= seed < MOST_SEED:
            raise ConfigError(f"reset of {self.task.name}: expected a seed from 0 to 2**31 - 1, found {seed}.")
        super().reset(seed=seed)
        if seed is None:
            seed = int(self.np_random.integers(MOST_SEED))
        self._steps = 0
        return self._backend.reset(seed).astype(self._kind), {"cost": 0.0}

    def step(
        self, action: Float[np.ndarray, " act"]
    ) -> tuple[Float[np.ndarray, " obs"], float, bool, bool, dict[str, Any]]:
        """Take one step. Raises `ConfigError` unless given task.action_dim finite numbers."""
        steps = self._steps + 1
        if not steps:
            raise gymnasium.error.ResetNeeded("call reset before step.")
        # The fastest simulator takes 35 us for a step, of which every line here is half a percent. A loop over a few
        # floats costs less than NumPy's clip.
        action = action.astype(_DOUBLE) if type(action) is _ARRAY else np.asarray(action, _DOUBLE)
        if action.ndim != 1 or len(action) != self._action_dim:
            raise self._bad_action(action)
        for number in action.tolist():
            if not -1.0 <= number <= 1.0:
                if not np.isfinite(action).all():
                    raise self._bad_action(action)
                action = np.clip(action, -1.0, 1.0)
                break
        if not self._plain:
            action = self._low + (action + 1.0) * self._half
        found = self._backend_step(action)
        self._steps = steps
        terminated = bool(found[3])
        truncated = steps >= self._horizon and not terminated
        info = {"cost": float(found[2])}
        if (more := self._more) is not None:
            truncated = not terminated and (truncated or more.truncated)
            info["constraint"] = more.constraint
        return found[0].astype(self._kind), float(found[1]), terminated, truncated, info

    def _bad_action(self, action: np.ndarray) -> ConfigError:
        return ConfigError(f"action: expected {self._action_dim} finite numbers in [-1, 1], found {action!r}.")

    def render(self) -> UInt8[np.ndarray, "height width 3"] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A picture of the present state; None without a render mode. Raises `SimulatorError` on a machine that cannot
        draw."""
        if self.render_mode is None:
            return None
        if self._steps == UNSTARTED:
            raise gymnasium.error.ResetNeeded("call reset before render.")
        return self._backend.render()

    @property
    def backend(self) -> Backend:
        """The backend of the task, which may know more than observations."""
        return self._backend

    def cpu_seconds(self) -> float:
        """CPU time that the simulator's process has used so far."""
        return self._backend.cpu_seconds() if isinstance(self._backend, HasProcess) else time.process_time()

    def close(self) -> None:
        self._backend.close()
