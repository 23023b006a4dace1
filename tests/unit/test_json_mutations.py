"""Every JSON file of a run, changed at random: the result of before, or one sentence; never another exception."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest
from tests.data_fixtures import BINARY_TASK, is_one_sentence, make_dataset
from tests.stub_planner import StubPlanner
from tests.stub_run import know_the_stub, stub_run

from surefoot import checkpoint, data
from surefoot.cli.main import main
from surefoot.data import library
from surefoot.data.minari import load_minari, save_minari
from surefoot.errors import SurefootError
from surefoot.evaluation.rows import EpisodeRow, read_budget_rows
from surefoot.json_files import read_rows as read_json_rows
from surefoot.report.budget_figures import levels_of
from surefoot.report.plots import training_curves
from surefoot.report.summary_text import summary_text
from surefoot.runs.summary import merge_summary, read_summary
from surefoot.safety.calibration import Calibration, read_calibration, write_calibration
from surefoot.training import RunDirectory
from surefoot.training.finetune import read_round_rows
from surefoot.training.metrics_log import MetricsRow

MUTATIONS = 60
_VALUES: tuple[Any, ...] = (None, True, 0, -1, 1.5, 10**19, "", "x", "\u202e", [], [[]], {}, {"a": {}}, [None], "NaN")
Reader = Callable[[Path], Any]


def mutated(text: str, draw: random.Random) -> str:
    """JSON text with one value replaced, removed, renamed or nested, or its bytes cut or exchanged."""
    kind = draw.randrange(8)
    if kind == 0:
        return text[: draw.randrange(len(text))]
    if kind == 1:
        place = draw.randrange(len(text))
        return text[:place] + draw.choice('{}[]",:0-eN\\') + text[place + 1 :]
    if kind == 2:
        return "[" * draw.choice((70, 3000, 10**5)) + text
    value = json.loads(text)
    places = list(_places(value))
    parent, key = draw.choice(places) if places else ([value], 0)
    if kind == 3 and isinstance(parent, dict):
        parent[f"{key}x"] = parent.pop(key)
    elif kind == 4:
        del parent[key]
    elif kind == 5:
        parent[key] = [parent[key]]
    else:
        parent[key] = draw.choice(_VALUES)
    changed = json.dumps(value)
    return changed.replace('"NaN"', draw.choice(("NaN", "-Infinity", "1e999", '"NaN"')))


def _places(value: Any) -> Any:
    for key, below in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield value, key
        yield from _places(below)


def sentence(read: Reader, path: Path) -> str:
    """What is said against a file; empty where it is read."""
    try:
        read(path)
    except SurefootError as error:
        return str(error)
    return ""


def check(path: Path, read: Reader, *, rows: bool = False, mutations: int = MUTATIONS) -> int:
    """Read a file after each of many mutations; returns how many were refused."""
    original, draw, refused = path.read_text(), random.Random(0), 0
    read(path)
    for _ in range(mutations):
        lines = original.splitlines() if rows else [original]
        place = draw.randrange(len(lines))
        lines[place] = mutated(lines[place], draw)
        path.write_text("\n".join(lines) + "\n" if rows else lines[0], encoding="utf-8", errors="surrogatepass")
        said = sentence(read, path)
        refused += bool(said)
        assert is_one_sentence(said or "Read."), said
        assert len(said) < 1500
    path.write_text(original)
    return refused


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    know_the_stub(monkeypatch)
    return stub_run(tmp_path / "run", StubPlanner())


def test_configuration(run: Path) -> None:
    assert check(run / "config.json", lambda path: RunDirectory(path.parent).read_config().identity) > 20


def test_checkpoint(run: Path) -> None:
    folder = run / "checkpoints" / "000000002"

    def read(_: Path) -> Any:
        tree, metadata = checkpoint.load(folder, {"gain": jnp.ones(2)})
        return tree, checkpoint.step_of(folder, metadata)

    assert check(folder / "checkpoint.json", read) > 20


def test_calibration(tmp_path: Path) -> None:
    kept = {"0": {"0.1": [[1.0, 2.0], [1.8, 2.0]]}}
    path = write_calibration(tmp_path, Calibration("budgets", 2, 6, {}, 9, 9, "x", kept, checkpoint_sha256="ab" * 32))

    def read(path: Path) -> Any:
        found = read_calibration(path.parent, step=2, sha256="ab" * 32)
        return found.for_seed(0, 0.1), found.holds_from(0, 0.1)

    assert check(path, read) > 20


def test_summary_and_rows_of_budgets(run: Path) -> None:
    words = [
        "evaluate",
        str(run),
        "--budget",
        "0.5",
        "1.0",
        "--cost-limit",
        "inf",
        "--episodes",
        "2",
        "--num-envs",
        "4",
    ]
    assert main(words) == 0
    assert check(run / "summary.json", lambda path: summary_text(read_summary(path.parent)), mutations=200) > 60
    rows = run / "evaluation" / "budget_episodes.jsonl"
    assert check(rows, lambda path: levels_of(read_budget_rows(path)), rows=True) > 20


def test_summaries_that_are_committed(tmp_path: Path) -> None:
    for path in sorted(Path("results").rglob("summary.json")):
        if (path.parent / "config.json").exists():
            read_summary(path.parent)
    path = tmp_path / "summary.json"
    path.write_text((Path("results") / "point_robot" / "quickstart" / "summary.json").read_text())
    assert check(path, lambda path: summary_text(read_summary(path.parent)), mutations=200) > 60


def test_rows_of_metrics_rounds_and_episodes(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    row = {"step": 1, "phase": "a", "seed": 0, "metrics": {"loss": 1.0}}
    path.write_text(f"{json.dumps(row)}\n" * 3)

    def curves(path: Path) -> Any:
        rows: list[Any] = read_json_rows(path, MetricsRow, what="rows")
        return training_curves([{**{k: r[k] for k in ("step", "phase", "seed")}, **r["metrics"]} for r in rows])

    assert check(path, curves, rows=True, mutations=25) > 8
    episode = {"seed": 0, "episode": 0, "return": 1.0, "cost": 0.0, "length": 3, "start": "drawn"}
    path.write_text(json.dumps(episode) + "\n")
    assert check(path, lambda path: read_json_rows(path, EpisodeRow, what="rows"), rows=True) > 20
    round_row = {"round": 1, "seed": 0, "environment_steps": 3, "episodes": 1, "return_mean": 1.0, "metrics": {},
                 "violating_share": 0.0, "violating_episodes": 0, "total_cost": 0.0}  # fmt: skip
    path.write_text(json.dumps(round_row) + "\n")
    assert check(path, lambda path: read_round_rows(path, what="rows"), rows=True) > 20


def test_manifest_and_metadata_of_data(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"a.hdf5": {"size": 3, "sha256": "ab" * 32}}))
    assert check(manifest, lambda path: library.read_manifest(path.parent)) > 20
    save_minari(tmp_path / "minari", make_dataset(BINARY_TASK), BINARY_TASK)
    check(tmp_path / "minari" / "data" / "metadata.json", lambda path: load_minari(path.parent, BINARY_TASK))


def test_cards(tmp_path: Path) -> None:
    card = tmp_path / "card.json"
    card.write_text(json.dumps({"task": "Binary", "coverage": {"episodes": 2}, "behaviours": [{"name": "a"}]}))
    file = tmp_path / "data.hdf5"
    data.save(file, make_dataset(BINARY_TASK))

    def read(path: Path) -> Any:
        import h5py

        with h5py.File(file, "a") as opened:
            opened.attrs["card"] = path.read_bytes()
        return library.card_of(file)

    assert check(card, read, mutations=30) > 8


# --- a run whose configuration was changed, before the commands ------------------------------------------------------


def _changed(*place: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        for name in place[:-1]:
            values = values[name]
        values[place[-1]] = to

    return change


def _without(*place: str) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        for name in place[:-1]:
            values = values[name]
        del values[place[-1]]

    return change


CONFIGURATIONS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "no task": (_without("task"), "task: expected a value, found none"),
    "no hyper-parameters": (_changed("hyperparameters", to={}), "found {}|expected a value, found none|not that of"),
    "one less": (_without("hyperparameters", "noise"), "'noise': expected a value|not that of the run's checkpoint"),
    "one more": (_changed("hyperparameters", "more", to=1), "has no such field|not that of the run's checkpoint"),
    "surplus": (_changed("surplus", to=1), "surplus: expected no such field, found one"),
    "NaN": (_changed("log_interval", to=float("nan")), "found NaN, which JSON has not"),
    "huge": (_changed("log_interval", to=10**400), "which is too large"),
    "text for a number": (_changed("checkpoint_interval", to="1"), "checkpoint_interval: expected a valid integer"),
    "negative": (_changed("spec", "horizon", to=-6), "horizon: expected at least 1, found -6"),
    "horizon": (_changed("spec", "horizon", to=7), "task Spend: spec.horizon: expected 6, found 7"),
    "shape": (_changed("spec", "observation_dim", to=3), "task Spend: spec.observation_dim: expected 2, found 3"),
    "another algorithm": (_changed("algorithm", to="fisor"), "'schedule'|not that of the run's checkpoint: algorithm"),
    "unknown algorithm": (_changed("algorithm", to="nonsense"), "unknown algorithm|not that of the run's checkpoint"),
    "another task": (
        _changed("task", to="BallRun"),
        "BallRun: spec.observation_dim: expected 7, found 2|task: expected",
    ),
    "unknown task": (_changed("task", to="../x"), "unknown task|task: expected"),
    "another seed": (_changed("seeds", to=[0, 7]), "seeds"),
    "seeds of text": (_changed("seeds", to=["0", "1"]), "seeds.0: expected a valid integer"),
    "another number": (_changed("hyperparameters", "noise", to=1.0), "noise: expected (0.0, found 1.0|1.0, found 0.0)"),
    "updates": (_changed("hyperparameters", "updates", to=3), "updates: expected (2, found 3|3, found 2)"),
    "other data": (
        _changed("data_fingerprint", to="others"),
        "data_fingerprint: expected .(none., found .others|others., found .none)",
    ),
    "filter": (_changed("data_selection", to=[]), "data_selection: expected an object"),
    "kind of filter": (_changed("data_selection", "filter", to=3), "data_selection: filter: expected a valid string"),
    "share": (_changed("data_selection", "fraction", to="x"), "data_selection: fraction: expected a valid number"),
    "unknown selection": (
        _changed("data_selection", "filtr", to="safe"),
        "data_selection: filtr: expected no such field, found one",
    ),
    "very many seeds": (_changed("seeds", to=list(range(5000))), "seeds: expected at most 1024, found 5,000"),
    "extension": (_changed("extensions", to=[3]), "extensions.0: expected"),
    "command": (_changed("command", to="surefoot"), "command: expected a valid array"),
    "version": (_changed("format_version", to=2), "format_version: expected 1, found 2"),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_no_command_takes_a_run_whose_configuration_was_changed(
    name: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, expected = CONFIGURATIONS[name]
    values = json.loads((run / "config.json").read_text())
    change(values)
    (run / "config.json").write_text(json.dumps(values))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for words in (
        ["evaluate", str(run), "--budget", "0.5", "--episodes", "1"],
        ["calibrate", str(run), "--method", "episodes"],
        ["report", str(run)],
        ["finetune", str(run), "--out", str(tmp_path / "tuned")],
        ["bench", "act", str(run)],
    ):
        assert main(words) == 2
        said = capsys.readouterr().err
        assert is_one_sentence(said.removeprefix("error: ").rstrip("\n")), said
        assert re.search(expected, said), said
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_page_is_not_written_of_another_selection_or_summary(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measured = {"task": "Spend", "algorithm": "stub", "preset": None, "seeds": [0, 1], "data": {"fingerprint": "none"}}
    merge_summary(run, measured)
    for name, value, expected in (
        ("data_selection", {"filter": "safe", "cost_limit": 3.0}, "summary: data_selection.filter: expected null"),
        ("data_selection", {"fraction": 0.5, "fraction_seed": 0}, "summary: data_selection.fraction: expected null"),
        ("preset", "paper", 'summary: preset: expected null, found "paper"'),
    ):
        original = (run / "config.json").read_text()
        (run / "config.json").write_text(json.dumps({**json.loads(original), name: value}))
        assert main(["report", str(run)]) == 2
        assert expected in capsys.readouterr().err
        (run / "config.json").write_text(original)
    merge_summary(run, {"seeds": [0, 2]})
    assert main(["report", str(run)]) == 2
    assert "it is not that of the run's summary: seeds: expected [0, 2], found [0, 1]" in capsys.readouterr().err
    assert not (run / "report.html").exists()
