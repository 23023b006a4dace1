"""What classes of Surefoot must be given beside numbers of the right kind, for tests that make one of each."""

from pathlib import Path
from typing import Any

from surefoot.collection.own import OwnCollection
from surefoot.tasks import get_task

PENDULUM = Path(__file__).parents[1] / "examples" / "own_systems" / "pendulum.toml"


def given_to(kind: Any) -> dict[str, Any]:
    """Fields of a class and their values; most classes need none."""
    # Strangers' systems are collected from where a task file names an environment.
    return {"task": get_task(str(PENDULUM))} if kind is OwnCollection else {}
