"""Evaluations at the sizes of the runs that are kept here."""

import pytest

from surefoot.evaluation import images
from surefoot.evaluation.kinds import point_robot


@pytest.fixture
def small_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of few cells and few episodes at once; see make_fixtures.py."""
    monkeypatch.setattr(point_robot, "RESOLUTION", 11)
    monkeypatch.setattr(images, "_AT_ONCE", 2)
