"""NPZ files of a run's folder, written in one step and read as declared."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from surefoot.data.npz_files import Field, check_fields, read_npz
from surefoot.errors import ConfigError, DataError
from surefoot.files import write_whole


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an .npz file in one step.

    Args:
        path: The file.
        arrays: Arrays by name.
    """
    write_whole(path, npz_content(arrays))


def npz_content(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Content of an .npz file with these arrays."""
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def read_arrays(path: Path, *groups: Mapping[str, Field], what: str = "arrays") -> dict[str, np.ndarray]:
    """Read the declared arrays of an .npz file.

    Args:
        path: The file.
        groups: Name -> dtype and axes; each group is there as a whole or not at all.
        what: What the file is expected to hold, for errors.

    Returns:
        Arrays by name; empty where there is no file.

    Raises:
        ConfigError: The file cannot be read so.
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
