"""`surefoot algorithms`: what algorithms declare, strangers included."""

import json
from pathlib import Path

import jax
import pytest

from surefoot import presets
from surefoot.algorithms import ALGORITHMS, SafeDreamer
from surefoot.cli.main import main
from surefoot.protocols import HasActionValue, HasCostToCome, HasFeasibleValue
from surefoot.report import algorithms
from surefoot.tasks import get_task

MODULE = """\
from dataclasses import dataclass

from surefoot.algorithms import BC


@dataclass(frozen=True)
class Theirs(BC):
    slack: float = 0.5

    paper = "Doe, 2026"

    def feasible_value(self, state, observation):
        return observation[:, 0]
"""
POINTS = """\
[surefoot.algorithms]
theirs = their_package:Theirs
broken = their_package:Missing
fisor = their_package:Theirs
"""


def test_an_entry_says_what_the_algorithm_declares() -> None:
    fisor, trebi, bc = (algorithms.entry_of(name) for name in ("fisor", "trebi", "bc"))
    assert fisor.paper == "Zheng et al., ICLR 2024, arXiv 2401.10700"
    assert fisor.inputs == ("vectors",)
    assert fisor.offers == ("feasible value", "action value")
    assert set(fisor.presets) == {"small", "paper", "legacy", *fisor.presets}
    assert fisor.exportable
    assert trebi.inputs == ("vectors", "budget", "windows")
    assert (bc.offers, bc.package) == ((), "surefoot")


def test_parameters_are_those_that_gradients_move() -> None:
    bc = presets.build("bc", get_task("PointRobot"))
    state = jax.eval_shape(lambda key: bc.init(get_task("PointRobot").spec, key), jax.random.key(0))
    assert algorithms.trained_parameters(bc) == sum(leaf.size for leaf in jax.tree.leaves(state.network))


def test_a_decision_that_searches_is_not_exportable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert algorithms.entry_of("safedreamer").exportable
    monkeypatch.setattr(presets, "build", lambda name, task: SafeDreamer(form="osrp"))
    monkeypatch.setattr(algorithms, "trained_parameters", lambda algorithm: None)
    assert not algorithms.entry_of("safedreamer").exportable


@pytest.fixture
def their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that offers one algorithm, one that is missing, and one under a taken name."""
    (tmp_path / "their_package.py").write_text(MODULE)
    info = tmp_path / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("their_package")
def test_strangers_are_listed_and_what_cannot_be_used_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["algorithms", "--json"]) == 0
    out, err = capsys.readouterr()
    found = {entry["name"]: entry for entry in json.loads(out)}
    assert list(found) == [*ALGORITHMS, "theirs"]
    assert found["theirs"]["package"] == "their-package"
    assert found["theirs"]["paper"] == "Doe, 2026"
    assert found["theirs"]["offers"] == ["feasible value"]
    assert "warning: entry point surefoot.algorithms: broken: cannot be used (AttributeError" in err
    assert "fisor: expected another name than that of a built-in algorithm." in err


def test_the_table_names_every_algorithm_and_its_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["algorithms"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["algorithm", "paper", "inputs"]
    for name, kind in ALGORITHMS.items():
        (line,) = (one for one in lines if one.split()[0] == name)
        algorithm = presets.build(name, get_task("PointRobot"))
        assert ("feasible value" in line) == isinstance(algorithm, HasFeasibleValue)
        assert ("action value" in line) == isinstance(algorithm, HasActionValue)
        assert ("cost to come" in line) == isinstance(algorithm, HasCostToCome)
        assert kind.paper in line


def test_a_word_too_many_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["algorithms", "fisor"]) == 2
    assert capsys.readouterr().err == "error: expected no further word, found 'fisor'.\n"
