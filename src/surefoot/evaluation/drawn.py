"""Episodes of an evaluation as animations for the report: replayed with equal starts and noise, so equal episodes."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import PyTree, UInt8
from PIL import Image

from surefoot.envs.workers.local import LocalEnvs, Step
from surefoot.evaluation.simulated import Episode, roll_out_alone
from surefoot.nn import member
from surefoot.observer import Observer
from surefoot.protocols import Acts
from surefoot.runs.loaded import LoadedRun
from surefoot.tasks import Task
from surefoot.tasks.action_units import ActionUnits

MOST_FRAMES = 50
"""Most frames of an animation; longer episodes show every second, third, ... frame."""
WIDTH = 240
"""Most pixels of a frame's width; wider frames are scaled down."""
COST_COLOR = (200, 16, 46)
"""RGB color of a frame's border where a step has cost."""
Picture = UInt8[np.ndarray, "h w 3"]


class DrawnRollout(NamedTuple):
    """One episode as an animation."""

    name: str
    """Name of its file."""
    caption: str
    frames: list[Picture]
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
                frames, shown = render_episode(
                    loaded.algorithm, state, simulator, task, seed=seed, episode=episode, every=every, num_envs=num_envs
                )
                caption = (
                    f"Episode {episode} of seed {seed}: return {shown.episode_return:.1f}, cost {shown.cost:g} in "
                    f"{shown.length} steps; a red border marks steps with cost."
                )
                rate = simulator.metadata["render_fps"] / every
                drawn.append(DrawnRollout(f"rollout_{episode}.gif", caption, [_smaller(one) for one in frames], rate))
            line.report(count, count)
    finally:
        simulator.close()
    return drawn


def render_episode(
    algorithm: Acts, state: PyTree[Any], simulator: Any, task: Task, *, seed: int, episode: int, every: int = 1,
    num_envs: int = 1,
) -> tuple[list[Picture], Episode]:  # fmt: skip
    """Replay an episode of an evaluation with pictures; a frame has a red border where a step since the last frame has
    cost.

    Args:
        algorithm: The policy's algorithm.
        state: Training state of the seed.
        simulator: Gymnasium environment made with render_mode "rgb_array", whose info holds the step's cost.
        task: Task of the evaluation.
        seed: Training seed.
        episode: Number of the episode.
        every: Steps between frames.
        num_envs: Environments of the seed when the episode was measured.

    Returns:
        (frames, figures of the episode).
    """
    filmed = _Filmed(simulator, task, num_envs=num_envs, every=every)
    shape, units = task.image_shape, ActionUnits.with_rates(task.file)
    found = roll_out_alone(algorithm, state, filmed, seed=seed, episode=episode, shape=shape, units=units)
    return filmed.frames, found


class _Filmed(LocalEnvs):
    """One simulator in the place of each of `num_envs`, of which one runs."""

    def __init__(self, simulator: Any, task: Task, *, num_envs: int, every: int) -> None:
        kind = np.float32 if task.image_shape is None else np.uint8
        super().__init__([simulator] * num_envs, observation_dim=task.observation_dim, kind=kind)
        self._simulator, self._every = simulator, every
        self._length, self._cost = 0, 0.0
        self.frames: list[Picture] = []

    def reset(self, seeds: np.ndarray) -> np.ndarray:
        observation = super().reset(seeds)
        self.frames = [_frame(self._simulator)]
        return observation

    def step(self, actions: np.ndarray, next_seeds: np.ndarray) -> Step:
        step = super().step(actions, next_seeds)
        self._length += 1
        self._cost += float(step.cost.sum())
        if self._length % self._every == 0 or (step.terminated | step.truncated).any():
            self.frames.append(_frame(self._simulator, marked=self._cost > 0))
            self._cost = 0.0
        return step


def _frame(simulator: Any, *, marked: bool = False) -> Picture:
    frame = np.array(simulator.render(), np.uint8)
    if marked:
        width = max(2, len(frame) // 40)
        for edge in (np.s_[:width], np.s_[-width:], np.s_[:, :width], np.s_[:, -width:]):
            frame[edge] = COST_COLOR
    return frame


def _smaller(frame: Picture) -> Picture:
    height, width = frame.shape[:2]
    if width <= WIDTH:
        return frame
    size = (WIDTH, round(height * WIDTH / width))
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))
