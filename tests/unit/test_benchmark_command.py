"""`surefoot benchmark` with work that takes no time: what it runs, refuses, writes and logs."""

import csv
import errno
import gzip
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.data_fixtures import is_one_sentence
from tests.fake_cells import rows_of_cell
from tests.unit.test_results import holds_a_place

from surefoot.cli import benchmark as command
from surefoot.cli.main import main
from surefoot.errors import DivergenceError
from surefoot.experiments.cell import Cell, Measured
from surefoot.report.tables import DASH

STARTER = Path(__file__).parents[1] / "data" / "ballrun_starter.hdf5"
PLAN = """
name = "tiny"
seeds = [0, 1]
episodes = 2
protocols = ["strict"]
baseline = "bc_safe"
[tasks]
BallRun = { data = "ball.hdf5", fractions = [0.5, 1.0] }
[methods.bc_safe]
algorithm = "bc"
data_filter = "safe"
title = "BC-Safe"
[methods.bc]
algorithm = "bc"
[methods.fisor]
algorithm = "fisor"
"""


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The cells that were worked on: FISOR's fail, BC's cost too much."""
    done: list[str] = []

    def work(cell: Cell, folder: Path) -> Measured:
        done.append(cell.label)
        if cell.method == "fisor":
            raise DivergenceError(f"training diverged; the last good checkpoint is kept in {folder}.")
        return Measured(rows_of_cell(cell, cost=8.0 if cell.method == "bc" else 1.0), {"train_seconds": 1.0})

    monkeypatch.setattr(command, "work", work)
    return done


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    shutil.copy(STARTER, tmp_path / "ball.hdf5")
    (tmp_path / "plan.toml").write_text(PLAN)
    return tmp_path / "plan.toml"


@pytest.fixture
def unpublished(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figures, no page: they take seconds."""
    monkeypatch.setattr(command, "publish", lambda results, folder: folder / "report.html")


def refusal(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    assert main([str(word) for word in words]) == 2
    sentence = capsys.readouterr().err.splitlines()[-1].removeprefix("error: ")
    assert is_one_sentence(sentence.replace("?", ".")), sentence
    return sentence


def test_a_benchmark_runs_each_cell_once_and_writes_its_results(
    plan: Path, worked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    plan.write_text(PLAN.replace('["strict"]', '["strict", "dsrl"]'))
    assert main(["benchmark", str(plan)]) == 0
    assert worked == [f"{key} on BallRun{share}" for key in ("bc_safe", "bc", "fisor") for share in (" (50 %)", "")]
    printed = capsys.readouterr()
    # Seeds 0 and 1, episodes 0 and 1: 0.5 + (0 + 0.001 + 0.01 + 0.011) / 4.
    assert "0.51 [0.51, 0.51] at 0.20 [0.20, 0.20], 100.0 %" in printed.out
    assert "0.51 [0.51, 0.51] at 1.60 [1.60, 1.60], 0.0 % ✗" in printed.out
    assert "fisor on BallRun failed: training diverged" in printed.err
    results = plan.with_suffix("") / "results"
    check_files(results)
    worked.clear()
    plan.write_text(PLAN)
    (results / "return_cost_mine.png").mkdir()
    (results / "return_cost_dsrl_shares.png").rename(results / "return_cost_ours.png")
    assert main(["benchmark", str(plan), "--methods", "fisor"]) == 0
    pictures = {one.name for one in results.glob("*.png")}  # those of the other protocol went
    own = {"return_cost_mine.png", "return_cost_ours.png"}
    assert pictures == {"return_cost_strict_development.png", "return_cost_strict_shares.png", *own}
    assert worked == ["fisor on BallRun (50 %)", "fisor on BallRun"]  # what failed, again


def check_files(results: Path) -> None:
    manifest = json.loads((results / "manifest.json").read_text())
    names = {"rows.jsonl.gz", "summary.json", "table.md", "table.csv", "table.tex", "report.html"}
    assert set(manifest) == names | {
        f"return_cost_{protocol}_{group}.png" for protocol in ("strict", "dsrl") for group in ("development", "shares")
    }
    for name, mark in manifest.items():
        content = (results / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (mark["size"], mark["sha256"])
    rows = [json.loads(line) for line in gzip.decompress((results / "rows.jsonl.gz").read_bytes()).splitlines()]
    # 2 methods x 2 shares x 2 seeds x 2 episodes, one strict limit and DSRL's three.
    assert len(rows) == 16 * 4
    limits = {10.0: 0.8, 20.0: 0.4, 40.0: 0.2}
    assert {row["limit"]: row["normalised_cost"] for row in rows
            if (row["protocol"], row["method"]) == ("dsrl", "bc")} == limits  # fmt: skip
    summary = json.loads((results / "summary.json").read_text())
    assert summary["data"]["BallRun"]["file"] == "ball.hdf5"
    assert summary["data"]["BallRun"]["episodes"] == 200
    assert summary["comparison"]["strict"]["tasks"] == ["BallRun"]
    overall = summary["methods"]["strict"]["bc"]["all"]
    assert (overall["done"], overall["safe"], overall["normalised_cost"]["mean"]) == (1, 0, pytest.approx(1.6))
    table = list(csv.DictReader((results / "table.csv").read_text().splitlines()))
    assert len(table) == 12
    assert [(line["status"], line["safe"]) for line in table if line["protocol"] == "strict"] == [
        *[("done", "True")] * 2, *[("done", "False")] * 2, *[("failed", "")] * 2,
    ]  # fmt: skip
    assert r"BallRun (50 \% of the data) & 0.51" in (results / "table.tex").read_text()
    markdown = (results / "table.md").read_text()
    assert "fisor on BallRun failed: training diverged; the last good checkpoint is kept in run." in markdown
    page = (results / "report.html").read_text()
    assert '<figure id="return_cost_strict_development">' in page
    for text in (markdown, page.split("<style>")[0], json.dumps(summary), (results / "table.csv").read_text()):
        assert not any(holds_a_place(line) for line in text.splitlines() if "<" not in line)


@pytest.mark.usefixtures("unpublished")
def test_a_part_of_a_plan(plan: Path, worked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    out = plan.parent / "store"
    assert main(["benchmark", str(plan), "--out", str(out), "--methods", "bc"]) == 0
    assert worked == ["bc on BallRun (50 %)", "bc on BallRun"]
    capsys.readouterr()
    assert main(["benchmark", str(plan), "--out", str(out), "--results-only"]) == 0
    assert len(worked) == 2
    (plan.parent / "ball.hdf5").rename(plan.parent / "gone.hdf5")  # results need no data
    assert main(["benchmark", str(plan), "--out", str(out), "--results-only"]) == 0
    (plan.parent / "gone.hdf5").rename(plan.parent / "ball.hdf5")
    capsys.readouterr()
    assert main(["benchmark", str(plan), "--out", str(out), "--methods", "bc_safe"]) == 0
    assert len(worked) == 4
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("BallRun  ")][:1]
    # What was run before is shown as well, what was never run is a dash.
    assert [row.count(part) for part in ("at 0.20", "at 1.60", DASH)] == [1, 1, 1]
    assert "expected the store of a benchmark, found none" in refusal(capsys, "benchmark", plan, "--results-only")
    assert "unknown method of the plan" in refusal(capsys, "benchmark", plan, "--methods", "bcs")
    assert "unknown task of the plan" in refusal(capsys, "benchmark", plan, "--tasks", "CarRun")


@pytest.mark.usefixtures("worked")
def test_tables_are_printed_where_the_results_have_no_room(
    plan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def publish(results: Any, folder: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "report.html"))

    monkeypatch.setattr(command, "publish", publish)
    assert main(["benchmark", str(plan), "--methods", "bc"]) == 2
    printed = capsys.readouterr()
    assert "0.51 [0.51, 0.51] at 1.60 [1.60, 1.60], 0.0 % ✗" in printed.out
    assert "report.html: expected room on the disk, found it full; free some" in printed.err.splitlines()[-1]


@pytest.mark.usefixtures("unpublished")
def test_missing_and_changed_data_end_the_command(
    plan: Path, worked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data = plan.parent / "ball.hdf5"
    assert "expected the data of BallRun, found nothing" in refusal(
        capsys, "benchmark", plan, "--data", plan.parent / "a"
    )
    assert not plan.with_suffix("").exists()
    assert main(["benchmark", str(plan), "--methods", "bc"]) == 0
    before = (plan.with_suffix("") / "store.json").read_bytes()
    os.utime(data)  # touched only: the same data
    assert main(["benchmark", str(plan), "--methods", "bc"]) == 0
    assert len(worked) == 2
    assert main(["data", "filter", "safe", str(data), "--out", str(data), "--overwrite"]) == 0
    sentence = refusal(capsys, "benchmark", plan, "--methods", "bc")
    assert "expected the data of BallRun with which the plan began, fingerprint" in sentence
    shutil.copy(STARTER, data)
    assert main(["benchmark", str(plan), "--methods", "bc"]) == 0
    assert (
        json.loads(before)["data"]["BallRun"]["fingerprint"]
        == json.loads((plan.with_suffix("") / "store.json").read_text())["data"]["BallRun"]["fingerprint"]
    )
    data.unlink()
    assert "expected the data of BallRun, found nothing" in refusal(capsys, "benchmark", plan)
    assert len(worked) == 2


@pytest.mark.usefixtures("unpublished")
def test_two_plans_in_one_store_and_a_pipe_in_it_are_refused(
    plan: Path, worked: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", str(plan), "--methods", "bc"]) == 0
    plan.write_text(PLAN.replace('"tiny"', '"other"'))
    assert "expected the store of the plan other, found that of tiny" in refusal(capsys, "benchmark", plan)
    assert len(worked) == 2
    plan.write_text(PLAN)
    os.mkfifo(plan.with_suffix("") / "processes.log")  # which would keep a process waiting
    said = refusal(capsys, "benchmark", plan, "--executor", "processes", "--processes", "1")
    assert "processes.log: expected a file of a benchmark's store, found a folder or a device" in said
    for name in ("results", "cells"):  # known before the work, not after it
        shutil.rmtree(plan.with_suffix("") / name, ignore_errors=True)
        (plan.with_suffix("") / name).write_text("mine")
        said = refusal(capsys, "benchmark", plan)
        assert f"plan/{name}: expected a folder to write to, found something else" in said
    assert len(worked) == 2


@pytest.mark.usefixtures("unpublished")
def test_held_out_tasks_are_looked_at_a_few_times(
    plan: Path, worked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = PLAN.replace("fractions", 'role = "held-out", fractions').replace("[tasks]", "[tasks]\nCarRun = 'car.hdf5'")
    plan.write_text(text)
    log = plan.parent / "held_out_log.md"
    assert "found BallRun, held out by the plan" in refusal(capsys, "benchmark", plan, "--tasks", "BallRun")
    words = ["benchmark", str(plan), "--tasks", "BallRun", "--methods", "bc", "--held-out-look"]
    assert "expected the reason of the look" in refusal(capsys, *words, " ")
    words_of_other = ["benchmark", str(plan), "--tasks", "CarRun", "--held-out-look", "first"]
    assert "expected held-out tasks among those to run" in refusal(capsys, *words_of_other)
    assert not plan.with_suffix("").exists()  # no store was begun
    log.write_bytes(b"h\xf6chstens")  # was a traceback
    assert "held_out_log.md: expected the log of looks at held-out tasks in UTF-8" in refusal(capsys, *words, "first")
    log.unlink()
    assert worked == []
    assert main([*words, "first | try"]) == 0
    assert len(worked) == 2
    rows = [line for line in log.read_text().splitlines() if line.startswith("| 1")]
    assert len(rows) == 1
    assert "| tiny | BallRun | bc | 2, " in rows[0]
    assert rows[0].endswith(r"| first \| try |")
    before = log.read_bytes()
    assert main([*words, "again"]) == 0  # all are done: no look
    assert log.read_bytes() == before
    for number in (2, 3):
        plan.write_text(text.replace('name = "tiny"', f'name = "tiny"\nrevision = "{number}"'))
        assert main([*words, "changed"]) == 0
    assert "| 3 |" in log.read_text()
    plan.write_text(text.replace('name = "tiny"', 'name = "tiny"\nrevision = "4"'))
    assert "expected fewer than 3 looks at held-out tasks, found 3" in refusal(capsys, *words, "more")
    assert len(worked) == 6


@pytest.mark.usefixtures("unpublished")
def test_a_look_that_was_interrupted_goes_on_without_a_new_row(
    plan: Path, monkeypatch: pytest.MonkeyPatch, worked: list[str]
) -> None:
    plan.write_text(PLAN.replace("fractions", 'role = "held-out", fractions'))
    work = command.work

    def interrupted(cell: Cell, folder: Path) -> Measured:
        raise KeyboardInterrupt

    words = ["benchmark", str(plan), "--methods", "bc", "--held-out-look", "a look"]
    monkeypatch.setattr(command, "work", interrupted)
    assert main(words) == 130
    monkeypatch.setattr(command, "work", work)
    assert main(words) == 0
    assert len(worked) == 2
    assert (plan.parent / "held_out_log.md").read_text().count("| tiny |") == 1
