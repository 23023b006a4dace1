"""A simulator in a process of its own, as a backend: MetaDrive, whose libraries exclude all others."""

import weakref

import numpy as np

from surefoot.envs.workers import ipc
from surefoot.envs.workers.local import IDLE
from surefoot.envs.workers.process import Worker, WorkerDiedError
from surefoot.errors import SimulatorError
from surefoot.tasks import Task

_NONE = np.array([IDLE])


class RemoteBackend:
    """One environment over a pipe, without pictures."""

    def __init__(self, task: Task, *, draws: bool, **_: str) -> None:
        """The process reads further arguments from the task. Raises `SimulatorError` where the simulator is not
        installed, does not start, or pictures are asked for."""
        if draws:
            raise SimulatorError(f"task {task.name}: MetaDrive runs without pictures; leave the render mode out.")
        self._task = task
        self._seed = IDLE
        self._worker = Worker(task, num_envs=1)
        self._close = weakref.finalize(self, self._worker.close)
        try:
            facts = self._worker.wait_open()
        except WorkerDiedError as died:
            self._close()
            raise SimulatorError(f"the simulator of {task.name} could not be started: {died}.") from died
        self.observation_dim: int = facts["observation_dim"]
        self.action_low, self.action_high = -np.ones(facts["action_dim"]), np.ones(facts["action_dim"])
        self.frames_per_second: float = facts["frames_per_second"]
        self.horizon: int = facts["horizon"]

    def reset(self, seed: int) -> np.ndarray:
        self._seed = seed
        payload = self._ask(ipc.RESET, ipc.pack_seeds(np.array([seed])))
        return ipc.unpack_observation(payload, 1, self.observation_dim)[0]

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, float, bool]:
        payload = self._ask(ipc.STEP, *ipc.pack_actions(_NONE, action[None]))
        observation, reward, cost, terminated, *_ = ipc.unpack_step(payload, 1, self.observation_dim)
        return observation[0], reward[0], cost[0], terminated[0]

    def render(self) -> np.ndarray:
        raise SimulatorError(f"task {self._task.name}: MetaDrive runs without pictures.")

    def cpu_seconds(self) -> float:
        return float(np.frombuffer(self._ask(ipc.CPU), "<f8")[0])

    def close(self) -> None:
        self._close()

    def _ask(self, kind: bytes, *parts: bytes) -> bytes:
        self._worker.ask(kind, *parts)
        try:
            return self._worker.answer()
        except WorkerDiedError as died:
            raise SimulatorError(
                f"task {self._task.name}: its simulator died in the episode with seed {self._seed}: {died}."
            ) from died
