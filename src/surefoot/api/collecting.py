"""`surefoot.collect`: collection of a task's data into a file."""

import os
from pathlib import Path
from typing import Any

from surefoot.api.options import known_options
from surefoot.experiments.collect import collect as collect_data
from surefoot.experiments.collect_request import CollectRequest
from surefoot.observer import Observer


def collect(task: str, out: str | os.PathLike[str], *, observer: Observer | None = None, **options: Any) -> Path:
    """Collect data of a task, as `surefoot collect` does; `Episodes.from_file` reads them.

    Args:
        task: Name of a task, or the path of a task file with an environment.
        out: File to write; for images of a robot's cameras a folder.
        observer: Is told progress and remarks; None: remarks become Python warnings.
        options: As in `CollectRequest`: `transitions`, `seed`, `policy`, `episodes`, `noise`, `steps`, `recipe`,
            `workers`, `overwrite`.

    Returns:
        The file or folder.

    Raises:
        ConfigError: The file exists, or an option cannot be used; raised before any work.
    """
    given = known_options(CollectRequest, options)
    request = CollectRequest(**{"task": str(task), "out": Path(out), **given})
    collect_data(request, given=tuple(options), observer=observer)
    return request.out
