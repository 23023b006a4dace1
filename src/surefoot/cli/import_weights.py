"""`surefoot import diffuser`: published PyTorch weights as the behaviour model of a TREBI run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar

import tyro

from surefoot import presets
from surefoot.api.options import parse_seeds
from surefoot.cli.options import choose_or_refuse, parse_with_hyperparameters
from surefoot.cli.terminal import say
from surefoot.errors import check_name
from surefoot.experiments.import_weights import WeightsSettings, import_diffuser
from surefoot.experiments.unread import refuse_unread
from surefoot.faults import Faults
from surefoot.runs.output_folder import check_output_folder
from surefoot.tasks import get_task
from surefoot.text import shell_word

SOURCES = ("diffuser",)
Hyper = TypeVar("Hyper")


@dataclass(frozen=True, kw_only=True)
class ImportOptions(WeightsSettings, Generic[Hyper]):
    """Begin a TREBI run with Diffuser's weights as its behaviour model; `surefoot train` then trains the values.

    The file is `state_STEP.pt` of Diffuser's code, a dictionary of tensors. It is read with PyTorch's `weights_only`,
    which runs no code that lies in it; PyTorch is needed for that alone: pip install 'surefoot[import]'. Sizes, horizon
    and the number of denoising steps come from the tensors. The scales of the data are not in the file: they are those
    of --data, which should be what the weights were trained on."""

    task: str
    """Name of the task, as hopper-medium-v2."""
    preset: str = presets.DEFAULT_PRESET
    """Named hyper-parameters that the flags below start from."""
    seeds: str = "0:3"
    """Of the values; all begin with the same behaviour model."""
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
        seeds = faults.attempt(lambda: parse_seeds(options.seeds), (0,))
        check_output_folder(options.out, resume=False)
    named = {word[2:].split("=", 1)[0].split(".", 1)[0].replace("-", "_") for word in rest if word.startswith("--")}
    import_diffuser(
        options, options.hyper, task=get_task(options.task), preset=choice.preset, seeds=seeds,
        command=("surefoot", "import", *arguments), given=named,
    )  # fmt: skip
    say(f"{options.out}: begun with the weights of {options.source}; train the values with:")
    say(f"surefoot train --out {shell_word(options.out)} --resume")
