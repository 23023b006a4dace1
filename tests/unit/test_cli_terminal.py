"""Terminals that are closed, narrow, of another encoding, or lie about themselves; hostile words in every output."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.data_fixtures import file_arrays, make_dataset, write_arrays

from surefoot.cli import terminal
from surefoot.cli.main import COMMANDS, main

RUN = "import sys; from surefoot.cli.main import main; sys.exit(main(sys.argv[1:]))"
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
HOSTILE = [
    "[/red]",
    "\x1b[2J\x1b[31m",
    "\x9b2J",
    "a\nerror: b",
    "a\rb",
    "\u202egpj.exe",
    "\x07",
    "$x",
    "{0}%s",
    ":boom:",
]
DATA_COMMANDS = ("download", "verify", "info", "plot", "subset", "filter", "convert", "imitation")
HELPED = [
    *([name] for name in COMMANDS),
    *(["data", name] for name in DATA_COMMANDS),
    *(words.split() for words in ("data filter safe", "bench act", "import diffuser", "simulators install",
                                  "simulators check")),
]  # fmt: skip


def surefoot(*words: str | bytes, shell: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The command line in a process of its own, perhaps with redirections."""
    given = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    command = ["bash", "-c", f'"$@" {shell}', "bash", sys.executable, "-c", RUN, *words]
    return subprocess.run(command, capture_output=True, env={**given, **environment}, timeout=60, check=False)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    card = {"task": "PointRobot", "origin": "Z\u00fcrich \u2264 1"}
    write_arrays(tmp_path / "data.hdf5", file_arrays(make_dataset()), card=json.dumps(card))
    return tmp_path / "data.hdf5"


@pytest.mark.parametrize("columns", ["2", "0", "-1", "garbage", "1000000000", "10", "²", "", "9" * 400, "1e3", " 80 "])
def test_any_number_of_columns_is_bounded(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", columns)
    terminal.prepare_streams()
    assert 40 <= int(os.environ.get("COLUMNS", "40")) <= 10_000
    assert 10 <= int(os.environ.get("LINES", "10")) <= 10_000


@pytest.mark.parametrize("words", HELPED, ids=" ".join)
def test_help_of_every_command_ends_on_two_columns(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "2")
    assert main([*words, "--help"]) == 0
    assert "usage: surefoot" in capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8", "utf-16"])
def test_characters_that_an_output_lacks_are_replaced(
    encoding: str, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding=encoding))
    assert main(["data", "info", str(dataset)]) == 0
    text = content.getvalue().decode(encoding)
    assert ("█" in text) == encoding.startswith("utf")
    assert ("#" in text) != encoding.startswith("utf")
    assert "Z?rich <=1" in text or encoding != "ascii"
    assert "Zürich" in text or encoding == "ascii"


def test_a_locale_of_ascii_shows_names_and_reads_files_that_are_not(dataset: Path, tmp_path: Path) -> None:
    path = dataset.rename(tmp_path / "d\udce4ta \u2264.hdf5")
    said = surefoot(
        "data", "info", os.fsencode(path), LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING=""
    )
    assert (said.returncode, said.stderr) == (0, b"")
    assert b"Z?rich <=1" in said.stdout
    # In that locale every byte beyond ASCII is one that is no letter.
    assert b"d\\xe4ta\\xe2\\x89\\xa4.hdf5" in b"".join(said.stdout.split())


def test_tables_in_ascii_keep_their_columns() -> None:
    line = "Mean return   2.59   ≥ 2.50   ✓"
    assert line.encode("ascii", "surefoot.plain") == b"Mean return   2.59   >=2.50   +"
    assert len(line.encode("ascii", "surefoot.plain")) == len(line)


@pytest.mark.parametrize(
    ("shell", "code"),
    [(">&-", 0), ("<&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 0), (">/dev/full", 2), ("2>/dev/full", 0)],
)
def test_closed_and_full_streams(shell: str, code: int) -> None:
    said = surefoot("--help", shell=shell)
    assert said.returncode == code
    assert said.stderr == (b"error: standard output: No space left on device.\n" if code else b"")


def test_an_error_goes_nowhere_where_stderr_is_gone() -> None:
    for shell in ("2>&-", "2>/dev/full", "<&- 2>&-"):
        assert surefoot("nope", shell=shell).returncode == 2


def test_a_file_never_takes_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    """What a library prints would go into the data."""
    code = f"import sys; from surefoot.cli.main import main; main(['-V']); f = open({str(tmp_path / 'f')!r}, 'w')"
    code += "; sys.exit(f.fileno() < 3)"
    for shell in (">&-", "<&-", "2>&-", "<&- >&- 2>&-"):
        command = ["bash", "-c", f'"$@" {shell}', "bash", sys.executable, "-c", code]
        assert subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_paths_and_cards_are_shown_as_escapes(
    word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"{word.replace('/', '')}.hdf5"
    write_arrays(path, file_arrays(make_dataset()), card=json.dumps({"task": "PointRobot", "origin": word}))
    assert main(["data", "info", str(path)]) == 0
    assert main(["data", "subset", str(path), "--share", "1", "--out", str(path.with_suffix(".out"))]) == 0
    assert main(["data", "plot", str(path), "--out", str(path.with_suffix(".png"))]) == 0
    shown = capsys.readouterr()
    assert not STEERING.search(shown.out + shown.err)
    assert "\nerror: b" not in shown.out
    if word.isprintable():
        assert "".join(word.split()) in "".join(shown.out.split())


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_arguments_are_shown_as_escapes(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        [word],
        ["data", word],
        ["data", "filter", word],
        ["data", "info", word],
        ["data", "verify", word],
        ["report", word],
        ["evaluate", word],
        ["evaluate", "run", f"--{word}"],
        ["train", "--task", word, "--out", "x"],
        ["train", "--algorithm", word, "--out", "x"],
        ["train", "--out", "x", "--stream", word],
        ["train", "--out", "x", "--log-interval", word],
        ["bench", "act", word],
        ["bench", word],
        ["import", word],
        ["simulators", "install", word],
        ["simulators", word],
    ):
        assert main(words) == 2
        shown = capsys.readouterr()
        assert not STEERING.search(shown.out + shown.err), words
        assert "\nerror: b" not in shown.err
        assert "Traceback" not in shown.err


def test_a_narrow_terminal_cuts_no_number(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = []
    for columns in ("3", "80"):
        monkeypatch.setenv("COLUMNS", columns)
        assert main(["data", "info", str(dataset)]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]


def test_names_that_are_no_utf8_are_shown_by_their_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", f"{tmp_path}/\udcff\udce9"]) == 2
    assert capsys.readouterr().err.endswith("/\\xff\\xe9: expected a run directory, found no config.json there.\n")


def test_colours_of_the_help_are_kept_from_arguments_and_by_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for arguments, no_colour, coloured in ((["a"], "", True), (["a\x1b[31m"], "", False), (["a"], "1", False)):
        monkeypatch.setenv("NO_COLOR", no_colour)
        with terminal.cleaned_streams(arguments):
            assert sys.stdout.isatty() == coloured


def test_colours_pass_and_other_sequences_do_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "")
    with terminal.cleaned_streams([]):
        sys.stdout.write("\x1b[1musage\x1b[0m \x1b]0;title\x07\x1b[2J\n")
    assert capsys.readouterr().out == "\x1b[1musage\x1b[0m \\x1b]0;title\\x07\\x1b[2J\n"


@pytest.mark.parametrize("how", ["warnings.warn(w)", "logging.getLogger('x').warning(w)", "raise KeyError(w)"])
def test_warnings_logs_and_tracebacks_are_cleaned_too(how: str) -> None:
    code = "import logging, sys, warnings; from surefoot.cli.main import main; main(['-V']); w = 'a\\x1b[31m\\udcff'"
    said = subprocess.run([sys.executable, "-c", f"{code}; {how}"], capture_output=True, check=False)
    assert not STEERING.search(said.stderr.decode())
    assert b"a\\x1b[31m\\" in said.stderr


def test_a_reader_who_leaves_a_table_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with io.TextIOWrapper(os.fdopen(writes, "wb", 0), write_through=True) as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        with pytest.raises(BrokenPipeError):  # SystemExit(1) before: exit code 1, not 141
            terminal.show("a table")
        monkeypatch.undo()
