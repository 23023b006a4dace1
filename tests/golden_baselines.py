"""Weights of the golden file of OSRL's methods, made of a formula, and what the file says of networks and gradients."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms import baseline
from surefoot.nn.offline import Trained, descend, start_training
from surefoot.types import Transition

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


def golden_batch(golden: dict[str, np.ndarray]) -> Transition:
    """The file's batch. Only whether an episode ends is told apart, not why."""
    fields = {"observation": "observations", "action": "actions", "next_observation": "next_observations"}
    fields |= {"reward": "rewards", "cost": "costs", "terminated": "done"}
    given = {ours: jnp.asarray(golden[f"batch/{theirs}"], jnp.float32) for ours, theirs in fields.items()}
    rest = [name for name in Transition._fields if name not in given]
    return Transition(**given, **dict.fromkeys(rest, jnp.zeros_like(given["reward"])))


@contextmanager
def captured_gradients(module: ModuleType) -> Iterator[list[Any]]:
    """The gradients of an update's losses, in its order: of what is traced inside, by an algorithm of that module."""
    found: list[Any] = []

    def keep(trained: Any, loss: Any, *, learning_rate: float) -> Any:
        found.append(jax.grad(loss, has_aux=True)(trained.network)[0])
        return descend(trained, loss, learning_rate=learning_rate)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baseline, "descend", keep)
        patch.setattr(module, "descend", keep)
        yield found


def filled_networks(state: Any, algorithm: str, rates: dict[str, float]) -> Any:
    """A baseline's first state with the file's weights; learning rates by the file's names of networks."""

    def network(trained: Trained, name: str) -> Trained:
        made = start_training(filled(trained.network, algorithm, name), rates[name], with_target=False)
        target = f"{name}_target"
        return made if trained.target is None else made._replace(target=filled(trained.target, algorithm, target))

    critics = type(state.critics)(*map(network, state.critics, ("critic", "cost_critic")))
    return state._replace(actor=network(state.actor, "actor"), critics=critics, vae=network(state.vae, "vae"))


def check_parameters(golden: dict[str, np.ndarray], algorithm: str, before: Any, after: Any) -> None:
    """Every network of a baseline's state, and every moving average, after an update."""

    def networks(state: Any) -> dict[str, Trained]:
        critics = {"critic": state.critics.reward, "cost_critic": state.critics.cost}
        return critics | {"actor": state.actor, "vae": state.vae}

    for name, old in networks(before).items():
        new = networks(after)[name]
        check_moved(old.network, new.network, golden[f"{algorithm}/after/{name}"])
        if old.target is not None:
            check_moved(old.target, new.target, golden[f"{algorithm}/after/{name}_target"])


def check_losses(golden: dict[str, np.ndarray], algorithm: str, metrics: dict[str, Any], gradients: list[Any]) -> None:
    """The losses of the four networks, in the order of the update, and their gradients."""
    losses = {"vae/loss": "loss_vae", "reward/critic_loss": "critic_loss", "cost/critic_loss": "cost_critic_loss"}
    for ours, theirs in (losses | {"actor/loss": "actor_loss"}).items():
        close(metrics[ours], golden[f"{algorithm}/loss/{theirs}"])
    for name, gradient in zip(("vae", "critic", "cost_critic", "actor"), gradients, strict=True):
        check_gradient(gradient, golden[f"{algorithm}/grad/{name}"])
