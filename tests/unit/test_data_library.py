"""DSRL's folder: files found by task, fetched, copied, recorded, and checked."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[2]))
from tests.data_fixtures import is_one_sentence
from tests.http_server import Behaviour, serving

from surefoot.data import library, load, read_card
from surefoot.data.minari import save_minari
from surefoot.errors import ConfigError, DataError
from surefoot.tasks import get_task

STARTER = Path(__file__).parents[1] / "data" / "ballrun_starter.hdf5"
BALL_RUN = get_task("BallRun")
CONTENT = STARTER.read_bytes()
NAME = "SafetyBallRun-v0-80-940.hdf5"


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """DSRL's folder of this test, which does not exist yet."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("DSRL_DATASET_DIR", str(tmp_path / "dsrl"))
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    return tmp_path / "dsrl"


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text())


def test_folder_and_endpoint_follow_the_environment() -> None:
    assert library.folder({}) == Path.home() / ".dsrl" / "datasets"
    assert library.folder({"DSRL_DATASET_DIR": "/data"}) == Path("/data")
    assert library.endpoint({}) == "https://huggingface.co"
    assert library.endpoint({"HF_ENDPOINT": "https://mirror/"}) == "https://mirror"


def test_a_file_is_downloaded_recorded_and_found_by_its_task(surroundings: Path) -> None:
    behavior = Behaviour(CONTENT)
    with serving(behavior) as address:
        fetched = library.get(BALL_RUN, base=address)
        assert (fetched.news, fetched.recorded) == ("downloaded", True)
        again = library.get(BALL_RUN, base=address)
        assert (again.news, again.recorded) == ("present", False)
    assert [path for path, _ in behavior.requests] == [f"/datasets/YYY-45/DSRL/resolve/main/{NAME}"]
    assert manifest(surroundings) == {
        NAME: {"size": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()},
    }
    assert len(load(BALL_RUN).lengths) == 200
    assert library.task_of(surroundings / NAME) == BALL_RUN
    assert list(library.in_library({"BallRun": BALL_RUN, "CarRun": get_task("CarRun")}, surroundings)) == [
        (BALL_RUN, surroundings / NAME)
    ]


def test_the_endpoint_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Behaviour(CONTENT)) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert library.get(BALL_RUN).news == "downloaded"


def test_bytes_that_are_not_the_recorded_ones_are_refused(surroundings: Path) -> None:
    surroundings.mkdir()
    known = {NAME: {"size": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}}
    (surroundings / "manifest.json").write_text(json.dumps(known))
    changed = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with serving(Behaviour(changed)) as address, pytest.raises(DataError, match="expected SHA-256") as refusal:
        library.get(BALL_RUN, base=address)
    assert is_one_sentence(str(refusal.value))
    (surroundings / NAME).write_bytes(changed)
    with pytest.raises(DataError, match=r"expected SHA-256 [0-9a-f]{64} as recorded, found"):
        library.get(BALL_RUN)
    (surroundings / NAME).write_bytes(CONTENT[:-1])
    with pytest.raises(DataError, match=r"expected 1,174,478 bytes as recorded, found 1,174,477\."):
        library.get(BALL_RUN)
    assert manifest(surroundings) == known


def test_a_file_cut_by_the_server_is_not_recorded(surroundings: Path) -> None:
    """It states a length that is too small, and no hash is known: HDF5 itself knows better."""
    with (
        serving(Behaviour(CONTENT, stated_excess=-1000)) as address,
        pytest.raises(DataError, match="expected a readable HDF5 file, found a fault"),
    ):
        library.get(BALL_RUN, base=address)
    assert list(surroundings.iterdir()) == []


def test_an_offline_folder_is_copied_from(tmp_path: Path, surroundings: Path) -> None:
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb" / NAME).write_bytes(CONTENT)
    fetched = library.get(BALL_RUN, source=tmp_path / "usb")
    assert (fetched.news, fetched.recorded) == ("copied", True)
    assert (surroundings / NAME).read_bytes() == CONTENT
    with pytest.raises(DataError, match=r"SafetyCarRun-v0-40-651.hdf5: expected the file to copy, found nothing"):
        library.get(get_task("CarRun"), source=tmp_path / "usb")


def test_a_file_that_is_not_there_says_how_to_get_it(surroundings: Path) -> None:
    with pytest.raises(DataError, match=r"get it with: surefoot data download CarRun\.") as refusal:
        load(get_task("CarRun"))
    assert is_one_sentence(str(refusal.value))
    with pytest.raises(ConfigError, match="PointRobot: expected a task of DSRL's"):
        library.find(get_task("PointRobot"))


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": {"size": 1}}'])
def test_a_damaged_manifest_is_named(text: str, surroundings: Path) -> None:
    surroundings.mkdir()
    (surroundings / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest.json: (a|a.sha256|expected sizes and hashes of files)"):
        library.read_manifest(surroundings)


def test_a_path_needs_its_task() -> None:
    with pytest.raises(TypeError, match="a path needs the task"):
        load(STARTER)


def test_formats_are_told_apart(tmp_path: Path) -> None:
    dataset = load(STARTER, BALL_RUN).select(range(5))
    save_minari(tmp_path / "minari", dataset, BALL_RUN, card=read_card(STARTER))
    assert library.format_of(STARTER, BALL_RUN) == "dsrl"
    assert library.format_of(tmp_path / "minari", BALL_RUN) == "minari"
    assert library.task_of(tmp_path / "minari") == BALL_RUN
    assert library.load(tmp_path / "minari", BALL_RUN).fingerprint() == dataset.fingerprint()
