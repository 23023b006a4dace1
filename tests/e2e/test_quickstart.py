"""`surefoot quickstart` at a tiny size: interrupted, continued, repeated, refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.tiny import TINY, TRANSITIONS

from surefoot.cli.main import main
from surefoot.errors import ConfigError, flag, options_called
from surefoot.experiments import quickstart
from surefoot.experiments.quickstart import remove_earlier


def test_an_interrupted_quickstart_goes_on_to_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    words = ["quickstart", "--out", str(out), "--transitions", str(TRANSITIONS), "--episodes", "4", *TINY]

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(quickstart, "evaluate_run", interrupt)
        assert main(words) == 130
    assert "start the same command again" in capsys.readouterr().err
    kept = {path: path.stat().st_mtime_ns for path in (out / "data.hdf5", *(out / "checkpoints").iterdir())}
    assert len(kept) == 3  # the data and the last two checkpoints

    assert main(words) == 0
    printed = capsys.readouterr().out
    assert str(out / "report.html") in printed
    assert "Mean return from feasible starts" in printed
    assert {path: path.stat().st_mtime_ns for path in kept} == kept  # neither collected nor trained again
    summary = json.loads((out / "summary.json").read_text())
    assert summary["wall_seconds"] > 0
    assert 100 < summary["peak_memory_mb"] < 8000
    assert summary["continued"] is True
    assert len(summary["feasible_region"]["iou"]) == 3
    assert (out / "report.html").exists()

    # Finished: the same command only shows the table again, another one is refused.
    page = (out / "report.html").stat().st_mtime_ns
    assert main(words) == 0
    assert "is finished" in capsys.readouterr().out
    assert main([*words, "--discount", "0.5"]) == 2
    assert "--discount: it has 0.99, found 0.5" in capsys.readouterr().err
    assert main(["quickstart", "--out", str(out)]) == 0  # its options need not be repeated
    assert "is finished" in capsys.readouterr().out
    assert main(["quickstart", "--out", str(out), "--diffusion.network.width", "8", "--seeds", "0"]) == 2
    assert "--seeds: it has 0 1, found 0; --diffusion.network.width: it has 16, found 8" in capsys.readouterr().err
    assert (out / "report.html").stat().st_mtime_ns == page


def test_quickstart_never_removes_what_is_not_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.tex").write_text("\\section{}")
    assert main(["quickstart", "--out", str(tmp_path), "--overwrite", *TINY]) == 2
    assert "expected an empty or new folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_quickstart_removes_an_earlier_one_only(tmp_path: Path) -> None:
    out, outside = tmp_path / "run", tmp_path / "outside"
    outside.mkdir()
    (outside / "checkpoint.json").write_text("{}")
    for name in ("checkpoints/000000005/checkpoint.json", "evaluation/paths.npz", "quickstart.json", ".git/HEAD",
                 "report/data.pdf", "report/key-figures.tex"):  # fmt: skip
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("{}")

    for stray in ("notes.txt", "evaluation/thesis.tex", "report/thesis.tex", "checkpoints/000000005/link"):
        if stray.endswith("link"):
            (out / stray).symlink_to(outside)
        else:
            (out / stray).write_text("")
        before = sorted(out.rglob("*"))
        with (
            options_called(flag),
            pytest.raises(ConfigError, match="no quickstart made this, so --overwrite does not remove it"),
        ):
            remove_earlier(out)
        assert [path for path in sorted(out.rglob("*")) if path.name != ".lock"] == [
            path for path in before if path.name != ".lock"
        ]
        (out / stray).unlink()
    remove_earlier(out)
    assert sorted(path.name for path in out.iterdir()) == [".git", ".lock"]
    assert (outside / "checkpoint.json").exists()


def test_quickstart_checks_all_options_before_it_makes_a_folder(tmp_path: Path) -> None:
    for words in (["--transitions", "1"], ["--episodes", "0"], ["--checkpoint-interval", "0"]):
        assert main(["quickstart", "--out", str(tmp_path / "run"), *TINY, *words]) == 2
    assert list(tmp_path.iterdir()) == []
