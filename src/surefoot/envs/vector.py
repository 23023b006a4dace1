"""Many episodes of one task at once, over worker processes: one batched call of a policy serves all lanes of a step.

A worker that dies is replaced and its running episodes are begun again with the same seeds, so that nothing is lost
and nothing is counted twice: the caller throws away what it holds of an episode that is reported as restarted.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float, Int

from surefoot.envs.simulators import SimulatedTask, make
from surefoot.envs.workers import wire
from surefoot.envs.workers.commands import start_of
from surefoot.envs.workers.lanes import IDLE, Lanes, LanesStep
from surefoot.envs.workers.process import ANSWER_SECONDS, Worker, WorkerDiedError
from surefoot.errors import ConfigError, SimulatorError
from surefoot.ranges import check_count

MOST_DEATHS = 3
"""Of workers under one episode, before it is given up."""


class VectorStep(NamedTuple):
    """One step of n lanes. Rows of idle lanes are zeros."""

    observation: Float[np.ndarray, "n obs"]
    """The state entered, before any reset; float32, flat uint8 for images. Where `restarted`, the episode's first
    observation."""
    reward: Float[np.ndarray, " n"]
    cost: Float[np.ndarray, " n"]
    terminated: Bool[np.ndarray, " n"]
    truncated: Bool[np.ndarray, " n"]
    start_observation: Float[np.ndarray, "n obs"]
    """What to act on next: where an episode ended, the first observation of the next; else `observation`."""
    restarted: Bool[np.ndarray, " n"]
    """The lane's worker died: its episode begins again with the same seed, and what was seen of it must be dropped."""


class WorkerDeath(NamedTuple):
    """What is known of a worker that died."""

    task: str
    seeds: tuple[int, ...]
    """Of the episodes that it ran; each begins again."""
    how: str
    """Its signal or exit code, and its last words."""

    @property
    def sentence(self) -> str:
        """What a user is told."""
        seeds = ", ".join(map(str, self.seeds))
        return f"a process that simulates {self.task} died ({self.how}); its episodes begin again, seeds {seeds}."


class VectorSimulator:
    """`count` lanes of a task; a context manager.

    Every lane runs the episodes of the seeds that it is given, so that results do not depend on the number of workers.
    `deaths` lists the workers that died so far.
    """

    def __init__(
        self,
        task: SimulatedTask,
        *,
        count: int,
        workers: int,
        on_death: Callable[[WorkerDeath], None] | None = None,
        timeout: float = ANSWER_SECONDS,
    ) -> None:
        """`workers`: processes that share the lanes, 0 for this process; `on_death` is told of each that dies.

        Each lane of MetaDrive is a process of its own; there, with any number of workers, all lanes step at once, with
        0 one after the other.

        Raises `SimulatorError` where the simulator cannot be opened, `ConfigError` for other numbers.
        """
        check_count(count, f"lanes of {task.name}", "[1, 65536]")
        check_count(workers, f"workers of {task.name}", "[0, 1024]")
        self.task = task
        self.count = count
        self.deaths: list[WorkerDeath] = []
        # Images travel flat, as they are.
        self._kind = wire.NUMBERS if task.vision is None else wire.PIXELS
        self._on_death = on_death
        self._timeout = timeout
        self._seeds = np.full(count, IDLE, np.int64)
        self._failures = np.zeros(count, np.int64)
        self._here: Lanes | None = None
        self._workers: list[Worker] = []
        self._slices: list[slice] = []
        if workers == 0:
            environments = [make(task) for _ in range(count)]
            self._here = Lanes(environments, observation_dim=task.observation_dim, kind=self._kind)
        else:
            # MetaDrive has one simulation a process: as many processes as lanes.
            processes = count if task.suite == "metadrive" else min(workers, count)
            bounds = np.linspace(0, count, processes + 1).round().astype(int).tolist()
            self._slices = [slice(low, high) for low, high in itertools.pairwise(bounds)]
            self._open()

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
        """Of the workers."""
        return [worker.process_id for worker in self._workers]

    def reset(self, seeds: Int[np.ndarray, " n"] | Sequence[int]) -> Float[np.ndarray, "n obs"]:
        """Begin an episode in every lane, whatever ran there; -1 leaves a lane idle. Returns first observations."""
        self._seeds = self._checked(seeds)
        self._failures[:] = 0
        if self._here is not None:
            return self._here.reset(self._seeds)
        for worker, lanes in zip(self._workers, self._slices, strict=True):
            worker.ask(wire.RESET, wire.pack_seeds(self._seeds[lanes]))
        observation = np.zeros((self.count, self.task.observation_dim), self._kind)
        for number, lanes in enumerate(self._slices):
            try:
                observation[lanes] = self._observation(number)
            except WorkerDiedError as died:
                observation[lanes] = self._replace(number, died)
        return observation

    def step(
        self, actions: Float[np.ndarray, "n act"], next_seeds: Int[np.ndarray, " n"] | Sequence[int]
    ) -> VectorStep:
        """Step all lanes; next_seeds[i] is begun in lane i if its episode ends (-1: the lane is idle from then on)."""
        seeds = self._checked(next_seeds)
        actions = np.asarray(actions, np.float64)
        if actions.shape != (self.count, self.task.action_dim):
            expected = (self.count, self.task.action_dim)
            raise ConfigError(f"actions of {self.task.name}: expected the shape {expected}, found {actions.shape}.")
        restarted = np.zeros(self.count, bool)
        if self._here is not None:
            step = self._here.step(actions, seeds)
        else:
            step = self._step_workers(actions, seeds, restarted)
        ended = step.terminated | step.truncated
        self._seeds = np.where(ended, seeds, self._seeds)
        self._failures[ended] = 0
        return VectorStep(*step, restarted)

    def _step_workers(self, actions: np.ndarray, seeds: np.ndarray, restarted: np.ndarray) -> LanesStep:
        requests = [wire.pack_actions(seeds[lanes], actions[lanes]) for lanes in self._slices]
        rows = (self.count, self.task.observation_dim)
        step = LanesStep(
            np.zeros(rows, self._kind), np.zeros(self.count), np.zeros(self.count), np.zeros(self.count, bool),
            np.zeros(self.count, bool), np.zeros(rows, self._kind),
        )  # fmt: skip
        for worker, request in zip(self._workers, requests, strict=True):
            worker.ask(wire.STEP, *request)
        # Who was asked last is waited for first: to be woken by each would take the core from one that still works.
        for number, lanes in reversed(list(enumerate(self._slices))):
            try:
                payload = self._workers[number].answer()
            except WorkerDiedError as died:
                step.observation[lanes] = step.start_observation[lanes] = self._replace(number, died)
                restarted[lanes] = self._seeds[lanes] != IDLE
                continue
            for array, part in zip(step, wire.unpack_step(payload, _length(lanes), rows[1], self._kind), strict=True):
                array[lanes] = part
        return step

    def _open(self) -> None:
        """Start all workers at once, then wait for them."""
        try:
            for lanes in self._slices:
                self._workers.append(self._start(lanes))
            for worker in self._workers:
                worker.wait_open()
        except WorkerDiedError as died:
            self.close()
            raise SimulatorError(f"a worker for {self.task.name} could not be started: {died}.") from died
        except BaseException:
            self.close()
            raise

    def _start(self, lanes: slice) -> Worker:
        return Worker(self.task, lanes=_length(lanes), start=start_of(self.task.suite), timeout=self._timeout)

    def _observation(self, number: int) -> np.ndarray:
        lanes = self._slices[number]
        payload = self._workers[number].answer()
        return wire.unpack_observation(payload, _length(lanes), self.task.observation_dim, self._kind)

    def _replace(self, number: int, died: WorkerDiedError) -> np.ndarray:
        """A new worker in place of a dead one, its episodes begun again: their first observations."""
        lanes = self._slices[number]
        running = self._seeds[lanes] != IDLE
        for _ in range(MOST_DEATHS):
            death = WorkerDeath(self.task.name, tuple(self._seeds[lanes][running].tolist()), str(died))
            self.deaths.append(death)
            if self._on_death is not None:
                self._on_death(death)
            self._failures[lanes] += running
            if self._failures[lanes].max() >= MOST_DEATHS:
                break
            self._workers[number].kill()
            self._workers[number] = worker = self._start(lanes)
            try:
                worker.wait_open()
                worker.ask(wire.RESET, wire.pack_seeds(self._seeds[lanes]))
                return self._observation(number)
            except WorkerDiedError as again:
                died = again
        raise SimulatorError(
            f"task {self.task.name}: a worker died {MOST_DEATHS} times under the episodes with seeds "
            f"{self._seeds[lanes][running].tolist()}: {died}."
        )

    def _checked(self, seeds: Any) -> np.ndarray:
        array = np.asarray(seeds)
        if array.shape != (self.count,) or array.dtype.kind not in "iu" or array.min() < IDLE:
            raise ConfigError(
                f"seeds of {self.task.name}: expected {self.count} whole numbers, -1 for an idle lane, found {seeds!r}."
            )
        return array.astype(np.int64)


def _length(lanes: slice) -> int:
    return lanes.stop - lanes.start
