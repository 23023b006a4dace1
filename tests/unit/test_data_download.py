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

from surefoot.data import download, web
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


def get(behavior: Behaviour, path: Path, pauses: list[float], **options: Any) -> Any:
    with serving(behavior) as address:
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
    behavior = Behaviour(CONTENT, breaks_after=[1_000_000, 500_000, 0], **version)
    found = get(behavior, tmp_path / "f", pauses, size=len(CONTENT), sha256=HASH)
    assert found.sha256 == HASH
    assert [asked for _, asked in behavior.requests] == [None, "bytes=1000000-", "bytes=1500000-", "bytes=1500000-"]
    # After progress the pause is the first again; after none it doubles.
    assert pauses == [1.0, 1.0, 2.0]


def test_a_later_call_goes_on_with_what_came_before(tmp_path: Path, pauses: list[float]) -> None:
    behavior = Behaviour(CONTENT, breaks_after=[1_000_000] + [0] * ATTEMPTS)
    with pytest.raises(DataError, match="only 1,000,000 of 3,000,000 bytes; what came so far is kept") as refusal:
        get(behavior, tmp_path / "f", pauses)
    assert is_one_sentence(str(refusal.value))
    assert not (tmp_path / "f").exists()
    later = Behaviour(CONTENT)
    get(later, tmp_path / "f", pauses)
    assert [asked for _, asked in later.requests] == ["bytes=1000000-"]
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert only(tmp_path / "f")


def test_a_file_that_changed_meanwhile_is_fetched_anew(tmp_path: Path, pauses: list[float]) -> None:
    other = CONTENT[::-1]

    def change(behavior: Behaviour) -> None:
        if len(behavior.requests) == 2:
            behavior.content, behavior.version = other, '"2"'

    get(Behaviour(CONTENT, breaks_after=[1_000_000], on_request=change), tmp_path / "f", pauses)
    assert (tmp_path / "f").read_bytes() == other


@pytest.mark.parametrize("behavior", [{"ranges": False}, {"version": None}, {"version": 'W/"weak"'}])
def test_where_no_part_can_be_asked_for_the_whole_is_fetched_again(
    behavior: Any, tmp_path: Path, pauses: list[float]
) -> None:
    get(Behaviour(CONTENT, breaks_after=[1_000_000], **behavior), tmp_path / "f", pauses, sha256=HASH)
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
    behavior = Behaviour(CONTENT, statuses=[503, 429, 500])
    assert get(behavior, tmp_path / "f", pauses).sha256 == HASH
    assert pauses == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("status", [404, 401, 403])
def test_a_plain_no_is_not_asked_again(status: int, tmp_path: Path, pauses: list[float]) -> None:
    behavior = Behaviour(CONTENT, statuses=[status] * 9)
    with pytest.raises(DataError, match=rf"expected the file from http.*, found the server's answer {status}\."):
        get(behavior, tmp_path / "f", pauses)
    assert len(behavior.requests) == 1
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


# --- servers that never end ------------------------------------------------------------------------------------------


def test_a_server_that_drips_is_given_up(tmp_path: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte is progress, and no time limit of the socket runs out: the rate does."""
    monkeypatch.setattr(download, "WINDOW", 0.05)
    behavior = Behaviour(CONTENT, drips=0.005)
    with pytest.raises(DataError, match=r"found only \d+ bytes in 0.05 seconds; what came so far is kept") as refusal:
        get(behavior, tmp_path / "f", pauses)
    assert is_one_sentence(str(refusal.value))
    assert len(behavior.requests) == ATTEMPTS
    assert pauses == [1.0, 2.0, 4.0, 8.0]
    kept = (tmp_path / "f.part").read_bytes()
    assert kept == CONTENT[: len(kept)]
    assert len(kept) >= ATTEMPTS


def test_a_head_that_drips_is_given_up(tmp_path: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "ANSWER_SECONDS", 0.05)
    behavior = Behaviour(CONTENT, drips=0.005, drips_head=True)
    with pytest.raises(DataError, match="found no connection"):
        get(behavior, tmp_path / "f", pauses)
    assert len(behavior.requests) == ATTEMPTS


def test_progress_does_not_buy_tries_without_end(
    tmp_path: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MOST_ATTEMPTS", 7)
    behavior = Behaviour(CONTENT, breaks_after=[1] * 1000)
    with pytest.raises(DataError, match="found only 7 of 3,000,000 bytes; what came so far is kept"):
        get(behavior, tmp_path / "f", pauses)
    assert len(behavior.requests) == 7


def test_without_a_length_no_more_than_the_known_size_is_taken(tmp_path: Path, pauses: list[float]) -> None:
    endless = Behaviour(CONTENT, headers={"Content-Length": ""})
    with pytest.raises(DataError, match=r"found more than 2,000,000 bytes\."):
        get(endless, tmp_path / "f", pauses, size=2_000_000)
    assert list(tmp_path.iterdir()) == []
    assert get(endless, tmp_path / "f", pauses, size=len(CONTENT)).sha256 == HASH
    assert len(endless.requests) == 2


def test_of_an_unknown_size_no_more_than_the_most_is_taken(
    tmp_path: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = Behaviour(CONTENT, headers={"Content-Length": ""})
    assert get(endless, tmp_path / "f", pauses).sha256 == HASH
    monkeypatch.setattr(download, "MOST_BYTES", 2_000_000)
    with pytest.raises(DataError, match=r"found more than 2,000,000 bytes\."):
        get(endless, tmp_path / "g", pauses)
    with pytest.raises(DataError, match=r"found one of 3,000,000 bytes, where at most 2,000,000 are taken\."):
        get(Behaviour(CONTENT), tmp_path / "g", pauses)
    assert only(tmp_path / "f")
    assert get(Behaviour(CONTENT), tmp_path / "g", pauses, size=len(CONTENT)).sha256 == HASH  # it is known


def test_room_is_asked_for_while_the_size_is_not_known(
    tmp_path: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr(download, "SYNCED_BYTES", 500_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match="expected room on the disk for"):
        get(Behaviour(CONTENT, headers={"Content-Length": ""}), tmp_path / "f", pauses)
    assert 500_000 <= (tmp_path / "f.part").stat().st_size < 2_000_000


def test_every_block_is_on_the_disk_at_once(tmp_path: Path, pauses: list[float]) -> None:
    """A kill loses what was not written; nothing waits in this process."""
    sizes: list[tuple[int, int]] = []

    def look(done: int, total: int) -> None:
        sizes.append((done, (tmp_path / "f.part").stat().st_size))

    get(Behaviour(CONTENT), tmp_path / "f", pauses, on_bytes=look)
    assert len(sizes) >= 3
    assert all(done == size for done, size in sizes)


# --- answers that are not the file -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stated",
    [
        "bytes 0-2999999/3000000",
        "bytes 999999-2999999/3000000",
        "bytes 1000000-1/3000000",
        "1000000-2999999/3000000",
        "",
    ],
)
def test_another_part_than_asked_for_is_not_joined(stated: str, tmp_path: Path, pauses: list[float]) -> None:
    def state(behavior: Behaviour) -> None:
        behavior.headers = {"Content-Range": stated} if len(behavior.requests) == 2 else {}

    behavior = Behaviour(CONTENT, breaks_after=[1_000_000], on_request=state)
    assert get(behavior, tmp_path / "f", pauses).sha256 == HASH
    assert [asked for _, asked in behavior.requests] == [None, "bytes=1000000-", None]


def test_a_part_of_unknown_total_is_joined(tmp_path: Path, pauses: list[float]) -> None:
    def state(behavior: Behaviour) -> None:
        behavior.headers = {"Content-Range": "bytes 1000000-2999999/*"} if len(behavior.requests) == 2 else {}

    behavior = Behaviour(CONTENT, breaks_after=[1_000_000], on_request=state)
    assert get(behavior, tmp_path / "f", pauses).sha256 == HASH
    assert len(behavior.requests) == 2


def test_an_encoded_file_is_refused(tmp_path: Path, pauses: list[float]) -> None:
    behavior = Behaviour(CONTENT, headers={"Content-Encoding": "gzip"})
    with pytest.raises(DataError, match=r"found one that is encoded \(gzip\), which was not asked for\."):
        get(behavior, tmp_path / "f", pauses)
    assert len(behavior.requests) == 1


@pytest.mark.parametrize("status", [204, 202, 304])
def test_an_answer_without_a_file_is_no_file(status: int, tmp_path: Path, pauses: list[float]) -> None:
    with pytest.raises(DataError, match=rf"found the server's answer {status}\."):
        get(Behaviour(CONTENT, statuses=[status]), tmp_path / "f", pauses)
    assert list(tmp_path.iterdir()) == []


def test_few_redirects_are_followed(tmp_path: Path, pauses: list[float]) -> None:
    assert get(Behaviour(CONTENT, redirects=["self"] * 3), tmp_path / "f", pauses).sha256 == HASH
    behavior = Behaviour(CONTENT, redirects=["self"] * 100)
    with pytest.raises(DataError, match=r"found the server's answer 302\."):
        get(behavior, tmp_path / "g", pauses)
    assert len(behavior.requests) <= web.MOST_REDIRECTS + 1


@pytest.mark.parametrize(
    "place", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "http://[::1/x", "http://x:y/"]
)
def test_no_redirect_leads_elsewhere(place: str, tmp_path: Path, pauses: list[float]) -> None:
    with pytest.raises(DataError, match="expected the file from http") as refusal:
        get(Behaviour(CONTENT, redirects=[place]), tmp_path / "f", pauses)
    assert is_one_sentence(str(refusal.value))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "address",
    ["file:///etc/x", "ftp://x/y", "http://", "http:///x", "http://x:y/z", "http://x:99999/", "http://[::1/x",
     "http://x/a b", "http://x/\nHost: y", "http://\u00fc.de/x", "x", "", "HTTPS:/x"],
)  # fmt: skip
def test_what_is_no_address_is_one_sentence(address: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected an address of http or https to download from, found '"):
        fetch(address, tmp_path / "f")


def test_nothing_is_written_through_a_link(tmp_path: Path, pauses: list[float]) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "f.part").symlink_to(tmp_path / "victim")
    (tmp_path / "g.part.version").symlink_to(tmp_path / "victim")
    with pytest.raises(DataError, match=r"f\.part: expected the beginning of the file, or nothing, found something"):
        get(Behaviour(CONTENT), tmp_path / "f", pauses)
    get(Behaviour(CONTENT), tmp_path / "g", pauses)
    assert (tmp_path / "victim").read_text() == "precious"
    assert not (tmp_path / "f").exists()


def test_one_process_at_a_time_downloads_a_file(tmp_path: Path, pauses: list[float]) -> None:
    path, refused = tmp_path / "f", []
    (tmp_path / ".f.lock").touch()  # what a killed process leaves

    def another(done: int, total: int) -> None:
        if not refused:
            with pytest.raises(DataError) as found:
                get(Behaviour(b"other"), path, pauses)
            refused.append(str(found.value))

    assert get(Behaviour(CONTENT), path, pauses, on_bytes=another).sha256 == HASH
    assert is_one_sentence(refused[0])
    assert refused[0].startswith(f"{path}: another process is downloading it")
    assert path.read_bytes() == CONTENT
    assert only(path)
    assert get(Behaviour(b"later"), path, pauses).size == 5
