"""PointRobotSlow through the command line: collect, train on costs only, evaluate against the exact set, report."""

from pathlib import Path

import numpy as np
import pytest
from tests.e2e.tiny import HYPERPARAMETERS, INTERVALS

from surefoot.cli.main import main
from surefoot.runs.summary import read_summary
from surefoot.safety import exact_sets
from surefoot.safety.exact_slow import Grid


def test_the_whole_way_on_costs_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUREFOOT_HOME", str(tmp_path / "home"))
    tiny = Grid(spacing=0.5, headings=8, speed_spacing=0.5, top_speed=2.0, accelerations=4)
    monkeypatch.setattr(exact_sets, "Grid", lambda: tiny)
    data, run = tmp_path / "data.hdf5", tmp_path / "run"
    task = ["--task", "PointRobotSlowCosts"]
    assert main(["collect", *task, "--transitions", "1000", "--out", str(data)]) == 0
    words = ["train", *task, "--data", str(data), "--out", str(run), "--seeds", "0", *HYPERPARAMETERS, *INTERVALS]
    assert main(words) == 0
    assert main(["evaluate", str(run), "--episodes", "4"]) == 0
    assert main(["report", str(run)]) == 0
    summary = read_summary(run)
    region, found = summary["feasible_region"], summary["evaluation"]
    assert len(region["iou"]) == len(region["auroc"]) == 3
    assert all(0 <= share <= 1 for share in region["auroc"])
    assert [len(record["pose"]) for record in found["fixed"]] == [5, 5]
    assert (found["feasible"]["episodes"], found["infeasible"]["episodes"]) == (4, 2)
    assert found["data"]["episodes"] > 0
    page = (run / "report.html").read_text()
    assert "PointRobotSlowCosts" in page
    assert "exact one" in page  # the maps
    with np.load(run / "evaluation" / "region.npz") as arrays:
        assert arrays["exact"].shape == (3, 201, 201)
    assert len(list((tmp_path / "home" / "exact-sets").iterdir())) == 1
