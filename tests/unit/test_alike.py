"""Whether another task file is the same task to a policy."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests import own_plant
from tests.data_fixtures import is_one_sentence
from tests.plant_task import plant

from surefoot.errors import ConfigError
from surefoot.evaluation.alike import check_alike, name_of, rate_remarks, task_beside
from surefoot.tasks import Task


def trained_on(task: Task) -> Any:
    config = SimpleNamespace(known_task=lambda: task, data_selection={})
    return SimpleNamespace(config=config, directory=SimpleNamespace(path=Path("runs/a")))


@pytest.mark.parametrize(
    "change",
    [
        ('name = "plant"', 'name = "plant_two"'),
        ('expression = "level - 0.8"', 'expression = "level - 0.4"'),
        ("limit = 3", "limit = 1"),
        ('"-abs(level - prev(level))"', '"level"'),
        ("rate_limit = [4.0]", "rate_limit = [2.0]"),
    ],
)
def test_what_is_rewarded_costs_or_is_allowed_may_differ(change: tuple[str, str], tmp_path: Path) -> None:
    check_alike(trained_on(plant(tmp_path)), plant(tmp_path, change))


def test_another_rate_limit_is_remarked(tmp_path: Path) -> None:
    run = trained_on(plant(tmp_path))
    assert rate_remarks(run, plant(tmp_path)) == []
    faster, free = ("rate_limit = [4.0]", "rate_limit = [6.0]"), ("rate_limit = [4.0]", "")
    for change, found in ((faster, "6.0"), (free, "none")):
        (sentence,) = rate_remarks(run, plant(tmp_path, change))
        assert sentence == (
            f"task plant: action.rate_limit: {found}, where the policy was trained with 4.0; its values know the plant "
            "at the rates of its log."
        )


AS = "as the policy was trained with, found"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            ('"level", "flow[0]", "flow[1]"', '"level", "flow[1]", "flow[0]"'),
            f"observation.columns: expected level, flow[0], flow[1], {AS} level, flow[1], flow[0].",
        ),
        (
            ('{ level = "m" }', '{ level = "m", "flow[0]" = "l/s" }'),
            f"units: expected level = m, {AS} flow[0] = l/s, level = m.",
        ),
        (("high = [10.0]", "high = [20.0]"), f"action.high: expected 10.0, {AS} 20.0."),
        (('["valve"]', '["pump"]'), f"action.columns: expected valve, {AS} pump."),
        (("horizon = 8", "horizon = 9"), "episodes of 8 steps), found plant (observations of 3 numbers, actions of 1"),
    ],
)
def test_other_inputs_and_outputs_are_refused(change: tuple[str, str], sentence: str, tmp_path: Path) -> None:
    trained = plant(tmp_path)
    with pytest.raises(ConfigError) as refused:
        check_alike(trained_on(trained), plant(tmp_path, change))
    assert sentence in str(refused.value)
    assert is_one_sentence(str(refused.value))


def test_what_a_task_file_leaves_to_a_log_is_what_the_training_had(tmp_path: Path) -> None:
    trained, path = plant(tmp_path), tmp_path / "plant.toml"
    open_ends = (
        ("reference_returns = [-8.0, 0.0]", 'reference_returns = "from data"'),
        ("scale = 0.5", 'scale = "from data"'),
        ('"level", "flow[0]", "flow[1]"', '"level", "flow*"'),
        ('name = "plant"', 'name = "other"'),
    )
    text = own_plant.TASK
    for old, new in open_ends:
        text = text.replace(old, new)
    path.write_text(text)
    run = trained_on(trained)
    for task in (task_beside(run, str(path)), task_beside(run, task_beside(run, str(path)))):
        assert (task.name, task.return_min, task.return_max) == ("other", -8.0, 0.0)
        assert task.file is not None
        assert task.file.observation.columns == ("level", "flow[0]", "flow[1]")
        assert task.file.signals[0].scale == 0.5
        check_alike(run, task)
    assert task_beside(run, None) is trained
    assert name_of(str(path)) == "other"
