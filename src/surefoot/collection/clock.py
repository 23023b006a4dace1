"""Seconds of a collection, over all its processes."""

import time
from typing import Annotated, Any, NotRequired

from annotated_types import Ge
from typing_extensions import TypedDict

from surefoot.system import cpu_seconds


class Times(TypedDict):
    """Times in the metadata of a learner's checkpoint, and the number of the collection's parts."""

    wall_seconds: Annotated[float, Ge(0)]
    cpu_seconds: Annotated[float, Ge(0)]
    starts: Annotated[int, Ge(0)]
    parts: NotRequired[Annotated[int, Ge(0)]]


class Clock:
    """Seconds of this process and its workers, added to those of earlier processes."""

    def __init__(self, metadata: dict[str, Any]) -> None:
        """`metadata`: of the last checkpoint, or `NO_TIME`."""
        self._before = metadata
        self._wall, self._cpu = time.perf_counter(), cpu_seconds()

    def read(self) -> dict[str, Any]:
        """Sums so far, as entries of the metadata."""
        return {
            "wall_seconds": self._before["wall_seconds"] + time.perf_counter() - self._wall,
            "cpu_seconds": self._before["cpu_seconds"] + cpu_seconds() - self._cpu,
            "starts": self._before["starts"] + 1,
        }


NO_TIME: dict[str, Any] = {"wall_seconds": 0.0, "cpu_seconds": 0.0, "starts": 0}
"""Times of a collection that has not begun."""


def times(metadata: dict[str, Any]) -> dict[str, Any]:
    """Times of a collection for its data card."""
    return {
        "wall_seconds": round(metadata["wall_seconds"], 1),
        "cpu_seconds": round(metadata["cpu_seconds"], 1),
        "processes": metadata["starts"],
    }
