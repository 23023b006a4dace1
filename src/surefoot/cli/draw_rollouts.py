"""Episodes of an evaluation as animated pictures for the report."""

from typing import NamedTuple

import jax

from surefoot.cli.loaded_run import LoadedRun
from surefoot.cli.progress import ProgressLine
from surefoot.evaluation.rendered import render_episode
from surefoot.report.gif import gif_bytes
from surefoot.tasks import Task

MOST_FRAMES = 60
"""Of one animation: longer episodes are shown by every second, third, ... frame."""


class DrawnRollout(NamedTuple):
    """One episode as a GIF."""

    name: str
    """Of its file."""
    content: bytes
    caption: str


def draw_rollouts(loaded: LoadedRun, task: Task, count: int) -> list[DrawnRollout]:
    """The first `count` episodes of the run's first seed, the same as those that are measured.

    Raises `SimulatorError` where the simulator is missing or the machine cannot draw.
    """
    from surefoot.envs.simulators import make

    seed = loaded.config.seeds[0]
    state = jax.tree.map(lambda leaf: leaf[0], loaded.states)
    every = -(-task.horizon // MOST_FRAMES)
    drawn = []
    simulator = make(task, render_mode="rgb_array")
    try:
        with ProgressLine("drawing", unit="episodes") as line:
            for episode in range(count):
                line.report(episode, count)
                shown = render_episode(loaded.algorithm, state, simulator, seed=seed, episode=episode, every=every)
                rate = simulator.metadata["render_fps"] / every
                caption = (
                    f"Episode {episode} of seed {seed}: return {shown.episode_return:.1f}, cost {shown.cost:g} in "
                    f"{shown.length} steps; a red border marks steps with cost."
                )
                content = gif_bytes(shown.frames, frames_per_second=rate)
                drawn.append(DrawnRollout(f"rollout_{episode}.gif", content, caption))
            line.report(count, count)
    finally:
        simulator.close()
    return drawn
