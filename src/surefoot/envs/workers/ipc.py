"""How a worker and its owner speak: framed binary messages over two pipes. Needs NumPy only; never pickle.

A message is one byte that names it, the payload's length as a little-endian 32-bit number, and the payload: arrays in
a fixed order as raw little-endian bytes, or JSON where named. Shapes follow from k environments, o and a numbers.
Images are flat and uint8 instead of float32:

    request                                  answer: 'd' and
    'o'  JSON: num_envs, the task's facts     JSON: num_envs, observation_dim, action_dim, frames_per_second, horizon
    'r'  seeds int64 [k]                     observation float32 [k, o]
    's'  next_seeds int64 [k],               observation float32 [k, o], reward and cost float64 [k],
         actions float64 [k, a]              terminated and truncated bool [k], start_observation float32 [k, o],
                                             constraint float64 [k]
    'c'  nothing                             CPU seconds of the process so far, float64 [1]
    'w'  JSON: a whole episode's description what the worker's own function makes of it, as bytes
    'q'                                      none; the worker ends

An answer 'e' holds a sentence instead: what went wrong, for the user. A worker that is gone answers nothing.
"""

import json
import math
import os
import select
import signal
import struct
import sys
import time
from typing import IO, Any, Callable, NamedTuple  # noqa: UP035 (this file runs on the Pythons of old simulators)

import numpy as np

OPEN, RESET, STEP, CPU, EPISODE, QUIT, DATA, ERROR = b"o", b"r", b"s", b"c", b"w", b"q", b"d", b"e"
NUMBERS, PIXELS = "<f4", "u1"
"""What observations are made of."""
_HEAD = struct.Struct("<cI")
BRISK_SECONDS = 5e-4
"""Seconds that a worker polls for its next request before it sleeps, if its last one came within such a time."""


class Opened(NamedTuple):
    """The environments that a worker opened."""

    envs: Any
    """A `LocalEnvs`."""
    facts: dict
    """Its answer: num_envs, observation_dim, action_dim, frames_per_second, horizon."""
    episode: Any = None
    """Function that runs a whole episode: its description -> bytes."""


def send(pipe: IO, kind: bytes, *parts: bytes) -> None:
    """Write one message.

    Args:
        pipe: The pipe.
        kind: One byte that names the message.
        parts: Parts of the payload.
    """
    payload = b"".join(parts)
    pipe.write(_HEAD.pack(kind, len(payload)) + payload)
    pipe.flush()


def receive(pipe: IO) -> tuple:
    """Read one message: its kind and its payload. Raises `EOFError` where the other side is gone."""
    kind, length = _HEAD.unpack(_exactly(pipe, _HEAD.size))
    return kind, _exactly(pipe, length)


def pack_step(step: Any) -> tuple:
    """A `Step` as the parts of a message."""
    return (
        _observations(step.observation), _raw(step.reward, "<f8"), _raw(step.cost, "<f8"),
        _raw(step.terminated, "?"), _raw(step.truncated, "?"), _observations(step.start_observation),
        _raw(step.constraint, "<f8"),
    )  # fmt: skip


def unpack_step(payload: bytes, num_envs: int, observation_dim: int, kind: str = NUMBERS) -> tuple:
    """The fields of a `Step` in a message, except `restarted`.

    Args:
        payload: Payload of the message.
        num_envs: Number n of environments.
        observation_dim: Numbers of an observation.
        kind: Number format of observations.

    Returns:
        The fields, in the order of `Step`.
    """
    reader = _Reader(payload)
    rows = (num_envs, observation_dim)
    return (
        reader.take(kind, rows), reader.take("<f8", (num_envs,)), reader.take("<f8", (num_envs,)),
        reader.take("?", (num_envs,)), reader.take("?", (num_envs,)), reader.take(kind, rows),
        reader.take("<f8", (num_envs,)),
    )  # fmt: skip


def pack_actions(next_seeds: np.ndarray, actions: np.ndarray) -> tuple:
    """The parts of a request to step.

    Args:
        next_seeds: Seeds of the next episodes, [n].
        actions: Actions, [n, act].

    Returns:
        The parts.
    """
    return _raw(next_seeds, "<i8"), _raw(actions, "<f8")


def pack_seeds(seeds: np.ndarray) -> bytes:
    return _raw(seeds, "<i8")


def unpack_observation(payload: bytes, num_envs: int, observation_dim: int, kind: str = NUMBERS) -> np.ndarray:
    """The observations in a message.

    Args:
        payload: Payload of the message.
        num_envs: Number n of environments.
        observation_dim: Numbers of an observation.
        kind: Number format of observations.

    Returns:
        Observations, [n, obs].
    """
    return _Reader(payload).take(kind, (num_envs, observation_dim))


def serve(open_envs: Callable[[dict], Opened], user_errors: tuple) -> None:
    """Answer requests on this process's stdin and stdout until the owner quits or is gone.

    Args:
        open_envs: Makes the environments of an 'o' request.
        user_errors: Exceptions that are answered with their sentence; others end the process with a traceback on
            stderr, as a crash would.
    """
    # Slurm and a closing terminal tell all processes to end: when this one does is the owner's affair.
    for name in {"SIGINT", "SIGTERM", "SIGHUP"} & set(dir(signal)):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    # Unbuffered: what is still to come can be waited for, with nothing kept back.
    requests, answers = os.fdopen(os.dup(0), "rb", 0), os.fdopen(os.dup(1), "wb")
    lookout = _Lookout(requests.fileno())
    # Simulators print; from here on that goes to stderr and cannot break a message.
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    opened = None
    while True:
        lookout.wait()
        try:
            kind, payload = receive(requests)
        except EOFError:
            break
        if kind == QUIT:
            break
        try:
            if kind == OPEN:
                opened = open_envs(json.loads(payload.decode()))
                parts = (json.dumps(opened.facts).encode(),)
            elif opened is None:
                raise ValueError("the worker was asked to step before it was opened")
            else:
                parts = _answer(opened, kind, payload)
        except user_errors as error:
            send(answers, ERROR, str(error).encode())
            continue
        try:
            send(answers, DATA, *parts)
        except BrokenPipeError:
            break
    if opened is not None:
        opened.envs.close()


def _answer(opened: Opened, kind: bytes, payload: bytes) -> tuple:
    reader, num_envs = _Reader(payload), opened.facts["num_envs"]
    if kind == RESET:
        return (_observations(opened.envs.reset(reader.take("<i8", (num_envs,)))),)
    if kind == STEP:
        next_seeds = reader.take("<i8", (num_envs,))
        return pack_step(opened.envs.step(reader.take("<f8", (num_envs, opened.facts["action_dim"])), next_seeds))
    if kind == CPU:
        return (_raw(np.array([time.process_time()]), "<f8"),)
    if kind == EPISODE and opened.episode is not None:
        return (opened.episode(json.loads(payload.decode())),)
    raise ValueError("unknown request {!r}".format(kind))  # noqa: UP032


class _Lookout:
    """Waits until a pipe has something to read, or nobody who could write.

    Waking a process takes 0.05 to 0.1 ms on a virtual machine, for every worker in every step. So one whose requests
    follow each other closely stays awake, giving way to whoever else wants its core; beside a slow policy it sleeps.
    """

    def __init__(self, descriptor: int) -> None:
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._brisk = False

    def wait(self) -> None:
        began = time.perf_counter()
        while self._brisk and not self._poll.poll(0) and time.perf_counter() - began < BRISK_SECONDS:
            _give_way()
        self._poll.poll()
        self._brisk = time.perf_counter() - began < BRISK_SECONDS


def _give_way() -> None:
    if hasattr(os, "sched_yield"):
        os.sched_yield()
    else:
        time.sleep(0)


class _Reader:
    """Arrays out of a payload, one after the other; they are the caller's own, and writable."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._offset = 0

    def take(self, dtype: str, shape: tuple) -> np.ndarray:
        count = math.prod(shape)
        array = np.frombuffer(self._payload, dtype, count, self._offset).reshape(shape).copy()
        self._offset += array.nbytes
        return array


def _observations(array: np.ndarray) -> bytes:
    return _raw(array, PIXELS if array.dtype == np.uint8 else NUMBERS)


def _raw(array: np.ndarray, dtype: str) -> bytes:
    return np.ascontiguousarray(array, dtype).tobytes()


def _exactly(pipe: IO, length: int) -> bytes:
    content = b""
    while len(content) < length:
        part = pipe.read(length - len(content))
        if not part:
            raise EOFError("the other side of the pipe is gone")
        content = content + part if content else part
    return content
