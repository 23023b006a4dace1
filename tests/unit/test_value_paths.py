"""V_h along logged episodes, whatever the task: which episodes, and the figure."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from tests.data_fixtures import BINARY_TASK, make_dataset

from surefoot.evaluation.value_paths import feasible_margins, value_paths
from surefoot.observer import Observer
from surefoot.report.value_paths import draw_value_paths, value_figure


@dataclass(frozen=True)
class FirstNumber:
    """V_h is the first number of the observation plus the state's."""

    def feasible_value(self, state: Any, observation: Any, /) -> Any:
        return observation[:, 0] + state


def test_episodes_with_a_late_violation_and_the_longest_without_one() -> None:
    data = make_dataset(BINARY_TASK, lengths=(20, 30, 25, 28, 9))
    starts, ends = data.episode_starts, data.episode_ends
    costs = np.zeros(len(data), np.float32)
    costs[starts[0]] = 1.0  # from its first step on: nothing comes before
    costs[ends[1] - 1] = 1.0
    data = replace(data, costs=costs, constraints=None)
    states = jnp.array([0.0, 0.5])
    found = value_paths(FirstNumber(), states, data)
    assert found[0].number == 1
    assert found[0].violating.tolist() == [False] * (int(data.lengths[1]) - 1) + [True]
    expected = data.observations[starts[1] : ends[1], 0]
    np.testing.assert_allclose(found[0].values, np.stack([expected, expected + 0.5]), rtol=1e-6)
    assert len(found) == 3  # one late violation, the two longest without
    calm = [path for path in found if not path.violating.any()]
    lengths = np.sort(data.lengths[2:])[::-1][: len(calm)]
    assert [path.values.shape[1] for path in calm] == lengths.tolist()
    assert {0} & {path.number for path in found} == set()
    assert feasible_margins(FirstNumber(), states).tolist() == [0.0, 0.0]
    figure = draw_value_paths(found, 0.1)
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]
    assert titles[0] == "Episode 1: 1 violating step"
    assert len(titles) == len(found)


def test_an_algorithm_without_such_a_value_has_no_figure(tmp_path: Path) -> None:
    config: Any = type("Config", (), {"algorithm": "bc"})()
    assert value_figure(tmp_path, config, make_dataset(BINARY_TASK), observer=Observer()) == {}
