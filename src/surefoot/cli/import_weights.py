"""`surefoot import diffuser`: published PyTorch weights as the behaviour model of a TREBI run."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from surefoot import presets
from surefoot.algorithms.trebi import TREBI, TREBIState
from surefoot.cli.options import choose_or_refuse, parse_seeds, parse_with_hyperparameters
from surefoot.cli.terminal import say
from surefoot.data import library
from surefoot.diffusion.schedules import make_schedule
from surefoot.errors import ConfigError, DataError, check_name, flag
from surefoot.experiments.unread import refuse_unread
from surefoot.faults import Faults
from surefoot.file_sets import check_writable
from surefoot.hyperparameters import change, flat
from surefoot.nn.diffuser import Imported, denoiser_from_diffuser
from surefoot.runs.output_folder import check_output_folder
from surefoot.tasks import get_task
from surefoot.text import shell_word
from surefoot.training import RunDirectory, make_config
from surefoot.training.chunk import init_states

SOURCES = ("diffuser",)
SETTLED = frozenset(("plan_horizon", "model_updates", "diffusion_steps", "beta_schedule", "network"))
"""Hyper-parameters that the weights decide."""
LOG_INTERVAL, CHECKPOINT_INTERVAL = 500, 2500
Hyper = TypeVar("Hyper")


@dataclass(frozen=True, kw_only=True)
class ImportOptions(Generic[Hyper]):
    """Begin a TREBI run with Diffuser's weights as its behaviour model; `surefoot train` then trains the values.

    The file is `state_STEP.pt` of Diffuser's code, a dictionary of tensors. It is read with PyTorch's `weights_only`,
    which runs no code that lies in it; PyTorch is needed for that alone: pip install 'surefoot[import]'. Sizes, horizon
    and the number of denoising steps come from the tensors. The scales of the data are not in the file: they are those
    of --data, which should be what the weights were trained on."""

    source: tyro.conf.Positional[Path]
    """The file."""
    task: str
    """Name of the task, as hopper-medium-v2."""
    data: Path
    """File to train the values on, in DSRL's format or D4RL's."""
    weights: Literal["ema", "model"] = "ema"
    """Which of the two sets in the file: the moving average, which plans, or the trained weights themselves."""
    preset: str = presets.DEFAULT_PRESET
    """Named hyper-parameters that the flags below start from."""
    seeds: str = "0:3"
    """Of the values; all begin with the same behaviour model."""
    out: Path
    """Folder of the run, made if missing."""
    algorithm: Literal["trebi"] = "trebi"
    """What takes the weights."""
    hyper: Annotated[Hyper, tyro.conf.arg(name="")]
    """Hyper-parameters."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    name, rest = (arguments[0], list(arguments[1:])) if arguments else ("--help", [])
    if name in ("-h", "--help"):
        say("usage: surefoot import diffuser STATE.PT --task NAME --data FILE --out FOLDER [options]")
        return
    check_name("source of weights", name, SOURCES)
    with Faults() as faults:
        choice = choose_or_refuse(ImportOptions, ["--algorithm", "trebi", *rest], faults)
        options: ImportOptions[Any] = parse_with_hyperparameters(
            ImportOptions, rest, choice, command="import diffuser", faults=faults,
            source=tyro.MISSING, task=tyro.MISSING, data=tyro.MISSING, preset=choice.preset, out=tyro.MISSING,
        )  # fmt: skip
        refuse_unread(options.hyper, choice.defaults, faults)
        with faults.also():
            parse_seeds(options.seeds)
        check_output_folder(options.out, resume=False)
    named = {word[2:].split("=", 1)[0].split(".", 1)[0].replace("-", "_") for word in rest if word.startswith("--")}
    command = import_diffuser(options, command=("surefoot", "import", *arguments), given=named)
    say(f"{options.out}: begun with the weights of {options.source}; train the values with:")
    say(" ".join(map(shell_word, command)))


def import_diffuser(options: ImportOptions[TREBI], *, command: Sequence[str], given: Collection[str] = ()) -> list[str]:
    """Write the run, and return the command that goes on with it. Nothing is made before all was found good. `given`:
    the hyper-parameters that a command line names."""
    task, seeds = get_task(options.task), parse_seeds(options.seeds)
    check_writable(options.out)
    arrays = read_state(options.source, options.weights)
    try:
        imported = denoiser_from_diffuser(arrays, observation_dim=task.observation_dim, action_dim=task.action_dim)
        steps = len(imported.betas)
        if not np.allclose(imported.betas, make_schedule("cosine", steps).betas, rtol=1e-4, atol=1e-6):
            raise DataError(f"betas: expected the cosine schedule of {steps} steps, found another.")
    except DataError as error:
        raise DataError(f"{options.source}: {error}") from error
    algorithm = fitted(options.hyper, imported)
    for name in sorted(SETTLED & set(given)):
        if flat(algorithm)[name] != flat(options.hyper)[name]:
            raise ConfigError(f"{flag(name)}: expected none, for the weights settle it, found another than theirs.")
    dataset = library.read(options.data, task)
    prepared = algorithm.prepare(dataset, task)  # refused here, and not when the training starts
    config = make_config(
        algorithm, name=options.algorithm, task=task, preset=options.preset, seeds=seeds,
        data_path=str(options.data.resolve()), data_fingerprint=dataset.fingerprint(), log_interval=LOG_INTERVAL,
        checkpoint_interval=CHECKPOINT_INTERVAL, command=tuple(command),
    )  # fmt: skip
    states = with_model(init_states(algorithm, task.spec, seeds, prepared.statistics), imported)
    directory = RunDirectory(options.out)
    directory.start(config, resume=False)
    with directory.locked():
        directory.save_checkpoint(0, states, config.identity)
    return ["surefoot", "train", "--out", str(options.out), "--resume"]


def read_state(path: Path, weights: str) -> dict[str, np.ndarray]:
    """The named tensors of a `state_*.pt`. Raises `ConfigError` without PyTorch, `DataError` for another file."""
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
    """The module. Raises `ConfigError` where it is not installed."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError(
            "import: Diffuser's files are read with PyTorch, which is not installed: pip install 'surefoot[import]'."
        ) from error
    return torch


def fitted(algorithm: TREBI, imported: Imported) -> TREBI:
    """The algorithm with what the weights settle: the behaviour model, which is not trained any more."""
    return change(
        algorithm,
        plan_horizon=imported.horizon,
        model_updates=0,
        diffusion_steps=len(imported.betas),
        beta_schedule="cosine",
        network=imported.config,
    )


def with_model(states: TREBIState, imported: Imported) -> TREBIState:
    """The states [S, ...] with the imported network as every seed's model, online and average."""

    def spread(state_leaf: jax.Array, leaf: jax.Array) -> jax.Array:
        # A copy: no two arrays of a state may share memory, or they could not be donated.
        return jnp.array(jnp.broadcast_to(leaf, state_leaf.shape))

    network = jax.tree.map(spread, states.model.network, imported.network)
    average = jax.tree.map(spread, states.model.average, imported.network)
    return states._replace(model=states.model._replace(network=network, average=average))
