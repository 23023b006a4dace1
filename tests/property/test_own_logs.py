"""Task files and logs that somebody damaged: read, or refused in one sentence, and never half a file."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.data_fixtures import is_one_sentence
from tests.own_log import TANK, tank_columns, write_csv

from surefoot.data.logs import import_log, open_log
from surefoot.errors import SurefootError
from surefoot.tasks.read_task_file import open_task_file

WORDS = ['"', "[", "]", "=", "\n", "level", "nan", "-1", "0", "2.5", "true", "{", "}", ",", "'", "é", "1e400", "#", "*"]
CELLS = ["", "nan", "inf", "-3", "high", '"', ",", "\n", "1e400", "true", ";", "\x00", "0", "2026-01-31", "9" * 30]


@st.composite
def damaged(draw: st.DrawFn, text: str, words: list[str]) -> str:
    """The text with a few pieces of it replaced."""
    for _ in range(draw(st.integers(1, 3))):
        first = draw(st.integers(0, len(text)))
        text = text[:first] + draw(st.sampled_from(words)) + text[first + draw(st.integers(0, 12)) :]
    return text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good log."""
    path = tmp_path_factory.mktemp("damaged")
    write_csv(path / "good.csv", tank_columns(episodes=2, steps=6))
    return path


def outcome(folder: Path, task: Path, log: Path) -> None:
    """Import, and check that a refusal is a sentence and leaves nothing."""
    out = folder / "out.hdf5"
    before = sorted(folder.iterdir())
    try:
        file, reader = open_task_file(task)
        import_log(open_log([log]), file, reader, out)
    except SurefootError as error:
        message = str(error)
    else:
        out.unlink()
        return
    assert is_one_sentence(message), message
    assert sorted(folder.iterdir()) == before


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=damaged(TANK, WORDS))
def test_damaged_task_files(text: str, folder: Path) -> None:
    (folder / "task.toml").write_text(text, encoding="utf-8")
    outcome(folder, folder / "task.toml", folder / "good.csv")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_logs(data: st.DataObject, folder: Path) -> None:
    (folder / "task.toml").write_text(TANK)
    text = data.draw(damaged((folder / "good.csv").read_text(), CELLS))
    (folder / "bad.csv").write_text(text, encoding="utf-8", newline="")
    outcome(folder, folder / "task.toml", folder / "bad.csv")
