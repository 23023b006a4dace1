"""`surefoot train`: any algorithm on a data file, every hyper-parameter a flag."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

from surefoot import presets
from surefoot.api.options import parse_seeds
from surefoot.cli.next_commands import measuring_command
from surefoot.cli.options import choose_or_refuse, parse_with_hyperparameters
from surefoot.cli.progress import Terminal
from surefoot.cli.resume import resumed_choice, run_to_resume, train_defaults
from surefoot.cli.terminal import say
from surefoot.experiments.agreement import check_agreement
from surefoot.experiments.train import train_run
from surefoot.experiments.train_request import TrainRequest, TrainSettings, train_settings
from surefoot.experiments.unread import refuse_unread
from surefoot.faults import Faults
from surefoot.jax_start import one_thread_a_device
from surefoot.observer import StrictOption
from surefoot.runs.origin import check_spec
from surefoot.runs.output_folder import check_output_folder

Hyper = TypeVar("Hyper")


@dataclass(frozen=True, kw_only=True)
class TrainOptions(TrainSettings, StrictOption, Generic[Hyper]):
    """Train an algorithm for several seeds at once. Its hyper-parameters follow the options of the run itself;
    --algorithm and --preset change which there are and their defaults."""

    algorithm: str = "fisor"
    """Name of the algorithm."""
    task: str = "PointRobot"
    """Name of the task, or a task file of your own that ends in .toml."""
    preset: str = presets.DEFAULT_PRESET
    """Named hyper-parameters that the flags below start from."""
    data: Path | None = None
    """HDF5 file to train on, in DSRL's format or D4RL's, a Minari dataset's folder, or a file or a folder of images; by
    default the task's published file in DSRL's folder."""
    out: Path
    """Folder of the run, made if missing."""
    seeds: str = "0:3"
    """Trained side by side: a range as 0:3 (without 3), a list as 0,1,2 or one number."""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """Go on with the run in the folder from its last checkpoint; it ends with the same bits. Its options are those of
    the run; more updates than before train longer, where that is as if it had been asked for at first."""
    wandb: tyro.conf.FlagCreatePairsOff[bool] = False
    """Send metrics to Weights & Biases as well."""
    hyper: Annotated[Hyper, tyro.conf.arg(name="")]
    """Hyper-parameters."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    with Faults() as faults:
        resumed = run_to_resume(arguments)
        config = None if resumed is None else resumed.read_config()
        if resumed is None or config is None:
            choice, defaults = choose_or_refuse(TrainOptions, arguments, faults), {}
        else:
            choice, defaults = resumed_choice(resumed, arguments, faults), train_defaults(config)
        if choice.preset == presets.DEFAULT_PRESET:
            one_thread_a_device()
        options: TrainOptions[Any] = parse_with_hyperparameters(
            TrainOptions, arguments, choice, command="train", faults=faults, out=tyro.MISSING, **defaults
        )
        refuse_unread(options.hyper, choice.defaults, faults)
        with faults.also():
            check_output_folder(options.out, resume=options.resume)
        request = TrainRequest(
            **train_settings(options), algorithm=options.hyper, name=choice.algorithm, preset=choice.preset,
            task=choice.task, data=options.data, out=options.out, resume=options.resume, wandb=options.wandb,
            seeds=faults.attempt(lambda: parse_seeds(options.seeds), (0,) if config is None else config.seeds),
        )  # fmt: skip
        if resumed is not None and config is not None:
            with faults.also():
                check_spec(resumed, config)
            check_agreement(resumed, request, faults)
        command = ("surefoot", "train", *arguments)
        train_run(request, command=command, observer=Terminal(strict=options.strict), faults=faults)
    say(f"{options.out}: trained; measure it with: {measuring_command(options.hyper, choice.task, options.out)}")
