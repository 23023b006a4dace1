"""`surefoot finetune`: a trained run goes on online, in its own task or in one that looks alike."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import tyro

from surefoot.cli.options import given_options, parse
from surefoot.cli.progress import Terminal
from surefoot.cli.resume import recorded_options, run_to_resume
from surefoot.cli.terminal import say
from surefoot.experiments.finetune import FinetuneRequest, Finetuning, check_finetuning, finetune_run
from surefoot.faults import Faults
from surefoot.observer import StrictOption
from surefoot.report.found_rows import online_sentences
from surefoot.runs.output_folder import check_output_folder
from surefoot.text import shell_word


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(FinetuneRequest, StrictOption):
    """Go on with a trained run online. The offline policy is kept frozen beside the one that learns (FOSP); new
    episodes join the offline data; what fine-tuning itself costs is written to online.jsonl."""

    run: tyro.conf.Positional[Path]
    """Folder of the trained run."""
    out: Path
    """Folder of the fine-tuned run, made if missing."""
    without_offline_data: tyro.conf.FlagCreatePairsOff[bool] = False
    """Start with an empty replay, where the offline data are gone. That costs: the model forgets what they taught it,
    rare costs first, and the first updates learn from the first round's episodes alone."""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """Go on with the run in the folder from its last checkpoint, with its own options; it ends with the same bits."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    with Faults() as faults:
        resumed = run_to_resume(arguments)
        there = None if resumed is None else recorded_options(resumed, FinetuneOptions, command="finetune")
        options = parse(FinetuneOptions, arguments, command="finetune", default=there, faults=faults)
        with faults.also():
            check_output_folder(options.out, resume=options.resume)
        request, begun = (None if one is None else _request(one) for one in (options, there))
        assert request is not None
        if resumed is not None and begun is not None:
            check_finetuning(resumed, request, begun, faults)
        rows = finetune_run(
            request,
            command=("surefoot", "finetune", *arguments),
            given=given_options(FinetuneOptions, arguments, refused=faults.flags),
            observer=Terminal(strict=options.strict),
            faults=faults,
        )
    first, *others = online_sentences(rows)
    say(f"{options.out}: {first}")
    for sentence in others:
        say(sentence)
    say(f"measure it with: surefoot evaluate {shell_word(options.out)}")


def _request(options: FinetuneOptions) -> Finetuning:
    return Finetuning(**{field.name: vars(options)[field.name] for field in fields(Finetuning)})
