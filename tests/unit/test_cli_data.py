"""`surefoot data`: every sub-command on episodes from a real simulator, and what each refuses."""

import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))
from tests.data_fixtures import file_arrays, is_one_sentence, make_dataset, write_arrays
from tests.http_server import Behaviour, serving

from surefoot.cli import data as command
from surefoot.cli.main import main
from surefoot.data import TransitionStream, library, load, read_card
from surefoot.data.minari import load_minari, save_minari
from surefoot.errors import ConfigError
from surefoot.experiments.data_filter import FILTERS
from surefoot.experiments.train_request import TrainRequest, prepared
from surefoot.presets import build
from surefoot.tasks import get_task

STARTER = Path(__file__).parents[1] / "data" / "ballrun_starter.hdf5"
BALL_RUN = get_task("BallRun")
NAME = "SafetyBallRun-v0-80-940.hdf5"


@pytest.fixture(autouse=True)
def dsrl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("DSRL_DATASET_DIR", str(tmp_path / "dsrl"))
    return tmp_path / "dsrl"


def data(*words: object) -> int:
    return main(["data", *map(str, words)])


def refusal(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    assert data(*words) == 2
    text = capsys.readouterr().err.splitlines()[-1]
    assert text.startswith("error: ")
    sentence = text.removeprefix("error: ")
    assert is_one_sentence(sentence) or (sentence.startswith("unknown ") and sentence.endswith("?")), sentence
    return text


def test_help_lists_the_sub_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert data("--help") == 0
    text = capsys.readouterr().out
    for name in ("download", "verify", "info", "plot", "subset", "filter", "convert", "imitation"):
        assert f"\n  {name} " in text
    assert data() == 0
    assert capsys.readouterr().out == text
    assert data("filter", "--help") == 0
    text = capsys.readouterr().out
    for name in FILTERS:
        assert f"\n  {name} " in text


WORDS = [[name] for name in command.COMMANDS if name != "filter"] + [["filter", name] for name in FILTERS]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_every_sub_command_explains_itself(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert data(*words, "--help") == 0
    assert f"usage: surefoot data {' '.join(words)}" in capsys.readouterr().out


def test_download_says_what_it_recorded_and_verify_checks_it(
    dsrl: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(Behaviour(STARTER.read_bytes())) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert data("download", "BallRun") == 0
        assert "downloaded, 1.2 MB, SHA-256 " in (text := capsys.readouterr().out)
        assert "its hash was not known and is recorded from now on" in text
        assert data("download", "OfflineBallRun-v0") == 0
        assert "present, 1.2 MB" in capsys.readouterr().out
    assert data("verify") == 0
    assert "good" in capsys.readouterr().out
    with (dsrl / NAME).open("r+b") as file:
        file.seek(600_000)
        file.write(b"\x00\x01\x02\x03")
    assert "expected good files only, found 1 bad: BallRun." in refusal(capsys, "verify", "BallRun")


def test_verify_of_a_file_that_is_not_in_the_manifest_says_so(dsrl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dsrl.mkdir()
    (dsrl / NAME).write_bytes(STARTER.read_bytes())
    assert data("verify") == 0
    assert "good, but not in the manifest (SHA-256 " in capsys.readouterr().out


def test_an_offline_folder_needs_no_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb" / NAME).write_bytes(STARTER.read_bytes())
    assert data("download", "BallRun", "--from", tmp_path / "usb") == 0
    assert "copied" in capsys.readouterr().out
    assert data("info", "BallRun") == 0


def test_info_shows_the_numbers_of_the_episodes(capsys: pytest.CaptureFixture[str]) -> None:
    assert data("info", STARTER) == 0
    text = " ".join(capsys.readouterr().out.split())
    dataset = load(STARTER, BALL_RUN)
    assert "transitions 20,000 episodes 200" in text
    assert f"cost {dataset.cost_returns.mean():,.4g} 0 " in text
    # Within the strict limit of 5.
    assert f" 5 {(dataset.cost_returns <= 5).mean():.1%} " in text
    assert "0 of 10 bins of the cost are empty" in text
    assert f"{(dataset.costs > 0).mean():.1%}" in text


def test_info_marks_gaps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert data("filter", "inpaint", STARTER, "--box", "0.2", "0.5", "0", "1", "--out", tmp_path / "gap.hdf5") == 0
    assert data("info", tmp_path / "gap.hdf5") == 0
    # Costs 16 to 40 are gone: the bins 16-24, 24-32 and 32-40 of ten from 0 to 80.
    assert "3 of 10 bins of the cost are empty" in (text := " ".join(capsys.readouterr().out.split()))
    assert text.count("gap") >= 3


def test_plot_writes_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert data("plot", STARTER, "--out", tmp_path / "data.png") == 0
    assert (tmp_path / "data.png").read_bytes().startswith(b"\x89PNG")
    assert "already" in refusal(capsys, "plot", STARTER, "--out", tmp_path / "data.png")
    assert "expected a name that ends in .png" in refusal(capsys, "plot", STARTER, "--out", tmp_path / "data.gif")
    assert [path.name for path in tmp_path.iterdir()] == ["data.png"]


def test_subset_writes_whole_episodes_and_a_card_that_says_of_what(tmp_path: Path) -> None:
    out = tmp_path / "tenth.hdf5"
    assert data("subset", STARTER, "--share", "0.1", "--seed", "3", "--out", out) == 0
    dataset, card = load(out, BALL_RUN), read_card(out)
    assert len(dataset.lengths) == 20
    assert card["recipe"] == "surefoot data subset"
    assert card["settings"] == {"share": 0.1, "seed": 3}
    assert card["made_from"]["fingerprint"] == load(STARTER, BALL_RUN).fingerprint()
    assert card["made_from"]["card"] == read_card(STARTER)
    assert card["coverage"]["episodes"] == 20


KINDS: dict[str, list[object]] = {
    "density": ["--share", 0.5],
    "outliers": ["--share", 0.2],
    "noise": ["--scale", 0.1],
    "inpaint": ["--box", 0, 0.1, 0, 1],
    "epsilon": ["--epsilon", 10],
    "safe": ["--cost-limit", 20],
    "risky": [],
    "boundary": ["--cost-limit", 40],
    "frontier": ["--cost-bins", 5],
}


@pytest.mark.parametrize("kind", FILTERS)
def test_filtered_data_are_data(kind: str, tmp_path: Path) -> None:
    """What every filter writes is loaded again with all checks, and says what was done."""
    out = tmp_path / "filtered.hdf5"
    assert data("filter", kind, STARTER, *KINDS[kind], "--out", out) == 0
    card = read_card(out)
    assert card["recipe"] == f"surefoot data filter {kind}"
    assert card["settings"].get("seed") == (0 if kind in ("density", "outliers", "noise") else None)
    assert 0 < len(load(out, BALL_RUN).lengths) <= 200


def test_safe_takes_the_tasks_own_limit(tmp_path: Path) -> None:
    assert data("filter", "safe", STARTER, "--out", tmp_path / "safe.hdf5") == 0
    assert load(tmp_path / "safe.hdf5", BALL_RUN).cost_returns.max() <= 5


def test_imitation_keeps_good_episodes(tmp_path: Path) -> None:
    assert data("imitation", STARTER, "--return-at-least", 300, "--most", 1, "--out", tmp_path / "good.hdf5") == 0
    assert load(tmp_path / "good.hdf5", BALL_RUN).returns.min() >= 300


def test_convert_to_minari_and_back(tmp_path: Path) -> None:
    few = tmp_path / "few.hdf5"
    assert data("subset", STARTER, "--share", 0.05, "--out", few) == 0
    assert data("convert", few, "--to", "minari", "--out", tmp_path / "minari") == 0
    dataset = load_minari(tmp_path / "minari", BALL_RUN)
    assert data("convert", tmp_path / "minari", "--out", tmp_path / "back.hdf5") == 0
    assert load(tmp_path / "back.hdf5", BALL_RUN).fingerprint() == dataset.fingerprint()
    np.testing.assert_array_equal(dataset.observations, load(few, BALL_RUN).observations)


@pytest.mark.parametrize("words", [["convert"], ["convert", "--to", "minari"], ["subset", "--share", "0.5"]])
def test_nothing_is_written_into_the_folder_that_is_read(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "minari"
    save_minari(folder, make_dataset(BALL_RUN, lengths=(5, 5), tail=0), BALL_RUN)
    before = sorted(folder.rglob("*"))
    (tmp_path / "link").symlink_to(folder)
    for out in (folder / "new", tmp_path / "link" / "data" / "new"):
        sentence = refusal(capsys, words[0], folder, "--task", "BallRun", *words[1:], "--out", out)
        assert f"--out: expected a place outside of the folder {folder}, found {out}" in sentence
    assert sorted(folder.rglob("*")) == before


def test_convert_makes_compressed_data_mappable_and_keeps_their_card(tmp_path: Path) -> None:
    arrays = file_arrays(load(STARTER, BALL_RUN))
    write_arrays(tmp_path / "old.hdf5", arrays, compression="gzip", chunks=True, card='{"task": "BallRun", "by": "us"}')
    assert data("convert", tmp_path / "old.hdf5", "--out", tmp_path / "new.hdf5") == 0
    assert load(tmp_path / "new.hdf5", BALL_RUN, mapped=True).fingerprint() == load(STARTER, BALL_RUN).fingerprint()
    card = read_card(tmp_path / "new.hdf5")
    assert (card["by"], card["converted"]["recipe"]) == ("us", "surefoot data convert, from old.hdf5")


def test_convert_labels_the_costs_of_d4rl(tmp_path: Path) -> None:
    task = get_task("HopperVelocity")
    rng = np.random.default_rng(0)
    arrays = {
        "observations": rng.normal(size=(50, task.observation_dim)),
        "actions": rng.uniform(-1, 1, (50, task.action_dim)),
        "rewards": rng.normal(size=50),
        "terminals": np.arange(50) % 25 == 24,
    }
    write_arrays(tmp_path / "hopper.hdf5", arrays)
    assert data("convert", tmp_path / "hopper.hdf5", "--task", task.name, "--out", tmp_path / "out.hdf5") == 0
    costs = load(tmp_path / "out.hdf5", task).costs
    # Column 5 is the velocity forwards, the limit 0.7402; row 24 terminates and has no next observation.
    np.testing.assert_array_equal(costs[:24], arrays["observations"][1:25, 5] > 0.7402)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["inf"], "unknown data command 'inf'; did you mean info?"),
        (["filter", "densty"], "unknown filter 'densty'; did you mean density?"),
        (["info", "gone.hdf5"], "gone.hdf5: expected a file, a folder or a task's name, found nothing of that name."),
        (["info", "CarRun"], "get it with: surefoot data download CarRun."),
        (["info", STARTER, "--task", "BalRun"], "unknown task 'BalRun'; did you mean BallRun"),
        (["info", STARTER, "--task", "CarRun"], "card: expected data of task CarRun, found data of task 'BallRun'."),
        (["download"], "expected at least one name, or all, found none."),
        (["download", "PointRobot"], "PointRobot: expected a task of DSRL's"),
        (["verify"], "expected published files to check, found none."),
        (["subset", STARTER, "--share", "2", "--out", "no/x.hdf5"], "--share: expected a number in (0, 1], found 2."),
        (["subset", STARTER, "--share", "1", "--out", STARTER], "it exists already; add --overwrite"),
        (["filter", "density", STARTER, "--share", "0.3", "--out", "no/x.hdf5"], "(there are 0.5 and 0.75), found 0.3"),
        (["filter", "noise", STARTER, "--scale", "1", "--seed", "-1", "--out", "x"], "--seed: expected at least 0"),
    ],
)  # fmt: skip
def test_wrong_words_are_one_sentence(words: list[object], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert part in refusal(capsys, *words)
    assert not Path("no").exists()


def test_data_that_do_not_say_whose_they_are_need_a_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_arrays(tmp_path / "data.hdf5", file_arrays(make_dataset()))
    assert "name the task with --task" in refusal(capsys, "info", tmp_path / "data.hdf5")
    assert data("info", tmp_path / "data.hdf5", "--task", "PointRobot") == 0


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """HDF5 hides the system's error in words of its own."""
    words = "Can't write data (file write failed: errno = 28, error message = 'No space left on device')"

    def full(*_: Any, **__: Any) -> None:
        raise OSError(words)

    monkeypatch.setattr(h5py.Group, "create_dataset", full)
    sentence = refusal(capsys, "subset", STARTER, "--share", 0.5, "--out", tmp_path / "x.hdf5")
    assert sentence == f"error: {tmp_path / 'x.hdf5'}: expected room on the disk to write it, found a full disk."
    assert list(tmp_path.iterdir()) == []


def request_of(**changes: Any) -> TrainRequest:
    given = {"algorithm": build("bc", BALL_RUN), "name": "bc", "preset": "small", "task": BALL_RUN, "seeds": (0,)}
    return TrainRequest(out=Path("run"), **{**given, **changes})


def test_train_finds_published_data_by_the_task(dsrl: Path) -> None:
    dsrl.mkdir()
    (dsrl / NAME).write_bytes(STARTER.read_bytes())
    assert request_of().place == dsrl / NAME
    assert request_of(data=STARTER).place == STARTER
    with pytest.raises(ConfigError, match="data: expected the file to train on, found none; PointRobot has no"):
        assert request_of(task=get_task("PointRobot")).place


def test_train_streams_what_stays_in_its_file(tmp_path: Path) -> None:
    algorithm = build("bc", BALL_RUN)
    assert data("convert", STARTER, "--out", tmp_path / "plain.hdf5") == 0
    mapped = load(tmp_path / "plain.hdf5", BALL_RUN, mapped=True)
    stream = prepared(algorithm, mapped, BALL_RUN)
    assert isinstance(stream, TransitionStream)
    whole = prepared(algorithm, load(STARTER, BALL_RUN), BALL_RUN)
    assert not isinstance(whole, TransitionStream)
    rows = np.array([0, 99, 100, 19_999])
    for one, other in zip(stream.take(rows), whole, strict=True):
        np.testing.assert_array_equal(one, np.asarray(other)[rows])


def test_the_folder_is_the_environments(dsrl: Path) -> None:
    assert library.folder() == dsrl


@pytest.mark.parametrize(("name", "found"), [("", "an empty folder"), ("notes.txt", "a folder of another kind")])
def test_a_folder_without_data_is_said_to_be_so(
    name: str, found: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name:
        (tmp_path / name).write_text("")
    for words in ([], ["--task", "BallRun"], ["--task", "HazardRun"]):
        assert main(["data", "info", str(tmp_path), *words]) == 2
        sentence = (
            f"{tmp_path}: expected an HDF5 file, or a folder of Minari's, of episodes of images or of their chunks"
        )
        assert capsys.readouterr().err == f"error: {sentence}, found {found}.\n"
