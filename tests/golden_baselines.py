"""Weights of the golden file of OSRL's methods, made of a formula, and what the file says of networks and gradients."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

GOLDEN = Path(__file__).parent / "golden"
RTOL, ATOL = 1e-4, 1e-5
PARAMETERS: dict[str, dict[str, list[Any]]] = json.loads((GOLDEN / "baselines_parameters.json").read_text())
"""Algorithm -> network -> (name, kind, shape, salt) of every array, in order."""


def golden_arrays() -> dict[str, np.ndarray]:
    """The whole file."""
    with np.load(GOLDEN / "baselines.npz") as archive:
        return {key: archive[key] for key in archive.files}


def close(ours: Any, theirs: Any, *, rtol: float = RTOL, atol: float = ATOL) -> None:
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=rtol, atol=atol)


def array_of(kind: str, shape: list[int], salt: float) -> np.ndarray:
    """An array by its kind; element i in C order is a function of sin(0.731 i + salt)."""
    s = np.sin(0.731 * np.arange(np.prod(shape)) + salt).reshape(shape)
    if kind == "kernel":
        return (np.sqrt(2.0 / shape[-2]) * s).astype(np.float32)
    scale, shift = {"bias": (0.1, 0.0), "scale": (0.1, 1.0), "embedding": (0.2, 0.0)}[kind]
    return (shift + scale * s).astype(np.float32)


def filled(module: Any, algorithm: str, network: str) -> Any:
    """A module whose arrays, in the order of its leaves, are the file's of that network."""
    leaves, structure = jax.tree.flatten(module)
    arrays = [array_of(kind, shape, salt) for _, kind, shape, salt in PARAMETERS[algorithm][network]]
    assert [array.shape for array in arrays] == [leaf.shape for leaf in leaves], (algorithm, network)
    return jax.tree.unflatten(structure, [jnp.asarray(array) for array in arrays])


def check_gradient(gradient: Any, expected: np.ndarray) -> None:
    """Each array's L2 norm and its sum of g_i sin(0.731 i), of a gradient with the file's order of leaves."""
    leaves = [np.asarray(leaf, np.float64).reshape(-1) for leaf in jax.tree.leaves(gradient)]
    assert len(leaves) == len(expected)
    for leaf, (norm, projection) in zip(leaves, expected, strict=True):
        close(np.sqrt((leaf**2).sum()), norm)
        close((leaf * np.sin(0.731 * np.arange(leaf.size))).sum(), projection)


def check_moved(before: Any, after: Any, expected: np.ndarray) -> None:
    """Each array's sum, L2 norm and sum of absolute changes after a step."""
    pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), expected, strict=True)
    for old, new, (total, norm, moved) in pairs:
        was, now = np.asarray(old, np.float64), np.asarray(new, np.float64)
        # The sum of n signed float32 numbers is only known to their rounding.
        close(now.sum(), total, atol=ATOL + 1e-7 * np.abs(now).sum())
        close(np.sqrt((now**2).sum()), norm)
        close(np.abs(now - was).sum(), moved, rtol=1e-3)
