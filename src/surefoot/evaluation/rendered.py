"""Episodes of an evaluation replayed with pictures: equal starts and noise, so equal episodes."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, PyTree, UInt8

from surefoot.envs.workers.local import LocalEnvs, Step
from surefoot.evaluation.simulated import roll_out_alone
from surefoot.protocols import Acts
from surefoot.tasks import Task
from surefoot.tasks.action_units import ActionUnits

COST_COLOR = (200, 16, 46)
"""RGB color of a frame's border where a step has cost."""


class DrawingSimulator(Protocol):
    """A Gymnasium environment made with render_mode "rgb_array", whose info holds the step's cost."""

    def reset(self, *, seed: int) -> tuple[Float[np.ndarray, " o"], dict[str, Any]]: ...
    def step(
        self, action: Float[np.ndarray, " a"], /
    ) -> tuple[Float[np.ndarray, " o"], float, bool, bool, dict[str, Any]]: ...
    def render(self) -> UInt8[np.ndarray, "h w 3"] | None: ...


class RenderedEpisode(NamedTuple):
    """One episode in pictures."""

    frames: list[UInt8[np.ndarray, "h w 3"]]
    episode_return: float
    cost: float
    length: int


def render_episode(
    algorithm: Acts, state: PyTree[Any], simulator: DrawingSimulator, task: Task, *, seed: int, episode: int,
    every: int = 1, num_envs: int = 1,
) -> RenderedEpisode:  # fmt: skip
    """Replay an episode of an evaluation with pictures; a frame has a red border where a step since the last frame has
    cost.

    Args:
        algorithm: The policy's algorithm.
        state: Training state of the seed.
        simulator: Simulator that draws.
        task: Task of the evaluation.
        seed: Training seed.
        episode: Number of the episode.
        every: Steps between frames.
        num_envs: Environments of the seed when the episode was measured.

    Returns:
        Frames and figures of the episode.
    """
    filmed = _Filmed(simulator, task, num_envs=num_envs, every=every)
    found = roll_out_alone(
        algorithm, state, filmed, seed=seed, episode=episode, shape=task.image_shape,
        units=ActionUnits.with_rates(task.file),
    )  # fmt: skip
    return RenderedEpisode(filmed.frames, found.episode_return, found.cost, found.length)


class _Filmed(LocalEnvs):
    """One simulator in the place of each of `num_envs`, of which one runs."""

    def __init__(self, simulator: DrawingSimulator, task: Task, *, num_envs: int, every: int) -> None:
        kind = np.float32 if task.image_shape is None else np.uint8
        super().__init__([simulator] * num_envs, observation_dim=task.observation_dim, kind=kind)
        self._simulator, self._every = simulator, every
        self._length, self._cost = 0, 0.0
        self.frames: list[UInt8[np.ndarray, "h w 3"]] = []

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


def _frame(simulator: DrawingSimulator, *, marked: bool = False) -> UInt8[np.ndarray, "h w 3"]:
    frame = np.array(simulator.render(), np.uint8)
    if marked:
        width = max(2, len(frame) // 40)
        for edge in (np.s_[:width], np.s_[-width:], np.s_[:, :width], np.s_[:, -width:]):
            frame[edge] = COST_COLOR
    return frame
