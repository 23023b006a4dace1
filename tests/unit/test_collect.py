"""Collection: exactly as many rows as asked for, half and half, episodes that end, the same bits from a seed."""

import numpy as np
import pytest

from surefoot.data import Dataset, load, save
from surefoot.envs import behaviors
from surefoot.envs.point_robot import HORIZON
from surefoot.errors import ConfigError
from surefoot.evaluation import collect
from surefoot.evaluation.collect import collect_point_robot
from surefoot.tasks import get_task

ROWS = 2001


@pytest.fixture(scope="module", autouse=True)
def few_at_once():
    """Smaller batches of episodes, so that several are needed and it is quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collect, "_EPISODES_AT_ONCE", 4)
        yield


@pytest.fixture(scope="module")
def data() -> Dataset:
    return collect_point_robot(transitions=ROWS, seed=0)


def test_rows_and_halves(data: Dataset) -> None:
    """1000 rows of random actions, then 1001 of goal-seekers; each half ends an episode."""
    assert len(data) == ROWS
    ended = data.terminated | data.truncated
    assert ended[999]
    assert ended[2000]
    assert data.lengths.sum() == ROWS
    assert data.lengths.max() <= HORIZON
    # Only random actions are held: most of the first half repeat the action before, none of the second.
    repeated = (data.actions[1:] == data.actions[:-1]).all(1)
    assert repeated[:999].mean() > 0.8
    assert repeated[1000:].mean() < 0.3  # where both controls are at their bound


def test_rows_follow_each_other_within_an_episode(data: Dataset) -> None:
    within = ~(data.terminated | data.truncated)[:-1]
    np.testing.assert_array_equal(data.next_observations[:-1][within], data.observations[1:][within])
    assert (data.observations[1:][~within] != data.next_observations[:-1][~within]).any(1).all()
    assert not (data.terminated & data.truncated).any()
    assert data.constraints is not None
    np.testing.assert_array_equal(data.costs, data.constraints > 0)


def test_a_seed_gives_the_same_bits_and_another_gives_others(data: Dataset) -> None:
    assert collect_point_robot(transitions=ROWS, seed=0).fingerprint() == data.fingerprint()
    assert collect_point_robot(transitions=ROWS, seed=1).fingerprint() != data.fingerprint()


def test_what_is_collected_can_be_saved_and_loaded(data: Dataset, tmp_path) -> None:
    """The checks of a file accept our own data."""
    save(tmp_path / "data.hdf5", data)
    assert load(tmp_path / "data.hdf5", get_task("PointRobot")).fingerprint() == data.fingerprint()


def test_progress_is_reported_up_to_the_total() -> None:
    reports: list[tuple[int, int]] = []
    collect_point_robot(transitions=ROWS, seed=0, on_progress=lambda done, total: reports.append((done, total)))
    done = [report[0] for report in reports]
    assert done == sorted(set(done))
    assert 1000 in done
    assert reports[-1] == (ROWS, ROWS)


def test_tiny_collections() -> None:
    both = collect_point_robot(transitions=2, seed=0)
    assert len(both) == 2
    assert (both.terminated | both.truncated).all()
    with pytest.raises(ConfigError, match="transitions: expected at least 2, found 1"):
        collect_point_robot(transitions=1, seed=0)


def test_batches_are_of_the_behaviours(data: Dataset) -> None:
    """The first rows are the first episode of the first batch, bit for bit."""
    import jax
    import jax.numpy as jnp

    keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 0), 0), 4)
    episodes = behaviors.roll_out(keys, jnp.zeros(4, bool))
    length = int(episodes.valid[0].sum())
    np.testing.assert_array_equal(data.actions[:length], episodes.action[0, :length])
