"""Episodes of an evaluation once more, in pictures: the same starts, the same noise, and so the same episodes."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, PyTree, UInt8

from surefoot.evaluation.simulated import act_once, episode_seed

COST_COLOUR = (200, 16, 46)
"""Of the frame's border where a step has cost."""


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
    algorithm: Any, state: PyTree[Any], simulator: DrawingSimulator, *, seed: int, episode: int, every: int = 1,
    lanes: int = 1, on_step: Callable[[int], None] | None = None,
) -> RenderedEpisode:  # fmt: skip
    """Episode `episode` of training seed `seed`, whose `state` has no seed axis: a frame every `every` steps, with a
    red border where a step since the last frame has cost. `lanes`: that each seed had when the episode was measured.
    `on_step(steps)` is called after each step."""
    observation, _ = simulator.reset(seed=episode_seed(episode))
    memory: Any = None
    frames, returns, costs, length, since = [_frame(simulator)], 0.0, 0.0, 0, 0.0
    ended = False
    while not ended:
        memory, action = act_once(
            algorithm, state, memory, observation, seed=seed, episode=episode, step=length, lanes=lanes
        )
        observation, reward, terminated, truncated, info = simulator.step(action)
        ended = terminated or truncated
        returns, costs, length, since = returns + reward, costs + info["cost"], length + 1, since + info["cost"]
        if length % every == 0 or ended:
            frames.append(_frame(simulator, marked=since > 0))
            since = 0.0
        if on_step is not None:
            on_step(length)
    return RenderedEpisode(frames, returns, costs, length)


def _frame(simulator: DrawingSimulator, *, marked: bool = False) -> UInt8[np.ndarray, "h w 3"]:
    frame = np.array(simulator.render(), np.uint8)
    if marked:
        width = max(2, len(frame) // 40)
        for edge in (np.s_[:width], np.s_[-width:], np.s_[:, :width], np.s_[:, -width:]):
            frame[edge] = COST_COLOUR
    return frame
