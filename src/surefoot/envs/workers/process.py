"""A worker process from its owner's side: started, asked, and checked for its death."""

import dataclasses
import json
import select
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import Any

from surefoot.envs.workers import ipc
from surefoot.envs.workers.commands import start_of
from surefoot.errors import SimulatorError
from surefoot.tasks import Task

ANSWER_SECONDS = 300.0
"""Seconds without an answer after which a worker counts as dead."""
_QUIT_SECONDS = 5.0


class WorkerDiedError(Exception):
    """The process ended, or answered nothing in time. The message tells how it ended, and its last words."""


class Worker:
    """Environments of one task in a process of their own."""

    def __init__(self, task: Task, *, num_envs: int, timeout: float = ANSWER_SECONDS) -> None:
        """Start the process and send it its task; `wait_open` reads the answer, so that several start at once.

        Args:
            task: The task; where it names an isolated virtual environment, the process runs in that.
            num_envs: Environments in the process.
            timeout: Seconds without an answer after which the process counts as dead, and is killed.

        Raises:
            SimulatorError: On Windows, and where the task's virtual environment is not installed.
        """
        if sys.platform == "win32":  # its pipes cannot be waited for with a time limit
            raise SimulatorError(f"task {task.name}: simulators in processes of their own do not run on Windows.")
        command, environment = start_of(task.isolated)
        self._timeout = timeout
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 (what it prints, as long as it lives)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env=environment,
            # Ctrl-C is the owner's affair; a worker ends when its stdin does, however the owner went.
            process_group=0,
        )
        request = {"task": dataclasses.asdict(task), "num_envs": num_envs}
        self.ask(ipc.OPEN, json.dumps(request).encode())

    @property
    def process_id(self) -> int:
        return self._process.pid

    def wait_open(self) -> dict[str, Any]:
        """The facts that the worker answers with. Raises the errors of `answer`."""
        return json.loads(self.answer().decode())

    def ask(self, kind: bytes, *parts: bytes) -> None:
        """Send a request; a dead process is noticed by `answer`.

        Args:
            kind: One byte that names the request.
            parts: Parts of its payload.
        """
        assert self._process.stdin is not None
        with suppress(BrokenPipeError, ValueError):
            ipc.send(self._process.stdin, kind, *parts)

    def answer(self) -> bytes:
        """Wait for the answer's payload. Raises `SimulatorError` with the worker's sentence, or `WorkerDiedError`."""
        pipe = self._process.stdout
        assert pipe is not None
        if not select.select([pipe], [], [], self._timeout)[0]:
            self.kill()
            raise WorkerDiedError(f"no answer for {self._timeout:g} seconds")
        try:
            kind, payload = ipc.receive(pipe)
        except EOFError as error:
            raise WorkerDiedError(self._last_words()) from error
        if kind == ipc.ERROR:
            raise SimulatorError(payload.decode())
        return payload

    def kill(self) -> None:
        """End the process now."""
        self._process.kill()
        self._close()

    def close(self) -> None:
        """End the process, asking first."""
        self.ask(ipc.QUIT)
        try:
            self._process.wait(_QUIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._close()

    def _close(self) -> None:
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # what was left to write has no reader
                pipe.close()
        self._words.close()

    def _last_words(self) -> str:
        code = self._process.wait()
        self._words.seek(0)
        lines = [line for line in self._words.read().decode(errors="replace").splitlines() if line.strip()]
        ended = f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"{ended}, saying '{lines[-1].strip()}'" if lines else ended
