"""JSON of declared types: read back, or refused in one sentence that names file, key, expected and found."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.data_fixtures import is_one_sentence
from typing_extensions import TypedDict

from surefoot.errors import CheckpointError, ConfigError
from surefoot.json_files import check_json, parse_json, read_json, read_rows


class Table(TypedDict, total=False):
    """An example of a table."""

    count: int
    points: dict[str, list[float]]


@dataclass(frozen=True)
class Sizes:
    """An example of a file's content."""

    name: str
    counts: tuple[int, ...]
    share: float = 0.5


def test_a_file_is_read_as_its_type(tmp_path: Path) -> None:
    path = tmp_path / "sizes.json"
    path.write_text('{"name": "a", "counts": [1, 2], "unheard of": null}')
    assert read_json(path, Sizes, what="sizes") == Sizes("a", (1, 2))
    assert parse_json('{"a": 1}', dict[str, float], place="card", what="numbers") == {"a": 1.0}
    assert parse_json("[null, 1, {}]", list[Any], place="card", what="a list") == [None, 1, {}]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "as JSON, found something that cannot be read"),
        ("{", "as JSON, found something that cannot be read"),
        ("\ufeff{}", "cannot be read"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("[]", "found []"),
        ("null", "found null"),
        ('{"counts": []}', "name: expected a value, found none"),
        ('{"name": 3, "counts": []}', "name: expected a valid string, found 3"),
        ('{"name": "a", "counts": [1, "2"]}', 'counts.1: expected a valid integer, found "2"'),
        ('{"name": "a", "counts": [true]}', "counts.0: expected a valid integer, found true"),
        ('{"name": "a", "counts": [1.5]}', "counts.0: expected a valid integer"),
        ('{"name": "a", "counts": {"0": 1}}', "counts: expected"),
        ('{"name": "a", "counts": [], "share": NaN}', "found NaN, which JSON has not"),
        ('{"name": "a", "counts": [], "share": "0.5"}', "share: expected a valid number"),
        (
            '{"name": "a", "counts": [' + "1" * 5000 + "]}",
            "found the number 11111111111111111111..., which is too large",
        ),
        ('{"name": "a", "counts": [], "share": 1e999}', "found the number 1e999, which is too large"),
        ('{"name": "a", "counts": [], "counts": [1]}', 'found the key "counts" twice'),
        ('{"name": "a\\ud800", "counts": []}', "found characters that are no text"),
        ('{"name": "a", "counts": [], "\\u0000": 1}', "found characters that are no text"),
        ('{"name": "a", "counts": [], "other": ' + "[" * 100 + "]" * 100 + "}", "nested too deeply"),
    ],
)
def test_other_json_is_refused_in_one_sentence(text: str, part: str, tmp_path: Path) -> None:
    path = tmp_path / "sizes.json"
    path.write_text(text)
    with pytest.raises(CheckpointError) as refusal:
        read_json(path, Sizes, what="sizes", error=CheckpointError)
    assert part in str(refusal.value)
    assert str(refusal.value).startswith(f"{path}: ")
    assert is_one_sentence(str(refusal.value))


def test_what_is_no_file_of_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.json").write_bytes(b'{"a": "\xff"}')
    (tmp_path / "loop.json").symlink_to("loop.json")
    for name, part in (("gone.json", "no such file"), (".", "folder"), ("bytes.json", "cannot be"), ("loop.json", "(")):
        with pytest.raises(ConfigError, match="expected sizes") as refusal:
            read_json(tmp_path / name, dict[str, Any], what="sizes")
        assert part in str(refusal.value)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match=r"found a folder or a device; make it again.$"):
        read_json(tmp_path / "pipe", Table, what="a table", advice="make it again")


def test_a_table_comes_back_as_it_was_read() -> None:
    text = '{"count": 2, "points": {"a": [1, 2.5]}, "later": {"kept": [1]}}'
    assert parse_json(text, Table, place="card", what="a table") == json.loads(text)


def test_rows_name_their_line_and_a_half_written_end_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'{"count": 1, "name": "a\xe2\x80\xa8b"}\n\n{"count": 2}\n{"cou')
    assert read_rows(file, Table, what="rows", cut_end=True) == [{"count": 1, "name": "a\u2028b"}, {"count": 2}]
    with pytest.raises(ConfigError, match=r"rows.jsonl: line 4: expected rows as JSON"):
        read_rows(file, Table, what="rows")
    file.write_bytes(b'{"count": 1}\nanother file')  # whose end would be cut off
    with pytest.raises(ConfigError, match=r"rows.jsonl: line 2: expected rows as JSON"):
        read_rows(file, Table, what="rows", cut_end=True)
    file.write_text('{"count": 1}\n{"count": []}\n')
    with pytest.raises(ConfigError, match=r"rows.jsonl: line 2: count: expected a valid integer, found \[\]\."):
        read_rows(file, Table, what="rows", cut_end=True)


def test_a_value_that_was_read_before_is_checked_alike() -> None:
    assert check_json({"a": {"name": "b", "counts": []}}, dict[str, Sizes], place="c", what="d") == {
        "a": Sizes("b", ())
    }
    with pytest.raises(ConfigError, match=r"c: a\.name: expected a valid string, found \{\}; go on\."):
        check_json({"a": {"name": {}}}, dict[str, Sizes], place="c", what="d", advice="go on")


def test_importing_surefoot_does_not_import_pydantic() -> None:
    code = "import sys, surefoot, surefoot.json_files; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
