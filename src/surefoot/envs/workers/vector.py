"""Many episodes of one task at once, over worker processes: one batched call of a policy serves all of a step.

A worker that dies is replaced, and its running episodes begin again with equal seeds, so that nothing is lost or
counted twice: the caller throws away the steps of an episode that is reported as restarted.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Int

from surefoot.envs.own.unnamed import local_backend, unnamed_task
from surefoot.envs.simulators import Simulator, make
from surefoot.envs.vector import WorkerDeath
from surefoot.envs.workers import ipc
from surefoot.envs.workers.local import IDLE, NO_SIGNAL, LocalEnvs, Step
from surefoot.envs.workers.process import ANSWER_SECONDS, Worker, WorkerDiedError
from surefoot.errors import ConfigError, SimulatorError
from surefoot.ranges import check_count
from surefoot.tasks import Task

MOST_DEATHS = 3
"""Deaths of workers under one episode, after which it is given up."""


class VectorSimulator:
    """`num_envs` environments of a task, a `VectorEnv`; a context manager.

    Each runs the episodes of given seeds, so that results do not depend on the number of workers. `deaths` lists the
    workers that died so far.
    """

    def __init__(
        self,
        task: Task,
        *,
        num_envs: int,
        workers: int,
        on_death: Callable[[WorkerDeath], None] | None = None,
        timeout: float = ANSWER_SECONDS,
        open_here: Callable[[Task], Simulator] = make,
    ) -> None:
        """`workers`: processes that share the environments, 0 for this process, in which `open_here` makes each;
        `on_death` is told of each that dies.

        Each environment of MetaDrive is a process of its own; there, with any number of workers, all step at once,
        with 0 one after the other.

        Raises `SimulatorError` where the simulator cannot be opened, `ConfigError` for other numbers.
        """
        check_count(num_envs, f"environments of {task.name}", "[1, 65536]")
        check_count(workers, f"workers of {task.name}", "[0, 1024]")
        self.task = task
        self.num_envs = num_envs
        self.deaths: list[WorkerDeath] = []
        # Images travel flat, as they are.
        self._kind = ipc.NUMBERS if task.image_shape is None else ipc.PIXELS
        self._on_death = on_death
        self._timeout = timeout
        self._seeds = np.full(num_envs, IDLE, np.int64)
        self._failures = np.zeros(num_envs, np.int64)
        self._here: LocalEnvs | None = None
        self._workers: list[Worker] = []
        self._slices: list[slice] = []
        if workers == 0:
            environments = [open_here(task) for _ in range(num_envs)]
            self._here = LocalEnvs(environments, observation_dim=task.observation_dim, kind=self._kind)
        else:
            # An isolated simulator has one simulation a process: as many processes as environments.
            processes = num_envs if task.isolated else min(workers, num_envs)
            bounds = np.linspace(0, num_envs, processes + 1).round().astype(int).tolist()
            self._slices = [slice(low, high) for low, high in itertools.pairwise(bounds)]
            self._open()

    @classmethod
    def from_gymnasium(
        cls, make_env: str | Callable[[], Any], num_envs: int = 1, workers: int = 0, *, horizon: int | None = None,
        cost: str = "",
    ) -> Self:  # fmt: skip
        """Environments of any Gymnasium environment of real numbers, without a task file.

        Observations are a Box, or Dicts and Tuples of Boxes; actions are a Box, here in [-1, 1]. With a task file,
        `VectorSimulator(task, ...)` knows more.

        Args:
            make_env: Its id, "module:name", or a function or class; with workers, one at the top of a module.
            num_envs: Environments.
            workers: Processes; 0: this one.
            horizon: Most steps of an episode; None: the environment's own limit.
            cost: Place of a step's cost in `info`, as "info.cost"; empty: nothing costs.

        Returns:
            The environments.

        Raises:
            SimulatorError: A worker cannot be started.
            ConfigError: The maker cannot be imported, or its spaces cannot be used.
        """
        local = workers == 0 and not isinstance(make_env, str)
        task = unnamed_task(make_env, horizon=horizon, cost=cost, local=local)
        if not local or isinstance(make_env, str):
            return cls(task, num_envs=num_envs, workers=workers)
        return cls(
            task, num_envs=num_envs, workers=0, open_here=lambda one: Simulator(one, local_backend(make_env, one))
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers; calling it again does nothing."""
        for worker in self._workers:
            worker.close()
        self._workers = []
        if self._here is not None:
            self._here.close()
            self._here = None

    @property
    def process_ids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.process_id for worker in self._workers]

    def reset(self, seeds: Int[np.ndarray, " n"] | Sequence[int]) -> Float[np.ndarray, "n obs"]:
        """Begin an episode everywhere; -1 leaves an environment idle. Returns first observations, [n, obs]."""
        self._seeds = self._checked(seeds)
        self._failures[:] = 0
        if self._here is not None:
            return self._here.reset(self._seeds)
        for worker, part in zip(self._workers, self._slices, strict=True):
            worker.ask(ipc.RESET, ipc.pack_seeds(self._seeds[part]))
        observation = np.zeros((self.num_envs, self.task.observation_dim), self._kind)
        for number, part in enumerate(self._slices):
            try:
                observation[part] = self._observation(number)
            except WorkerDiedError as died:
                observation[part] = self._replace(number, died)
        return observation

    def step(self, actions: Float[np.ndarray, "n act"], next_seeds: Int[np.ndarray, " n"] | Sequence[int]) -> Step:
        """Step all running environments.

        Args:
            actions: Actions in [-1, 1], [n, act].
            next_seeds: Seed of the episode that begins where one ends, [n]; -1: the environment becomes idle.

        Returns:
            The step.

        Raises:
            ConfigError: Shapes differ.
            SimulatorError: An episode killed too many workers.
        """
        seeds = self._checked(next_seeds)
        actions = np.asarray(actions, np.float64)
        if actions.shape != (self.num_envs, self.task.action_dim):
            expected = (self.num_envs, self.task.action_dim)
            raise ConfigError(f"actions of {self.task.name}: expected the shape {expected}, found {actions.shape}.")
        step = self._step_workers(actions, seeds) if self._here is None else self._here.step(actions, seeds)
        ended = step.terminated | step.truncated
        self._seeds = np.where(ended, seeds, self._seeds)
        self._failures[ended] = 0
        return step

    def _step_workers(self, actions: np.ndarray, seeds: np.ndarray) -> Step:
        requests = [ipc.pack_actions(seeds[part], actions[part]) for part in self._slices]
        rows = (self.num_envs, self.task.observation_dim)
        constraint = np.full(self.num_envs, NO_SIGNAL)
        step = Step(
            np.zeros(rows, self._kind), np.zeros(self.num_envs), np.zeros(self.num_envs), np.zeros(self.num_envs, bool),
            np.zeros(self.num_envs, bool), np.zeros(rows, self._kind), np.zeros(self.num_envs, bool),
            constraint,
        )  # fmt: skip
        for worker, request in zip(self._workers, requests, strict=True):
            worker.ask(ipc.STEP, *request)
        # Who was asked last is waited for first: to be woken by each would take the core from one that still works.
        for number, part in reversed(list(enumerate(self._slices))):
            try:
                payload = self._workers[number].answer()
            except WorkerDiedError as died:
                step.observation[part] = step.start_observation[part] = self._replace(number, died)
                step.restarted[part] = self._seeds[part] != IDLE
                continue
            found = ipc.unpack_step(payload, _length(part), rows[1], self._kind)
            for array, values in zip((*step[:6], constraint), found, strict=True):
                array[part] = values
        return step

    def _open(self) -> None:
        """Start all workers at once, then wait for them."""
        try:
            for part in self._slices:
                self._workers.append(self._start(part))
            for worker in self._workers:
                worker.wait_open()
        except WorkerDiedError as died:
            self.close()
            raise SimulatorError(f"a worker for {self.task.name} could not be started: {died}.") from died
        except BaseException:
            self.close()
            raise

    def _start(self, part: slice) -> Worker:
        return Worker(self.task, num_envs=_length(part), timeout=self._timeout)

    def _observation(self, number: int) -> np.ndarray:
        part = self._slices[number]
        payload = self._workers[number].answer()
        return ipc.unpack_observation(payload, _length(part), self.task.observation_dim, self._kind)

    def _replace(self, number: int, died: WorkerDiedError) -> np.ndarray:
        """A new worker in place of a dead one, its episodes begun again: their first observations."""
        part = self._slices[number]
        running = self._seeds[part] != IDLE
        for _ in range(MOST_DEATHS):
            death = WorkerDeath(self.task.name, tuple(self._seeds[part][running].tolist()), str(died))
            self.deaths.append(death)
            if self._on_death is not None:
                self._on_death(death)
            self._failures[part] += running
            if self._failures[part].max() >= MOST_DEATHS:
                break
            self._workers[number].kill()
            self._workers[number] = worker = self._start(part)
            try:
                worker.wait_open()
                worker.ask(ipc.RESET, ipc.pack_seeds(self._seeds[part]))
                return self._observation(number)
            except WorkerDiedError as again:
                died = again
        raise SimulatorError(
            f"task {self.task.name}: a worker died {MOST_DEATHS} times under the episodes with seeds "
            f"{self._seeds[part][running].tolist()}: {died}."
        )

    def _checked(self, seeds: Any) -> np.ndarray:
        array = np.asarray(seeds)
        if array.shape != (self.num_envs,) or array.dtype.kind not in "iu" or array.min() < IDLE:
            raise ConfigError(
                f"seeds of {self.task.name}: expected {self.num_envs} whole numbers, -1 for an idle environment, "
                f"found {seeds!r}."
            )
        return array.astype(np.int64)


def _length(part: slice) -> int:
    return part.stop - part.start
