"""`--config FILE`: options out of a TOML file, by the names of their flags."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import tyro
from tests.data_fixtures import is_one_sentence

from surefoot.cli import main as module
from surefoot.cli.config_file import expanded
from surefoot.cli.options import parse
from surefoot.errors import ConfigError
from surefoot.ranges import Range


@dataclass(frozen=True, kw_only=True)
class Inner:
    """Nested."""

    steps: Annotated[int, Range("[1, 100]")] = 3
    """Steps."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of every kind."""

    run: tyro.conf.Positional[Path]
    """Folder."""
    out: Path | None = None
    """Place."""
    seeds: str = "0:3"
    """Seeds."""
    rate: Annotated[float, Range("(0, 1]")] = 0.5
    """Rate."""
    form: Literal["one", "two"] = "one"
    """Form."""
    sizes: Annotated[tuple[int, ...], Range("[1, 9]")] = (1,)
    """Sizes."""
    limits: Annotated[tuple[float, ...], Range("[0, inf]")] = ()
    """Limits."""
    strict: bool = False
    """Strict."""
    keep: bool = True
    """Keep."""
    once: tyro.conf.FlagCreatePairsOff[bool] = False
    """Once."""
    inner: Inner = Inner()
    """Inner."""


def options_of(tmp_path: Path, text: str, *words: str) -> Options:
    path = tmp_path / "options.toml"
    path.write_text(text)
    with expanded(["--config", str(path), *words]) as given:
        return parse(Options, given, command="data try")


def test_a_file_gives_options_and_flags_win(tmp_path: Path) -> None:
    text = """
    run = "folder"
    out = "place"
    seeds = "4"
    rate = 1
    form = "two"
    sizes = [2, 3]
    strict = true
    keep = false
    once = false
    [inner]
    steps = 7
    """
    found = options_of(tmp_path, text)
    assert found == Options(
        run=Path("folder"), out=Path("place"), seeds="4", rate=1.0, form="two", sizes=(2, 3), strict=True, keep=False,
        inner=Inner(steps=7),
    )  # fmt: skip
    found = options_of(tmp_path, text, "--rate=0.25", "--no-strict", "--sizes", "5", "--keep", "--inner.steps", "9")
    assert (found.rate, found.strict, found.sizes, found.keep, found.inner.steps) == (0.25, False, (5,), True, 9)
    assert (found.form, found.seeds) == ("two", "4")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('rte = 0.5', "line 2: rte: expected rate, found a key of that name"),
        ('quite_another = 1', "line 2: quite_another: expected the name of an option, found a key of that name"),
        ('rate = "high"', 'line 2: rate: expected a number, found "high"'),
        ("rate = 2.0", r"line 2: rate: expected .*, found 2"),
        ("rate = true", "line 2: rate: expected a number, found true"),
        ("seeds = 3", "line 2: seeds: expected text in quotes, found 3"),
        ('form = "three"', 'line 2: form: expected one of one, two, found "three"'),
        ("sizes = [1, 2.5]", r"line 2: sizes: expected a list, each a whole number, found \[1, 2\.5\]"),
        ("limits = []", r"line 2: limits: expected a list, each a number, found \[\]"),
        ("rate = [0.5]", r"line 2: rate: expected a number, found \[0\.5\]"),
        ('strict = "yes"', 'line 2: strict: expected true or false, found "yes"'),
        ("out = 1979-05-27", 'line 2: out: expected a path, found "1979-05-27"'),
        ("[inner]\nsteps = 1.5", "line 3: inner.steps: expected a whole number, found 1.5"),
        ("[inner]\nsteps = 1000", "line 3: inner.steps: expected .*, found 1000"),
        ("rate = ", "line 2: expected TOML, found a fault"),
        ("rate = 0.5\nrate = 0.5", "line 3: expected TOML, found a fault"),
    ],
)  # fmt: skip
def test_a_fault_names_file_line_and_key(line: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"options\.toml: {sentence}") as refused:
        options_of(tmp_path, f'run = "folder"\n{line}\n')
    assert is_one_sentence(str(refused.value))


def test_all_faults_are_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        options_of(tmp_path, 'rte = 1\nrate = "high"', "folder", "--form", "three")
    for part in ("line 1: rte:", "line 2: rate:", "--form: expected one of one, two, found 'three'"):
        assert part in str(refused.value)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--config"], "--config: expected a TOML file of options, found none"),
        (["--config", "--seeds", "3"], "--config: expected a TOML file of options, found none"),
        (["--config", "a.toml", "--config=b.toml"], "--config: expected one file, found 2"),
        (["--config=nowhere.toml"], "nowhere.toml: expected options, found no"),
    ],
)
def test_what_is_no_file(words: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence), expanded(words):
        pass


def test_every_command_takes_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(module.importlib, "import_module", lambda name: type("Command", (), {"run": seen.append}))
    path = tmp_path / "options.toml"
    path.write_text("seeds = '0:2'\n")
    for command in module.COMMANDS:
        assert module.main([command, f"--config={path}", "--out", "x"]) == 0
        assert seen.pop() == ["--seeds", "0:2", "--out", "x"]
    path.write_bytes(b"seeds = '\xff'\n")
    assert module.main(["train", "--config", str(path)]) == 2
    assert "line 1: expected text in UTF-8, found other bytes" in capsys.readouterr().err
