"""Episodes of images by random, careless and careful behaviors in turn.

Episode e is a function of (seed of the collection, e): its layout, its behavior e modulo 3 and that behavior's noise.
So the data do not depend on the number of processes, or on interruptions. A request for more transitions extends the
folder.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from surefoot.checkpoint import versions
from surefoot.collection.store import Store
from surefoot.data import episode_files
from surefoot.data.checks import check_frames
from surefoot.data.frames import FrameData, from_episodes
from surefoot.envs.simulators.install import simulator_versions
from surefoot.envs.simulators.scripted_policies import BEHAVIORS
from surefoot.envs.workers.episodes import EpisodeOrder
from surefoot.envs.workers.players import Players
from surefoot.ranges import SEED, Range, Ranged
from surefoot.tasks import Task

RESERVE_BYTES = 16 * 2**20
"""Bytes kept free for the last episodes on a disk that fills up."""
OpenPlayers = Callable[[], Players]


@dataclass(frozen=True)
class PixelCollection(Ranged):
    """A collection of episodes of images in a folder."""

    task: Task
    transitions: Annotated[int, Range("[1, 10^9]")]
    """Decisions, at least; whole episodes."""
    seed: Annotated[int, Range(SEED)]
    folder: Path

    @property
    def identity(self) -> dict[str, Any]:
        """Values that must stay equal while the folder grows, as JSON values."""
        assert self.task.vision is not None
        return {
            "task": self.task.name,
            "vision": self.task.vision._asdict(),
            "behaviours": list(BEHAVIORS),
            "seed": self.seed,
            "simulator": simulator_versions(self.task),
        }

    def order(self, number: int) -> EpisodeOrder:
        """Seeds and behavior of the episode with this number."""
        simulator, noise = np.random.SeedSequence([self.seed, number]).generate_state(2)
        return EpisodeOrder(int(simulator) % 2**31, number % len(BEHAVIORS), int(noise))


def collect_pixels(
    collection: PixelCollection,
    open_players: OpenPlayers,
    *,
    renderer: str,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[FrameData, dict[str, Any]]:
    """Play the missing episodes of a folder and write its card.

    Args:
        collection: Task, transitions, seed and folder.
        open_players: Opens processes that play.
        renderer: Name of the renderer, for the card.
        on_progress: Called with (decisions done, decisions in all).

    Returns:
        (all episodes, with images left in their files, card).

    Raises:
        ConfigError: The folder holds another collection.
        DataError: The disk is full; written episodes are kept, and the call can be repeated.
    """
    store = Store(collection.folder)
    with store.opened(collection.identity, reserve=RESERVE_BYTES):
        done = {int(path.stem): length for path, length in _lengths(collection)}
        saving = threading.Lock()

        def keep(number: int, episode: dict[str, np.ndarray]) -> tuple[int, int]:
            single = {name: values[None] for name, values in episode.items()}
            frames = from_episodes(collection.task.name, **single)
            place = collection.folder / episode_files.EPISODES / f"{number:06d}.hdf5"
            check_frames(place, frames, collection.task, whole=False)
            content = episode_files.encode(frames, behavior=BEHAVIORS[number % len(BEHAVIORS)], number=number)
            with saving:  # one at a time falls back on the reserve
                store.add_file(place.name, content)
            return number, len(frames)

        on_progress(sum(done.values()), collection.transitions)
        while sum(done.values()) < collection.transitions:
            with open_players() as players:
                for number, length in players.play(_missing(collection, done), keep):
                    done[number] = length
                    on_progress(min(sum(done.values()), collection.transitions), collection.transitions)
        frames = episode_files.load_episodes(collection.folder, collection.task, in_memory=False, verify=True)
        check_frames(collection.folder, frames, collection.task)
        card = make_card(collection, frames, renderer=renderer)
        episode_files.write_card(collection.folder, collection.task, card)
        store.release_reserve()
    return frames, card


def make_card(collection: PixelCollection, frames: FrameData, *, renderer: str) -> dict[str, Any]:
    """Data card of the folder.

    Args:
        collection: The collection.
        frames: All its episodes.
        renderer: Name of the renderer.

    Returns:
        JSON values.
    """
    labels = np.asarray(episode_files.behaviors(collection.folder))
    kinds = {name: labels == name for name in BEHAVIORS}
    size = sum(path.stat().st_size for path in episode_files.episode_paths(collection.folder))
    return {
        "recipe": "surefoot collect: whole episodes, each behaviour in turn",
        "behaviours": [{"name": name, **_coverage(frames, kind)} for name, kind in kinds.items() if kind.any()],
        **{name: value for name, value in collection.identity.items() if name in ("vision", "seed", "simulator")},
        "drawn_by": renderer,
        "versions": versions(),
        "coverage": _coverage(frames, np.ones(len(labels), bool)),
        "megabytes": {"images": round(frames.observations.nbytes / 1e6, 1), "on_disk": round(size / 1e6, 1)},
    }


def _coverage(frames: FrameData, chosen: np.ndarray) -> dict[str, Any]:
    return {
        "episodes": int(chosen.sum()),
        "transitions": int(frames.lengths[chosen].sum()),
        "return_mean": float(frames.returns[chosen].mean()),
        "cost_mean": float(frames.cost_returns[chosen].mean()),
        "violating_steps_mean": float(frames.violating_steps[chosen].mean()),
        "violation_free_rate": float((frames.violating_steps[chosen] == 0).mean()),
    }


def _missing(collection: PixelCollection, done: dict[int, int]) -> Iterator[tuple[int, EpisodeOrder]]:
    """The episodes to play so that, if all have the task's horizon, there are enough."""
    lacking = collection.transitions - sum(done.values())
    wanted, number = -(-lacking // collection.task.horizon), 0
    while wanted > 0:
        if number not in done:
            wanted -= 1
            yield number, collection.order(number)
        number += 1


def _lengths(collection: PixelCollection) -> list[tuple[Path, int]]:
    paths = episode_files.episode_paths(collection.folder)
    if not paths:
        return []
    frames = episode_files.load_episodes(collection.folder, collection.task, in_memory=False)
    return list(zip(paths, frames.lengths.tolist(), strict=True))
