"""Checkpoints: a folder with the arrays of a tree (safetensors, keyed by tree path) and JSON that describes them.

    checkpoint.json                 format_version, metadata, versions, keys, sha256 of the arrays' file
    arrays-<sha256>.safetensors     e.g. "critic/q_h/layers/0/kernel"

No code is stored and none is run: the structure comes from the template that the loader gives, and every array must fit
it. A kill at any moment leaves the old checkpoint or the new one complete. A new folder is written aside, synced to the
disk and renamed; in an existing folder the new arrays get a file of their own, and the JSON that names it is replaced
last.
"""

import hashlib
import json
import os
import platform
import re
from collections.abc import Mapping
from importlib import metadata as packages
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from typing_extensions import TypedDict

from surefoot.errors import CheckpointError
from surefoot.files import is_temporary, remove_folder, replacement, sweep, write_json, write_whole
from surefoot.files import remove as remove_path
from surefoot.json_files import check_json, read_json
from surefoot.numerics import pinned

FORMAT_VERSION = 1
DESCRIPTION = "checkpoint.json"
_LONGEST = 300
"""Letters of a JSON value in a message."""
_ARRAYS = re.compile(r"arrays-[0-9a-f]{16}\.safetensors")
Tree = TypeVar("Tree")


class DamagedCheckpointError(CheckpointError):
    """A folder without a complete checkpoint: half-written, truncated, changed, or something else altogether."""


@pinned(start=False)
def save(directory: str | os.PathLike[str], tree: Any, metadata: Mapping[str, Any]) -> None:
    """Write a checkpoint in one step; an older one in the folder is replaced.

    Args:
        directory: Folder of the checkpoint.
        tree: Tree of arrays.
        metadata: JSON values.

    Raises:
        CheckpointError: The folder holds something else or cannot be written; then it is unchanged.
    """
    directory = Path(directory)
    arrays, keys = _to_numpy(tree)
    content = safetensors.numpy.save(arrays)
    description = {
        "format_version": FORMAT_VERSION,
        "metadata": dict(metadata),
        "versions": versions(),
        "keys": keys,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    try:
        if directory.exists():
            _check_is_ours(directory)
            _write_into(directory, content, description)
        else:
            _write_new(directory, content, description)
    except OSError as error:
        raise CheckpointError(f"{directory}: the checkpoint cannot be written ({error.strerror or error}).") from error


@pinned()
def load(
    directory: str | os.PathLike[str], template: Tree, *, expect: Mapping[str, Any] | None = None
) -> tuple[Tree, dict[str, Any]]:
    """Read a checkpoint.

    Args:
        directory: Folder of the checkpoint.
        template: Tree of arrays or of `jax.ShapeDtypeStruct` with structure, shapes and dtypes.
        expect: Metadata that must be equal, compared as JSON; None: any.

    Returns:
        (tree of arrays, metadata).

    Raises:
        DamagedCheckpointError: The folder holds no complete checkpoint.
        CheckpointError: The checkpoint does not fit `template` or `expect`.
    """
    directory = Path(directory)
    description, content = _read_whole(directory)
    metadata = description["metadata"]
    for field, wanted in as_json(dict(expect or {})).items():
        if (found := metadata.get(field)) != wanted:
            raise CheckpointError(f"{directory}: {difference(field, wanted, found)}.")
    try:
        arrays = safetensors.numpy.load(content)
    except safetensors.SafetensorError as error:
        raise DamagedCheckpointError(f"{directory}: the arrays are not in safetensors' format ({error}).") from error
    return _fill(directory, template, arrays, description["keys"]), metadata


def step_of(directory: Path, metadata: Mapping[str, Any]) -> int:
    """Number of updates that a checkpoint's metadata count.

    Args:
        directory: Folder of the checkpoint, for messages.
        metadata: Metadata of the checkpoint.

    Returns:
        Number of updates.

    Raises:
        CheckpointError: The metadata do not say.
    """
    step = metadata.get("step")
    if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step < 2**31:
        raise CheckpointError(
            f"{directory}: metadata.step: expected a number of updates, found {json.dumps(step):.60}."
        )
    return step


def read_metadata(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """Metadata of a checkpoint, after a check of all its bytes. Raises as `load` does."""
    return _read_whole(Path(directory))[0]["metadata"]


def remove(directory: str | os.PathLike[str]) -> bool:
    """Remove a checkpoint, complete or damaged, and return whether nothing has its name any more.

    Only a checkpoint's files are removed: a folder that holds others keeps them, and a file or a link is not touched.
    """
    directory = Path(directory)
    return not directory.is_symlink() and remove_folder(directory, is_own, first=DESCRIPTION)


def is_own(path: Path) -> bool:
    """Whether a file has the name of a checkpoint's file, or of a half-written one."""
    named = path.name == DESCRIPTION or _ARRAYS.fullmatch(path.name) or is_temporary(path.name)
    return bool(named) and path.is_file() and not path.is_symlink()


def read_hash(directory: str | os.PathLike[str]) -> str:
    """SHA-256 of the arrays by the checkpoint's description; the arrays are not read. Raises as `load` does."""
    return _read_description(Path(directory))["sha256"]


def versions() -> dict[str, str]:
    """Versions on which a result depends: Python, surefoot and the numerical packages."""
    names = ("surefoot", "jax", "jaxlib", "numpy", "equinox", "optax", "safetensors")
    return {"python": platform.python_version(), **{name: packages.version(name) for name in names}}


def as_json(value: Any) -> Any:
    """Value as it comes back from JSON: tuples become lists, keys become strings."""
    return json.loads(json.dumps(value, default=_plain))


def _plain(value: Any) -> Any:
    """A number of NumPy's as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no value of JSON")


def difference(field: str, expected: Any, found: Any) -> str:
    """First difference between two JSON values, down to the entry of a dictionary.

    Args:
        field: Name of the values.
        expected: Expected value.
        found: Found value.

    Returns:
        Text "field: expected x, found y".
    """
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in [*expected, *(key for key in found if key not in expected)]:
            if key not in expected or key not in found or expected[key] != found[key]:
                return difference(f"{field}.{key}", expected.get(key), found.get(key))
    return f"{field}: expected {_brief(expected)}, found {_brief(found)}"


def _brief(value: Any) -> str:
    """A JSON value as a sentence shows it, cut where it is long."""
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


# --- writing ---------------------------------------------------------------------------------------------------------


def _write_new(directory: Path, content: bytes, description: dict[str, Any]) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    sweep(directory.parent)
    with replacement(directory) as temporary:
        temporary.mkdir()
        _write_into(temporary, content, description)


def _write_into(directory: Path, content: bytes, description: dict[str, Any]) -> None:
    """The arrays first, under a name of their own content; the JSON that points to them last, in one step."""
    arrays = directory / _arrays_name(description)
    write_whole(arrays, content)
    write_json(directory / DESCRIPTION, description)
    for old in directory.iterdir():
        if old != arrays and _ARRAYS.fullmatch(old.name):
            remove_path(old)


def _arrays_name(description: dict[str, Any]) -> str:
    return f"arrays-{description['sha256'][:16]}.safetensors"


def _check_is_ours(directory: Path) -> None:
    if not directory.is_dir() or (any(directory.iterdir()) and not (directory / DESCRIPTION).is_file()):
        raise CheckpointError(f"{directory}: expected a checkpoint or nothing to write over, found something else.")


def _to_numpy(tree: Any) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The leaves by path, and the generator of those that are PRNG keys (stored as their data)."""
    arrays: dict[str, np.ndarray] = {}
    keys: dict[str, str] = {}
    for path, leaf in _leaves(tree):
        if _is_key(leaf):
            keys[path] = str(jax.random.key_impl(leaf))
        plain = jax.random.key_data(leaf) if path in keys else leaf
        arrays[path] = np.asarray(jax.device_get(plain), order="C")
    return arrays, keys


# --- reading ---------------------------------------------------------------------------------------------------------


def _read_whole(directory: Path) -> tuple[dict[str, Any], bytes]:
    """The description and the arrays' bytes, which have the hash that the description says."""
    description = _read_description(directory)
    arrays = directory / _arrays_name(description)
    if not arrays.is_file():  # a pipe would keep us waiting for ever
        raise DamagedCheckpointError(f"{arrays}: the checkpoint's arrays cannot be read.")
    try:
        content = arrays.read_bytes()
    except OSError as error:
        raise DamagedCheckpointError(f"{arrays}: the checkpoint's arrays cannot be read.") from error
    if (found := hashlib.sha256(content).hexdigest()) != description["sha256"]:
        raise DamagedCheckpointError(
            f"{arrays}: corrupted, sha256: expected {description['sha256'][:16]}..., found {found[:16]}...."
        )
    return description, content


def _read_description(directory: Path) -> dict[str, Any]:
    """The JSON of a checkpoint, its fields checked."""
    if not directory.exists():
        raise DamagedCheckpointError(f"{directory}: there is no such checkpoint.")
    place, what = directory / DESCRIPTION, "the description of a checkpoint"
    description = read_json(place, dict[str, Any], what=what, error=DamagedCheckpointError)
    found = description.get("format_version")
    if found is None:
        raise DamagedCheckpointError(f"{directory}: not a checkpoint ({DESCRIPTION} has no format_version).")
    if found != FORMAT_VERSION or isinstance(found, bool):
        raise CheckpointError(f"{directory}: format_version: expected {FORMAT_VERSION}, found {json.dumps(found):.60}.")
    check_json(description, _Description, place=str(place), what=what, error=DamagedCheckpointError)
    if re.fullmatch("[0-9a-f]{64}", description["sha256"]) is None:
        raise DamagedCheckpointError(f"{place}: sha256: expected 64 hexadecimal digits, found something else.")
    return description


class _Description(TypedDict):
    metadata: dict[str, Any]
    keys: dict[str, str]
    sha256: str


def _fill(directory: Path, template: Tree, arrays: dict[str, np.ndarray], keys: dict[str, str]) -> Tree:
    """The template's structure with the arrays in it, each checked against the leaf whose place it takes."""
    wanted = dict(_leaves(template))
    if missing := sorted(wanted.keys() - arrays.keys()):
        raise CheckpointError(f"{directory}: array '{missing[0]}': expected {_kind(wanted[missing[0]])}, found none.")
    if extra := sorted(arrays.keys() - wanted.keys()):
        raise CheckpointError(f"{directory}: array '{extra[0]}': expected none, found {_kind(arrays[extra[0]])}.")
    leaves = []
    for path, leaf in wanted.items():
        array = _as_key(directory, path, arrays[path], keys[path]) if path in keys else arrays[path]
        if (found := _kind(array)) != (expected := _kind(leaf)):
            raise CheckpointError(f"{directory}: array '{path}': expected {expected}, found {found}.")
        _check_finite(directory, path, array)
        leaves.append(array if path in keys else jnp.array(array))
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(template), leaves)


def _check_finite(directory: Path, path: str, array: Any) -> None:
    """Training saves finite states only; networks with other numbers would act, and nobody would see it."""
    if jnp.issubdtype(array.dtype, jnp.inexact) and not (finite := np.isfinite(array)).all():
        place = tuple(np.argwhere(~finite)[0].tolist())
        raise CheckpointError(
            f"{directory}: array '{path}': expected finite numbers, found {array[place]} at {list(place)} "
            f"({int((~finite).sum())} of {finite.size} are not)."
        )


def _as_key(directory: Path, path: str, data: np.ndarray, generator: str) -> Any:
    try:
        return jax.random.wrap_key_data(jnp.array(data), impl=generator)
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"{directory}: array '{path}': expected the data of a key of JAX's, found {_kind(data)} for the generator "
            f"{generator!a:.60}."
        ) from error


def _leaves(tree: Any) -> list[tuple[str, Any]]:
    """Leaves by readable path, in the tree's order. Two leaves of one path would overwrite each other: `ValueError`."""
    leaves = [
        (jax.tree_util.keystr(path, simple=True, separator="/") or "value", leaf)
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
    ]
    if len(dict(leaves)) != len(leaves):
        raise ValueError("two arrays of the tree have the same path")
    return [(path, leaf if hasattr(leaf, "dtype") else np.asarray(leaf)) for path, leaf in leaves]


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _kind(leaf: Any) -> str:
    """Dtype and shape, as "float32[3, 5]"."""
    return f"{leaf.dtype}{list(leaf.shape)}"
