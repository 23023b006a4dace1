"""`surefoot.collect`: data of a task into a file."""

import os
from pathlib import Path
from typing import Any

from surefoot.api.options import known_options
from surefoot.experiments.collect import collect as collect_data
from surefoot.experiments.collect_request import CollectRequest
from surefoot.observer import Observer


def collect(task: str, out: str | os.PathLike[str], *, observer: Observer | None = None, **options: Any) -> Path:
    """Collect data as `surefoot collect` does, and return where they lie; `Episodes.from_file` reads them.

    Args:
        task: Name of a task, or the path of a task file with an environment.
        out: File to write; for images of a robot's cameras a folder.
        observer: Hears of progress and remarks.
        options: As in `CollectRequest`: `transitions`, `seed`, `policy`, `episodes`, `noise`, `steps`, `recipe`,
            `workers`, `overwrite`.

    Raises:
        ConfigError: Before any work, where the file exists or an option cannot be used.
    """
    given = known_options(CollectRequest, options)
    request = CollectRequest(**{"task": str(task), "out": Path(out), **given})
    collect_data(request, given=tuple(options), observer=observer)
    return request.out
