"""Collections of images: labelled, counted, the same in any order, and never losing what was written."""

import errno
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surefoot import files
from surefoot.collection.pixels import PixelCollection, collect_pixels
from surefoot.data import episode_files
from surefoot.envs.workers import players as players_module
from surefoot.envs.workers.episodes import EpisodeOrder, PixelEpisode
from surefoot.envs.workers.players import Players
from surefoot.envs.workers.process import WorkerDiedError
from surefoot.errors import ConfigError, DataError, SimulatorError
from surefoot.tasks import get_task

TASK = get_task("PointGoal1Vision")
STEPS = 25


def episode(order: EpisodeOrder) -> dict[str, np.ndarray]:
    """Short, and a function of what was order."""
    rng = np.random.default_rng([order.seed, order.noise])
    images = np.full((STEPS + 1, 64, 64, 6), rng.integers(256), np.uint8)
    rewards = rng.uniform(size=STEPS).astype(np.float32)
    costs = np.full(STEPS, float(order.behavior == 1), np.float32)
    actions = rng.uniform(-1, 1, (STEPS, 2)).astype(np.float32)
    return PixelEpisode(images, actions, rewards, costs, np.array(order.behavior == 0))._asdict()


class FakePlayers:
    """Plays backwards where `last_first`; after `most` episodes the process is gone."""

    def __init__(self, *, last_first: bool = False, most: int | None = None) -> None:
        self.last_first, self.most = last_first, most
        self.played: list[int] = []

    def __enter__(self) -> "FakePlayers":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def play(
        self, episodes: Iterable[tuple[int, EpisodeOrder]], keep: Callable[[int, dict[str, np.ndarray]], Any]
    ) -> Iterator[Any]:
        several = list(episodes)
        for number, order in reversed(several) if self.last_first else several:
            if self.most is not None and len(self.played) >= self.most:
                raise KeyboardInterrupt
            self.played.append(number)
            yield keep(number, episode(order))


def collect(folder: Path, players: Any, *, transitions: int = 110, seed: int = 0) -> dict[str, Any]:
    collection = PixelCollection(TASK, transitions, seed, folder)
    return collect_pixels(collection, lambda: players, renderer="EGL")[1]


def test_the_card_counts_each_behaviour_and_the_files_are_labelled(tmp_path: Path) -> None:
    # 110 decisions: one episode of at most 250 is asked for at a time, and each has 25, so five are played.
    card = collect(tmp_path / "a", FakePlayers())
    assert [(row["name"], row["episodes"], row["cost_mean"]) for row in card["behaviours"]] == [
        ("random", 2, 0.0), ("careless", 2, 25.0), ("careful", 1, 0.0),
    ]  # fmt: skip
    assert card["coverage"]["transitions"] == 125
    assert card["coverage"]["violation_free_rate"] == 0.6
    assert card["drawn_by"] == "EGL"
    assert episode_files.behaviors(tmp_path / "a") == ["random", "careless", "careful", "random", "careless"]
    found = episode_files.load(tmp_path / "a", TASK, in_memory=True)
    # What the task ended terminates; the others are truncated.
    assert found.terminated[found.episode_ends - 1].tolist() == [True, False, False, True, False]
    assert found.truncated[found.episode_ends - 1].tolist() == [False, True, True, False, True]
    assert not (tmp_path / "a" / "reserve").exists()


def test_stopped_and_in_another_order_the_data_are_the_same_and_grow(tmp_path: Path) -> None:
    collect(tmp_path / "a", FakePlayers(), transitions=700)
    with pytest.raises(KeyboardInterrupt):
        collect(tmp_path / "b", FakePlayers(most=4), transitions=400)
    assert not (tmp_path / "b" / "card.json").exists()
    second = FakePlayers(last_first=True)
    collect(tmp_path / "b", second, transitions=700)
    assert not set(second.played) & {0, 1, 2, 3}
    one, other = (episode_files.load(tmp_path / name, TASK, in_memory=True) for name in "ab")
    assert one.fingerprint() == other.fingerprint()
    nothing = FakePlayers()
    collect(tmp_path / "b", nothing, transitions=700)
    assert nothing.played == []


def test_another_collection_in_the_folder_is_refused(tmp_path: Path) -> None:
    collect(tmp_path / "a", FakePlayers())
    with pytest.raises(ConfigError, match=r"holds another collection, collection\.seed"):
        collect(tmp_path / "a", FakePlayers(), seed=1)
    with pytest.raises(ConfigError, match="transitions: expected at least 1, found 0"):
        collect(tmp_path / "a", FakePlayers(), transitions=0)


def test_a_full_disk_loses_nothing_that_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = 0
    whole = files.write_bytes

    def fills_up(path: Path, content: bytes) -> None:
        nonlocal written
        written += ".hdf5." in path.name
        # The third episode finds the disk full, until the reserve is given back.
        if written >= 3 and (tmp_path / "a" / "reserve").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(path, content)

    monkeypatch.setattr(files, "write_bytes", fills_up)
    with pytest.raises(DataError, match="found it full; everything collected is kept: free some and start the same"):
        collect(tmp_path / "a", FakePlayers())
    assert len(episode_files.episode_paths(tmp_path / "a")) == 3
    assert not list((tmp_path / "a" / "episodes").glob(".*"))
    monkeypatch.setattr(files, "write_bytes", whole)
    again = FakePlayers()
    collect(tmp_path / "a", again)
    assert again.played == [3, 4]


class DyingPlayer:
    """Dies under its first `deaths` episodes."""

    deaths = 0

    def __init__(self, task: Any, *, here: bool) -> None:
        assert not here

    def play(self, order: EpisodeOrder) -> dict[str, np.ndarray]:
        if type(self).deaths > 0:
            type(self).deaths -= 1
            raise WorkerDiedError("killed by signal 9")
        return episode(order)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("deaths", [2, 3])
def test_an_episode_whose_worker_dies_is_played_again(deaths: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DyingPlayer, "deaths", deaths)
    monkeypatch.setattr(players_module, "_Player", DyingPlayer)
    order, seen = EpisodeOrder(7, 1, 8), []
    with Players(TASK, workers=1, on_death=seen.append) as players:
        played = players.play([(0, order)], lambda number, found: found["rewards"].tolist())
        if deaths == 2:
            assert list(played) == [episode(order)["rewards"].tolist()]
        else:
            with pytest.raises(SimulatorError, match="died 3 times under the episode with seed 7: killed by signal 9"):
                list(played)
    assert [death.seeds for death in seen] == [(7,)] * deaths


def test_the_identity_is_written_as_json(tmp_path: Path) -> None:
    collect(tmp_path / "a", FakePlayers())
    found = json.loads((tmp_path / "a" / "collection.json").read_text())
    assert found["vision"]["cameras"] == ["vision", "vision_back"]
    assert found["behaviours"] == ["random", "careless", "careful"]
