"""Runs that begin with published PyTorch weights: Diffuser's as TREBI's model of behavior."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from surefoot.algorithms.trebi import TREBI, TREBIState
from surefoot.data import library
from surefoot.diffusion.schedules import make_schedule
from surefoot.errors import ConfigError, DataError, option
from surefoot.experiments.train_request import CHECKPOINT_INTERVAL, LOG_INTERVAL
from surefoot.file_sets import check_writable
from surefoot.hyperparameters import change, flat
from surefoot.nn.diffuser import Imported, denoiser_from_diffuser
from surefoot.routes import POSITIONAL
from surefoot.tasks import Task
from surefoot.training import RunDirectory, make_config
from surefoot.training.chunk import init_states

SETTLED = frozenset(("plan_horizon", "model_updates", "diffusion_steps", "beta_schedule", "network"))
"""Hyper-parameters that the weights determine."""


@dataclass(frozen=True, kw_only=True)
class WeightsSettings:
    """Source and target of an import of weights."""

    source: Annotated[Path, POSITIONAL]
    """The file."""
    data: Path
    """File to train the values on, in DSRL's format or D4RL's."""
    weights: Literal["ema", "model"] = "ema"
    """Which of the two sets in the file: the moving average, which plans, or the trained weights themselves."""
    out: Path
    """Folder of the run, made if missing."""


def import_diffuser(
    settings: WeightsSettings,
    hyper: TREBI,
    *,
    task: Task,
    preset: str,
    seeds: Sequence[int],
    command: Sequence[str],
    given: Collection[str] = (),
) -> None:
    """Write a run with published weights as its model of behavior; nothing is written before all is checked.

    Args:
        settings: Source and target.
        hyper: TREBI's hyper-parameters.
        task: Task of the weights and the data.
        preset: Preset that the hyper-parameters began with.
        seeds: Seeds of the values; all have the same model of behavior.
        command: Command line, which the run records.
        given: Hyper-parameters that the user named.

    Raises:
        ConfigError: A hyper-parameter contradicts the weights.
        DataError: The weights or the data cannot be used.
    """
    check_writable(settings.out)
    arrays = read_state(settings.source, settings.weights)
    try:
        imported = denoiser_from_diffuser(arrays, observation_dim=task.observation_dim, action_dim=task.action_dim)
        steps = len(imported.betas)
        if not np.allclose(imported.betas, make_schedule("cosine", steps).betas, rtol=1e-4, atol=1e-6):
            raise DataError(f"betas: expected the cosine schedule of {steps} steps, found another.")
    except DataError as error:
        raise DataError(f"{settings.source}: {error}") from error
    algorithm = fitted(hyper, imported)
    for name in sorted(SETTLED & set(given)):
        if flat(algorithm)[name] != flat(hyper)[name]:
            raise ConfigError(f"{option(name)}: expected none, for the weights settle it, found another than theirs.")
    dataset = library.load(settings.data, task)
    prepared = algorithm.prepare(dataset, task)  # refused here, and not when the training starts
    config = make_config(
        algorithm, name="trebi", task=task, preset=preset, seeds=tuple(seeds),
        data_path=str(settings.data.resolve()), data_fingerprint=dataset.fingerprint(), log_interval=LOG_INTERVAL,
        checkpoint_interval=CHECKPOINT_INTERVAL, command=tuple(command),
    )  # fmt: skip
    states = with_model(init_states(algorithm, task.spec, tuple(seeds), prepared.statistics), imported)
    directory = RunDirectory(settings.out)
    directory.start(config, resume=False)
    with directory.locked():
        directory.save_checkpoint(0, states, config.identity)


def read_state(path: Path, weights: str) -> dict[str, np.ndarray]:
    """Named tensors of a `state_*.pt` file.

    Args:
        path: The file.
        weights: Key of the tensors, "ema" or "model".

    Returns:
        Arrays by name.

    Raises:
        ConfigError: PyTorch is not installed.
        DataError: The file has another content.
    """
    if not path.is_file():
        raise DataError(f"{path}: expected a file of Diffuser's, state_STEP.pt, found none.")
    torch = pytorch()
    try:
        # weights_only: tensors and plain containers; whatever else is pickled in the file is refused and not run.
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds, by what is wrong with the file
        # PyTorch's own words advise to load it unsafely.
        raise DataError(
            f"{path}: expected a dictionary of tensors in PyTorch's format, found something else "
            f"({type(error).__name__})."
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get(weights), dict):
        raise DataError(f"{path}: {weights}: expected a dictionary of tensors under that key, found none.")
    named = content[weights]
    if not all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in named.items()):
        raise DataError(f"{path}: {weights}: expected named tensors, found other things among them.")
    arrays = {name: value.numpy() for name, value in named.items()}
    for name, array in arrays.items():
        if not (finite := np.isfinite(array)).all():
            raise DataError(
                f"{path}: {weights}: tensor '{name}': expected finite numbers, found {array[~finite].flat[0]} "
                f"({int((~finite).sum())} of {finite.size} are not)."
            )
    return arrays


def pytorch() -> Any:
    """The module `torch`. Raises `ConfigError` where it is not installed."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError(
            "import: Diffuser's files are read with PyTorch, which is not installed: pip install 'surefoot[import]'."
        ) from error
    return torch


def fitted(algorithm: TREBI, imported: Imported) -> TREBI:
    """TREBI with the hyper-parameters that the weights determine, and no further training of the model.

    Args:
        algorithm: Hyper-parameters.
        imported: The weights.

    Returns:
        The changed hyper-parameters.
    """
    return change(
        algorithm,
        plan_horizon=imported.horizon,
        model_updates=0,
        diffusion_steps=len(imported.betas),
        beta_schedule="cosine",
        network=imported.config,
    )


def with_model(states: TREBIState, imported: Imported) -> TREBIState:
    """States whose every seed has the imported network as its model, online and averaged.

    Args:
        states: States of all seeds, [S, ...].
        imported: The imported network.

    Returns:
        The states.
    """

    def spread(state_leaf: jax.Array, leaf: jax.Array) -> jax.Array:
        # A copy: no two arrays of a state may share memory, or they could not be donated.
        return jnp.array(jnp.broadcast_to(leaf, state_leaf.shape))

    network = jax.tree.map(spread, states.model.network, imported.network)
    average = jax.tree.map(spread, states.model.average, imported.network)
    return states._replace(model=states.model._replace(network=network, average=average))
