"""Downloading from a server that breaks off, lies about length and serves changed bytes."""

import hashlib
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))
from tests.data_fixtures import is_one_sentence
from tests.http_server import Behaviour, serving

from surefoot.data.download import ATTEMPTS, fetch
from surefoot.errors import DataError

CONTENT = np.random.default_rng(0).bytes(3_000_000)
"""Nearly three blocks."""
HASH = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def pauses() -> list[float]:
    """Seconds that would have been waited."""
    return []


def get(behaviour: Behaviour, path: Path, pauses: list[float], **options: Any) -> Any:
    with serving(behaviour) as address:
        return fetch(f"{address}/file", path, sleep=pauses.append, **options)


def only(path: Path) -> bool:
    return [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_whole_file_arrives_with_its_hash(tmp_path: Path, pauses: list[float]) -> None:
    seen: list[tuple[int, int]] = []
    found = get(Behaviour(CONTENT), tmp_path / "f", pauses, on_bytes=lambda done, total: seen.append((done, total)))
    assert (found.size, found.sha256) == (len(CONTENT), HASH)
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert only(tmp_path / "f")
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert pauses == []


@pytest.mark.parametrize(
    "version", [{"version": '"a"'}, {"version": None, "modified": "Tue, 24 Nov 2026 10:00:00 GMT"}]
)
def test_a_broken_download_goes_on_where_it_broke(version: Any, tmp_path: Path, pauses: list[float]) -> None:
    behaviour = Behaviour(CONTENT, breaks_after=[1_000_000, 500_000, 0], **version)
    found = get(behaviour, tmp_path / "f", pauses, size=len(CONTENT), sha256=HASH)
    assert found.sha256 == HASH
    assert [asked for _, asked in behaviour.requests] == [None, "bytes=1000000-", "bytes=1500000-", "bytes=1500000-"]
    # After progress the pause is the first again; after none it doubles.
    assert pauses == [1.0, 1.0, 2.0]


def test_a_later_call_goes_on_with_what_came_before(tmp_path: Path, pauses: list[float]) -> None:
    behaviour = Behaviour(CONTENT, breaks_after=[1_000_000] + [0] * ATTEMPTS)
    with pytest.raises(DataError, match="only 1,000,000 of 3,000,000 bytes; what came so far is kept") as refusal:
        get(behaviour, tmp_path / "f", pauses)
    assert is_one_sentence(str(refusal.value))
    assert not (tmp_path / "f").exists()
    later = Behaviour(CONTENT)
    get(later, tmp_path / "f", pauses)
    assert [asked for _, asked in later.requests] == ["bytes=1000000-"]
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert only(tmp_path / "f")


def test_a_file_that_changed_meanwhile_is_fetched_anew(tmp_path: Path, pauses: list[float]) -> None:
    other = CONTENT[::-1]

    def change(behaviour: Behaviour) -> None:
        if len(behaviour.requests) == 2:
            behaviour.content, behaviour.version = other, '"2"'

    get(Behaviour(CONTENT, breaks_after=[1_000_000], on_request=change), tmp_path / "f", pauses)
    assert (tmp_path / "f").read_bytes() == other


@pytest.mark.parametrize("behaviour", [{"ranges": False}, {"version": None}, {"version": 'W/"weak"'}])
def test_where_no_part_can_be_asked_for_the_whole_is_fetched_again(
    behaviour: Any, tmp_path: Path, pauses: list[float]
) -> None:
    get(Behaviour(CONTENT, breaks_after=[1_000_000], **behaviour), tmp_path / "f", pauses, sha256=HASH)
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_changed_bytes_are_refused_and_removed(tmp_path: Path, pauses: list[float]) -> None:
    changed = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
    with pytest.raises(DataError, match=rf"expected SHA-256 {HASH} from http.*, found {'[0-9a-f]' * 64}\.") as refusal:
        get(Behaviour(changed), tmp_path / "f", pauses, size=len(CONTENT), sha256=HASH)
    assert is_one_sentence(str(refusal.value))
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_promises_more_than_it_has_is_given_up(tmp_path: Path, pauses: list[float]) -> None:
    """It says 100 bytes more; what lies beyond the end does not exist, and it says so: the file was whole."""
    assert get(Behaviour(CONTENT, stated_excess=100), tmp_path / "f", pauses, sha256=HASH).size == len(CONTENT)
    silent = Behaviour(CONTENT, stated_excess=100, ranges=False)
    with pytest.raises(DataError, match="found only 3,000,000 of 3,000,100 bytes"):
        get(silent, tmp_path / "g", pauses)
    assert len(silent.requests) == ATTEMPTS


def test_a_server_that_stops_short_of_the_known_size_is_given_up(tmp_path: Path, pauses: list[float]) -> None:
    short = Behaviour(CONTENT, stated_excess=-100)
    with pytest.raises(DataError, match=r"found a file of 2,999,900 bytes instead of 3,000,000\."):
        get(short, tmp_path / "f", pauses, size=len(CONTENT))
    assert list(tmp_path.iterdir()) == []
    assert pauses == [1.0, 2.0, 4.0, 8.0]


def test_a_check_that_fails_removes_the_file(tmp_path: Path, pauses: list[float]) -> None:
    def check(path: Path) -> None:
        assert path.read_bytes() == CONTENT
        raise DataError("not data.")

    with pytest.raises(DataError, match=r"not data\."):
        get(Behaviour(CONTENT), tmp_path / "f", pauses, check=check)
    assert list(tmp_path.iterdir()) == []


def test_a_busy_server_is_asked_again(tmp_path: Path, pauses: list[float]) -> None:
    behaviour = Behaviour(CONTENT, statuses=[503, 429, 500])
    assert get(behaviour, tmp_path / "f", pauses).sha256 == HASH
    assert pauses == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("status", [404, 401, 403])
def test_a_plain_no_is_not_asked_again(status: int, tmp_path: Path, pauses: list[float]) -> None:
    behaviour = Behaviour(CONTENT, statuses=[status] * 9)
    with pytest.raises(DataError, match=rf"expected the file from http.*, found the server's answer {status}\."):
        get(behaviour, tmp_path / "f", pauses)
    assert len(behaviour.requests) == 1
    assert pauses == []


def test_nobody_there_is_said_after_some_tries(tmp_path: Path, pauses: list[float]) -> None:
    with serving(Behaviour(CONTENT)) as address:
        pass
    with pytest.raises(DataError, match=r"found no connection \(Connection refused\)\.") as refusal:
        fetch(f"{address}/file", tmp_path / "f", sleep=pauses.append)
    assert is_one_sentence(str(refusal.value))
    assert pauses == [1.0, 2.0, 4.0, 8.0]


def test_other_addresses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"expected an address of http or https to download from, found 'file:///etc/x'"
    ):
        fetch("file:///etc/x", tmp_path / "f")


def test_a_full_disk_is_refused_before_it_is_full(
    tmp_path: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match="expected room on the disk for 3 MB, found a full disk with room for 1 MB"):
        get(Behaviour(CONTENT), tmp_path / "f", pauses)
    assert not (tmp_path / "f").exists()
