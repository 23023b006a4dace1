"""TensorBoard's events of one seed, written by the caller's thread.

tensorboardX's own writer hands them to a thread, which a full disk ends; the next but nine then waits for ever.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]


class TensorBoard:
    """Events in `folder`; TensorBoard hides those after `step` updates that an earlier process left."""

    def __init__(self, folder: Path, *, step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # The process and the step in the name keep a run that resumes within a second from writing over the events of
        # the one before.
        self._writer = EventsWriter(str(folder / "events"), f".{os.getpid()}.{step}")
        self._write(Event(step=step + 1, file_version="brain.Event:2"))
        self._write(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add metrics.

        Args:
            step: Updates done.
            values: Metrics by name.
        """
        for name, value in values.items():
            self._write(Event(step=step, summary=summary.scalar(name, value)))

    def flush(self) -> None:
        """Hand the events to the operating system."""
        self._writer.flush()

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._writer.write_event(event)
