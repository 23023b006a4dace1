"""Arrays of a run's folder: NPZ files that are written at once and read as declared."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from surefoot.data.npz_files import Field, check_fields, read_npz
from surefoot.errors import ConfigError, DataError
from surefoot.files import write_whole


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """An .npz file in one step."""
    write_whole(path, npz_content(arrays))


def npz_content(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays as the content of an .npz file."""
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def read_arrays(path: Path, *groups: Mapping[str, Field], what: str = "arrays") -> dict[str, np.ndarray]:
    """The arrays of such a file that `groups` declare, each group as a whole or not at all; empty where there is none.

    Raises `ConfigError` where it cannot be read as `what`.
    """
    if not path.exists():
        return {}
    try:
        arrays = read_npz(path, only=set().union(*groups))
        for group in groups:
            if group.keys() & arrays.keys():
                check_fields(path, arrays, group)
    except DataError as error:
        detail = str(error).removeprefix(f"{path}: ").removesuffix(".")
        raise ConfigError(
            f"{path}: expected {what}, found a file that cannot be read ({detail}); evaluate again."
        ) from error
    return arrays
