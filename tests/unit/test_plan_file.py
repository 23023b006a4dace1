"""The file of imagined plans: what is added to it, what it replaces, and what it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data_fixtures import is_one_sentence

from surefoot.errors import ConfigError
from surefoot.evaluation.lanes import Watched
from surefoot.evaluation.plan_file import Imaginings, add_plans, read_plans


def imaginings(*asked: str, steps: int, value: float, setting: str = "a", episode: int = 0) -> Imaginings:
    shape = (steps, len(asked), 3, 2)
    return Imaginings(setting, episode, asked, Watched(np.full((*shape[:2], 2), value), np.full(shape, value)))


def test_a_budget_more_is_put_beside_the_others(tmp_path: Path) -> None:
    """The shorter of two evaluations is filled up with steps of nothing; a budget that is there is replaced."""
    file = tmp_path / "evaluation" / "plans.npz"
    add_plans(file, imaginings("cost 1", "cost 2", steps=4, value=1.0))
    add_plans(file, imaginings("cost 2", "cost 3", steps=6, value=2.0))
    found = read_plans(file)
    assert found.asked == ("cost 1", "cost 2", "cost 3")
    assert found.watched.plans is not None
    assert found.watched.plans.shape == (6, 3, 3, 2)
    for part in (found.watched.observations, found.watched.plans):
        np.testing.assert_array_equal(part[:4, 0], np.ones_like(part[:4, 0]))
        assert np.isnan(part[4:, 0]).all()
        np.testing.assert_array_equal(part[:, 1:], np.full_like(part[:, 1:], 2.0))
    assert [path.name for path in file.parent.iterdir()] == ["plans.npz"]


@pytest.mark.parametrize("other", [{"setting": "b"}, {"episode": 1000}])
def test_what_belongs_to_another_evaluation_is_replaced(tmp_path: Path, other: Any) -> None:
    file = tmp_path / "plans.npz"
    add_plans(file, imaginings("cost 1", steps=4, value=1.0))
    add_plans(file, imaginings("cost 2", steps=3, value=2.0, **other))
    found = read_plans(file)
    assert found.asked == ("cost 2",)
    assert (found.setting, found.episode) == (other.get("setting", "a"), other.get("episode", 0))
    assert found.watched.observations.shape == (3, 1, 2)


def test_a_planner_that_shows_no_plans(tmp_path: Path) -> None:
    file = tmp_path / "plans.npz"
    shown = imaginings("cost 1", steps=4, value=1.0)
    add_plans(file, shown)
    add_plans(file, Imaginings("a", 0, ("cost 2",), Watched(shown.watched.observations, None)))
    found = read_plans(file)
    assert found.watched.plans is None
    assert found.watched.observations.shape == (4, 2, 2)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", None])
def test_other_files_are_refused_in_a_sentence_and_replaced(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "plans.npz"
    if content is None:
        np.savez(file, observations=np.zeros((1, 1, 2)))
    else:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        read_plans(file)
    assert "expected plans, found a file that cannot be read" in str(refused.value)
    assert is_one_sentence(str(refused.value))
    add_plans(file, imaginings("cost 1", steps=4, value=1.0))
    assert read_plans(file).asked == ("cost 1",)
