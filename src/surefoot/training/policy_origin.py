"""Origin of a loaded policy, by which another process loads an equal one."""

from typing import Any, NamedTuple


class Origin(NamedTuple):
    """Checkpoint that a policy was loaded from: enough to load an equal policy in another process."""

    path: str
    """Folder of the run, absolute."""
    seed: int
    """Training seed."""
    checkpoint: str
    """Name of the checkpoint's folder."""
    sha256: str
    """Hash of the checkpoint's arrays."""
    overrides: dict[str, Any]
    """Hyper-parameters in place of the run's."""
    kind: type[Any]
    """Class of the algorithm."""
