"""Ends that are not marked: a reset that is taken for a step is named with its row."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from surefoot.data import Dataset
from surefoot.data.d4rl import load_d4rl
from surefoot.data.frames import frames_of
from surefoot.data.jumps import observation_jumps, place_jumps
from surefoot.errors import DataError
from surefoot.tasks import get_task

HOPPER = get_task("Hopper")


def walks(lengths: tuple[int, ...], marked: tuple[bool, ...], *, columns: int = 11, task: str = "Hopper") -> Dataset:
    """Random walks from distant starts; the end of each is marked or not."""
    draw = np.random.default_rng(0)
    states, ends = [], []
    for steps, mark in zip(lengths, marked, strict=True):
        noise = 0.1 * draw.normal(size=(steps + 1, columns))
        noise[0] = 3.0 + 0.1 * draw.normal(size=columns)
        states.append(np.cumsum(noise, 0).astype(np.float32))
        ends.append(np.arange(steps) == steps - 1 if mark else np.zeros(steps, bool))
    here = np.concatenate([part[:-1] for part in states])
    entered = np.concatenate([part[1:] for part in states])
    truncated = np.concatenate(ends)
    entered[:-1][~truncated[:-1]] = here[1:][~truncated[:-1]]
    rows = len(here)
    return Dataset(
        task, here, draw.uniform(-1, 1, (rows, 3)).astype(np.float32), draw.normal(size=rows).astype(np.float32),
        (draw.random(rows) < 0.1).astype(np.float32), entered, np.zeros(rows, bool), truncated,
    )  # fmt: skip


def test_a_reset_that_is_taken_for_a_step_is_found() -> None:
    lengths = (60, 60, 60, 60, 60, 60)
    # Walks begin in rows 0, 60, 120, ...; the ends in rows 119 and 239 are not marked.
    found = observation_jumps(walks(lengths, (True, False, True, False, True, True)))
    assert found.rows.tolist() == [119, 239]
    assert (found.lengths > 2).all()
    assert not len(observation_jumps(walks(lengths, (True,) * 6)).rows)


def test_no_jump_is_seen_where_there_is_no_usual_step() -> None:
    assert not len(observation_jumps(walks((20, 20), (True, False))).rows)  # 38 steps


def test_frames_of_vectors_jump_alike() -> None:
    frames = frames_of(walks((60,) * 6, (True, False, True, True, True, True)))
    # The first episode has 61 frames, so that row 119 is frame 120.
    assert observation_jumps(frames).rows.tolist() == [120]


def test_a_leap_back_to_the_start_of_the_track_is_found() -> None:
    # Two walks of 60 steps of 0.01 m, then one whose end is marked: the leap from 0.59 m back to 0 is 59 usual steps.
    places = np.tile(np.arange(60) * 0.01, 3)
    ended = np.zeros(180, bool)
    ended[[119, 179]] = True
    found = place_jumps(places, ended)
    assert found.rows.tolist() == [59]
    np.testing.assert_allclose(found.lengths, [59.0], rtol=1e-6)
    # A burst that does not lead back to a start is the robot's own; half a metre in one step is nobody's.
    forwards = np.cumsum(np.where(np.arange(180) == 90, 0.3, 0.01))
    assert not len(place_jumps(forwards, ended & (np.arange(180) > 120)).rows)
    forwards[90:] += 0.3
    assert place_jumps(forwards, ended & (np.arange(180) > 120)).rows.tolist() == [89]


@pytest.mark.parametrize("next_observations", [False, True])
def test_d4rl_files_with_unmarked_ends_are_refused_by_their_places(tmp_path: Path, next_observations: bool) -> None:
    data = walks((60,) * 6, (False, True, False, True, True, True))
    path = tmp_path / "hopper.hdf5"
    with h5py.File(path, "w") as file:
        for name in ("observations", "actions", "rewards"):
            file[name] = getattr(data, name)
        if next_observations:
            file["next_observations"] = data.next_observations
        file["terminals"], file["timeouts"] = data.terminated, data.truncated
        file["infos/qpos"] = np.tile(np.arange(60)[:, None] * 0.01, (6, 6))
    message = (
        r"infos/qpos: expected steps like the usual one of 0\.01, or an end in timeouts or terminals, found a jump of "
        r"0\.59 from row 59 to row 60, as between two episodes, the first of 2"
    )
    with pytest.raises(DataError, match=message):
        load_d4rl(path, HOPPER)
    with h5py.File(path, "a") as file:
        timeouts: Any = file["timeouts"]
        timeouts[[59, 179]] = True
    found = load_d4rl(path, HOPPER)
    # 59 steps of 0.01 m in 0.008 s each, and one whose speed the reward tells.
    speeds = found.costs.reshape(6, -1)[:, :59]
    np.testing.assert_allclose(speeds.sum(1), np.full(6, 59 * 0.01 / 0.008), rtol=1e-4)


def test_episodes_cut_at_the_horizon_that_hold_several_are_refused(tmp_path: Path) -> None:
    data = walks((60,) * 6, (False,) * 6)
    path = tmp_path / "hopper.hdf5"
    with h5py.File(path, "w") as file:  # no timeouts at all: one long episode
        for name in ("observations", "actions", "rewards"):
            file[name] = getattr(data, name)
        file["terminals"] = np.arange(360) == 359
        file["infos/qpos"] = np.tile(np.arange(60)[:, None] * 0.01, (6, 6))
    with pytest.raises(DataError, match="from row 59 to row 60, as between two episodes, the first of 5"):
        load_d4rl(path, HOPPER)


def oscillators(episodes: int, steps: int) -> Dataset:
    """Four driven oscillators that start near rest: a step is as long as a reset, but follows from the one before."""
    draw = np.random.default_rng(0)
    turn = np.kron(np.eye(4), [[0.5, -0.86], [0.86, 0.5]])
    actions = draw.uniform(-1, 1, (episodes * steps, 4)).astype(np.float32)
    here, entered = np.zeros((2, episodes * steps, 8), np.float32)
    for row, action in enumerate(actions):
        here[row] = entered[row - 1] if row % steps else 0.2 * draw.normal(size=8)
        entered[row] = turn @ here[row] + np.repeat(action, 2)
    zeros, ends = np.zeros(len(actions), np.float32), np.arange(len(actions)) % steps == steps - 1
    return Dataset("T", here, actions, zeros, zeros, entered, np.zeros(len(actions), bool), ends)


def test_a_single_end_that_is_not_marked_is_found_by_the_marked_ones() -> None:
    data = oscillators(20, 50)
    assert not len(observation_jumps(data).rows)
    found = []
    for end in data.episode_ends[:-1] - 1:  # one at a time, as a D4RL file without next observations has it
        truncated, entered = data.truncated.copy(), data.next_observations.copy()
        truncated[end] = False
        entered[end] = data.observations[end + 1]
        rows = observation_jumps(replace(data, truncated=truncated, next_observations=entered)).rows.tolist()
        assert rows in ([], [end])
        found += rows
    assert len(found) >= 18  # of 19; by the length of the step few were found


def test_cuts_of_one_long_episode_are_no_resets() -> None:
    # Ends are marked every 50 rows though each next row follows from the one before: no step is like a reset.
    draw = np.random.default_rng(0)
    states = np.cumsum(draw.normal(size=(1001, 4)), 0).astype(np.float32)
    zeros, ends = np.zeros(1000, np.float32), np.arange(1000) % 50 == 49
    actions = draw.uniform(-1, 1, (1000, 2)).astype(np.float32)
    data = Dataset("T", states[:-1], actions, zeros, zeros, states[1:], np.zeros(1000, bool), ends)
    assert not len(observation_jumps(data).rows)


def lidars(episodes: int, steps: int) -> Dataset:
    """An empty road: beams of length 1 that rest, but for cars that pass now and then, at episodes' starts as well."""
    draw = np.random.default_rng(0)
    seen = np.ones((episodes, steps + 1, 40))
    passing = draw.random((episodes, steps + 1)) < 0.3
    seen[passing] = draw.uniform(0.5, 1.0, (int(passing.sum()), 40))
    seen[:, 0] = 1.0 - 1e-3 * draw.random((episodes, 40))
    here, entered = (part.reshape(-1, 40).astype(np.float32) for part in (seen[:, :-1], seen[:, 1:]))
    rows = len(here)
    truncated = np.arange(rows) % steps == steps - 1
    return Dataset(
        "Hopper", here, draw.uniform(-1, 1, (rows, 3)).astype(np.float32), np.zeros(rows, np.float32),
        np.zeros(rows, np.float32), entered, np.zeros(rows, bool), truncated,
    )  # fmt: skip


def test_nothing_is_called_a_reset_where_marked_resets_are_no_longer_than_steps() -> None:
    # Seven of ten episodes end on an empty road, as they begin: such a reset changes nothing.
    assert not len(observation_jumps(lidars(40, 60)).rows)


def test_contacts_right_after_a_start_are_no_resets() -> None:
    # Four accelerations beside the eight positions: a hit in the third step of each episode shakes them alone.
    calm = oscillators(40, 50)
    draw = np.random.default_rng(0)
    felt = (0.05 * draw.normal(size=(len(calm) + 1, 4))).astype(np.float32)
    felt[3 : len(calm) : 50] *= np.geomspace(1.0, 100.0, 40)[:, None]  # of all strengths: none stands apart
    shaken = replace(
        calm,
        observations=np.concatenate([calm.observations, felt[:-1]], 1),
        next_observations=np.concatenate([calm.next_observations, felt[1:]], 1),
    )
    assert not len(observation_jumps(shaken).rows)
    end = calm.episode_ends[4] - 1
    truncated, entered = calm.truncated.copy(), shaken.next_observations.copy()
    truncated[end] = False
    entered[end] = shaken.observations[end + 1]
    assert observation_jumps(replace(shaken, truncated=truncated, next_observations=entered)).rows.tolist() == [end]
