"""Words of a command line that are no options, or lack something: one sentence each, all at once, exit code 2."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import tyro
from tests.unit.test_ranges import OPTIONS

from surefoot.algorithms import TREBI
from surefoot.cli.arguments import check_words
from surefoot.cli.benchmark import BenchmarkOptions
from surefoot.cli.data import DownloadOptions, InfoOptions, PlotOptions, VerifyOptions
from surefoot.cli.finetune import FinetuneOptions
from surefoot.cli.flags import accepted_flags, leaves
from surefoot.cli.import_weights import ImportOptions
from surefoot.cli.main import COMMANDS, main
from surefoot.cli.options import parse
from surefoot.cli.report import ReportOptions
from surefoot.cli.simulators import InstallOptions
from surefoot.errors import ConfigError
from surefoot.experiments.data_convert import ConvertRequest
from surefoot.ranges import Range

KINDS: dict[str, Any] = OPTIONS | {
    "import": ImportOptions[TREBI],
    **{
        kind.__name__: kind
        for kind in (
            BenchmarkOptions, ConvertRequest, DownloadOptions, InfoOptions, InstallOptions, PlotOptions, ReportOptions,
            VerifyOptions,
        )
    },
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Options:
    run: tyro.conf.Positional[Path]
    out: Path
    steps: Annotated[int, Range("[1, 100]")] = 1
    box: Annotated[tuple[float, float], Range("[-inf, inf)")] = (0.0, 1.0)
    units: Annotated[tuple[int, ...], Range("[1, 100]")] = (4, 4)
    limits: Annotated[tuple[float, ...], Range("[0, inf]")] = ()
    kind: Literal["plain", "other"] | None = None
    fast: bool = False
    again: tyro.conf.FlagCreatePairsOff[bool] = False


@dataclass(frozen=True, kw_only=True)
class Several:
    names: tyro.conf.Positional[tuple[str, ...]]
    out: str = ""


def refusal(kind: Any, *words: str, **options: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        parse(kind, words, command="try", **options)
    return str(refused.value)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["r", "--out", "o", "--stpes", "3"], "unknown option '--stpes'; did you mean --steps?"),
        (["r", "--out", "o", "--stpes=3", "-x"], "unknown option '--stpes'; did you mean --steps?; "
         "unknown option '-x'; surefoot try --help shows all."),
        (["r", "--out", "o", "-units", "3", "4"], "unknown option '-units'; did you mean --units?"),
        (["r", "--ot", "o"], "unknown option '--ot'; did you mean --out?"),
        ([], "run: expected a path, found none; --out: expected a path, found none."),
        (["--nonsense", "r", "--out", "o"], "unknown option '--nonsense'; surefoot try --help shows all."),
        (["r", "--out"], "--out: expected a path, found none."),
        (["r", "--out", "--fast", "--steps"], "--out: expected a path, found none; "
         "--steps: expected a whole number, found none."),
        (["r", "s", "--out", "o", "t"], "expected no further word, found 't'; expected no further word, found 's'."),
        (["r", "--out", "o", "--fast=3", "--fast", "3"], "--fast: expected no value, found '3'; "
         "expected no further word, found '3'."),
        (["r", "--out", "o", "--box", "-1"], "--box: expected 2 numbers, found 1."),
        (["r", "--out", "o", "--limits", "--fast"], "--limits: expected at least one number, found none."),
        (["r", "--out", "o", "--kind", "plane", "--steps", "0"], "--kind: expected one of plain, other, found 'plane'; "
         "--steps: expected at least 1, found 0."),
        (["r", "--out", "o", "--kind"], "--kind: expected one of plain, other, found none."),
        (["r", "--out", "o", "--no-again"], "unknown option '--no-again'; did you mean --again?"),
    ],
)  # fmt: skip
def test_all_of_a_command_line_is_answered_at_once(words: list[str], sentence: str) -> None:
    found = refusal(Options, *words)
    assert sorted(found.removesuffix(".").split("; ")) == sorted(sentence.removesuffix(".").split("; "))


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["r", "--out", "o"], {}),
        (["--out=o", "--box", "-1", "-inf", "r", "--no-fast"], {"box": (-1.0, -float("inf"))}),
        (
            ["--out", "o", "--units", "3", "4", "5", "--kind", "None", "--again", "r"],
            {"units": (3, 4, 5), "again": True},
        ),
        (["--out", "o", "--units", "--kind=other", "r"], {"units": (), "kind": "other"}),
        (["--out", "o", "--units=3", "4", "--steps=7", "r", "--fast"], {"units": (3, 4), "steps": 7, "fast": True}),
        (["--out=-o", "--steps", "2", "--", "-r"], {"run": Path("-r"), "out": Path("-o"), "steps": 2}),
    ],
)
def test_what_is_right_passes(words: list[str], values: dict[str, Any]) -> None:
    expected: Any = {"run": Path("r"), "out": Path("o")} | values
    assert parse(Options, words, command="try") == Options(**expected)


def test_a_switch_that_is_on_by_default_may_be_given_again() -> None:
    """As `--resume --without-offline-data` of a fine-tuning that began with it."""
    there = Options(run=Path("r"), out=Path("o"), again=True)
    assert parse(Options, ["--again"], command="try", default=there) == there
    assert not parse(Options, ["--no-again"], command="try", default=there).again


def test_what_only_the_parser_finds_is_one_sentence() -> None:
    found = refusal(Several, "a", "--out", "o", "b")
    assert found == "Unrecognized options: b; surefoot try --help shows all options."


@pytest.mark.parametrize("name", KINDS)
def test_the_flags_are_those_of_the_parser(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(KINDS[name], ["--help"], command="try")
    lines = [line.strip(" │") for line in capsys.readouterr().out.splitlines()]
    shown = {flag for line in lines if line.startswith("--") for flag in re.findall(r"--[a-z][\w.-]*", line)}
    assert shown == {*accepted_flags(list(leaves(KINDS[name])), None)}


def test_a_fine_tuning_goes_on_with_all_words_that_began_it() -> None:
    words = ["run", "--out", "o", "--resume", "--without-offline-data"]
    there = parse(FinetuneOptions, words, command="finetune")
    assert parse(FinetuneOptions, words, command="finetune", default=there) == there


COMPLETE = {
    "data": ["info", "d"], "simulators": ["check"], "bench": ["act", "r"], "import": ["diffuser", "s", "--task=AntRun"],
    "evaluate": ["r"], "calibrate": ["r"], "finetune": ["r"], "report": ["r"], "benchmark": ["p.toml"],
    "task": ["check", "t.toml"],
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_answers_in_one_sentence(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = COMPLETE.get(command, [])
    assert main([command, *words, "--lerning-rate", "1"]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.startswith("error: unknown option '--lerning-rate'; ")
    assert found.err.count("\n") == 1


def test_unknown_words_keep_the_rest() -> None:
    checked = check_words(Options, ["r", "--stpes", "3", "--out", "o", "--fast=3"], command="try")
    assert checked.words == ["r", "--out", "o"]
    assert checked.complete
