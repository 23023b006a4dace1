"""JSON of declared types: read back, or refused in one sentence that names file, key, expected and found."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.data_fixtures import is_one_sentence

from surefoot.errors import CheckpointError, ConfigError
from surefoot.json_files import parse_json, read_json


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
        ('{"name": "a", "counts": [' + "1" * 5000 + "]}", "cannot be read"),
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
