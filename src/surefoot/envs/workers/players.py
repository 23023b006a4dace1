"""Worker processes that run whole episodes, side by side: of scripted behaviors in tasks with cameras, and of
controllers in environments of other people."""

import json
import queue
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import safetensors.numpy

from surefoot.envs.simulators import make
from surefoot.envs.vector import WorkerDeath
from surefoot.envs.workers import ipc
from surefoot.envs.workers.episodes import arrays_of_episode
from surefoot.envs.workers.process import Worker, WorkerDiedError
from surefoot.envs.workers.vector import MOST_DEATHS
from surefoot.errors import SimulatorError
from surefoot.tasks import Task

Result = TypeVar("Result")
Arrays = dict[str, np.ndarray]
"""Arrays of an episode, as `workers.episodes.arrays_of_episode` returns them."""


class EpisodeRequest(Protocol):
    """Description of an episode, a named tuple."""

    @property
    def seed(self) -> int: ...
    def _asdict(self) -> dict[str, Any]: ...


class Players:
    """`workers` processes that play episodes of a task, 0 for this process; a context manager.

    An episode whose worker dies is played again by a new one, with equal seeds; `on_death` is called.
    """

    def __init__(
        self, task: Task, *, workers: int, on_death: Callable[[WorkerDeath], None] = lambda death: None
    ) -> None:
        self._task, self._on_death = task, on_death
        self._here, self._count = workers == 0, max(workers, 1)
        self._idle: queue.Queue[_Player] = queue.Queue()
        self._players = [_Player(task, here=self._here) for _ in range(self._count)]
        for player in self._players:
            self._idle.put(player)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for player in self._players:
            player.close()

    def play(
        self, episodes: Iterable[tuple[int, EpisodeRequest]], keep: Callable[[int, Arrays], Result]
    ) -> Iterator[Result]:
        """Play episodes.

        Args:
            episodes: Number and description of each episode.
            keep: Called with the number and the arrays of each episode, in threads, one a worker; its exceptions end
                the work.

        Yields:
            Result of `keep` for every episode, in the order in which the episodes end.

        Raises:
            SimulatorError: An episode killed too many workers.
        """
        waiting = iter(episodes)
        if self._here:
            # A context of OpenGL belongs to one thread: this one, which will close it, too.
            yield from (self._one(number, order, keep) for number, order in waiting)
            return
        with ThreadPoolExecutor(self._count) as pool:
            running: set[Future[Result]] = set()
            try:
                while True:
                    while len(running) < 2 * self._count and (order := next(waiting, None)) is not None:
                        running.add(pool.submit(self._one, *order, keep))
                    if not running:
                        return
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
            finally:
                for future in running:
                    future.cancel()

    def _one(self, number: int, order: EpisodeRequest, keep: Callable[[int, Arrays], Result]) -> Result:
        player = self._idle.get()
        try:
            episode = self._persist(player, order)
        finally:
            self._idle.put(player)
        return keep(number, episode)

    def _persist(self, player: "_Player", order: EpisodeRequest) -> Arrays:
        deaths = 0
        while True:
            try:
                return player.play(order)
            except WorkerDiedError as died:
                deaths += 1
                player.close()
                self._on_death(WorkerDeath(self._task.name, (order.seed,), str(died)))
                if deaths == MOST_DEATHS:
                    raise SimulatorError(
                        f"task {self._task.name}: a worker died {deaths} times under the episode with seed "
                        f"{order.seed}: {died}."
                    ) from died


class _Player:
    """One worker, started when it is first needed, or this process."""

    def __init__(self, task: Task, *, here: bool) -> None:
        self._task, self._here = task, here
        self._open: Any = None

    def play(self, order: EpisodeRequest) -> Arrays:
        if self._here:
            self._open = make(self._task) if self._open is None else self._open
            return arrays_of_episode(self._open, order._asdict())
        if self._open is None:
            self._open = self._opened()
        self._open.ask(ipc.EPISODE, json.dumps(order._asdict()).encode())
        return safetensors.numpy.load(self._open.answer())

    def _opened(self) -> Worker:
        """A worker that is ready: one that could not open the task is asked for no episode."""
        worker = Worker(self._task, num_envs=1)
        try:
            worker.wait_open()
        except BaseException:
            worker.close()
            raise
        return worker

    def close(self) -> None:
        """End it; the next episode starts another."""
        if self._open is not None:
            with suppress(WorkerDiedError):
                self._open.close()
            self._open = None
