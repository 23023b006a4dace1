"""Episodes of an evaluation as animations for the report."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from surefoot.evaluation.rendered import render_episode
from surefoot.nn import member
from surefoot.observer import Observer
from surefoot.runs.loaded import LoadedRun
from surefoot.tasks import Task

MOST_FRAMES = 50
"""Most frames of an animation; longer episodes show every second, third, ... frame."""
WIDTH = 240
"""Most pixels of a frame's width; wider frames are scaled down."""


class DrawnRollout(NamedTuple):
    """One episode as an animation."""

    name: str
    """Name of its file."""
    caption: str
    frames: list[UInt8[np.ndarray, "h w 3"]]
    frames_per_second: float

    def content(self) -> bytes:
        """The animation as the content of a GIF file."""
        from surefoot.envs.film import save_film

        with TemporaryDirectory() as folder:
            save_film(Path(folder) / self.name, self.frames, frames_per_second=self.frames_per_second)
            return (Path(folder) / self.name).read_bytes()


def draw_rollouts(
    loaded: LoadedRun, task: Task, count: int, *, num_envs: int, observer: Observer
) -> list[DrawnRollout]:
    """Animations of the first seed's first episodes, equal to those that were measured.

    Args:
        loaded: The run.
        task: Task with a simulator.
        count: Episodes.
        num_envs: Environments of a seed in the measurement.
        observer: Receives progress.

    Returns:
        One animation an episode.

    Raises:
        SimulatorError: The simulator is missing, or the machine cannot draw.
    """
    from surefoot.envs.simulators import make

    seed = loaded.config.seeds[0]
    state = member(loaded.states, 0)
    every = -(-task.horizon // MOST_FRAMES)
    drawn = []
    simulator = make(task, render_mode="rgb_array")
    try:
        with observer.progress("drawing", unit="episodes") as line:
            for episode in range(count):
                line.report(episode, count)
                shown = render_episode(
                    loaded.algorithm, state, simulator, task, seed=seed, episode=episode, every=every, num_envs=num_envs
                )
                caption = (
                    f"Episode {episode} of seed {seed}: return {shown.episode_return:.1f}, cost {shown.cost:g} in "
                    f"{shown.length} steps; a red border marks steps with cost."
                )
                frames = [_smaller(frame) for frame in shown.frames]
                rate = simulator.metadata["render_fps"] / every
                drawn.append(DrawnRollout(f"rollout_{episode}.gif", caption, frames, rate))
            line.report(count, count)
    finally:
        simulator.close()
    return drawn


def _smaller(frame: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    height, width = frame.shape[:2]
    if width <= WIDTH:
        return frame
    size = (WIDTH, round(height * WIDTH / width))
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))
