"""Tests that run in a process of their own."""

import functools
import importlib
from collections.abc import Callable
from multiprocessing import get_context
from typing import Any


def isolated(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in a process of its own: for what a process does not give back, as the memory of OpenGL's pictures."""

    @functools.wraps(test)
    def run(**arguments: Any) -> None:
        process = get_context("spawn").Process(target=_call, args=(test.__module__, test.__name__, arguments))
        process.start()
        process.join()
        assert process.exitcode == 0, "its traceback stands in what was written to stderr"

    return run


def _call(module: str, name: str, arguments: dict[str, Any]) -> None:
    vars(importlib.import_module(module))[name].__wrapped__(**arguments)
