"""Registers our environments with Gymnasium, by name, so that neither they nor JAX are imported before use."""

import gymnasium

POINT_ROBOT_ID = "surefoot/PointRobot-v0"


def register() -> None:
    """Make `gymnasium.make("surefoot/PointRobot-v0")` work; calling it again does nothing.

    Since 1.0 Gymnasium loads no plugins through entry points, so something has to call this: `import surefoot` does,
    and `gymnasium.make("surefoot:surefoot/PointRobot-v0")` imports it first.
    """
    if POINT_ROBOT_ID not in gymnasium.registry:
        # No max_episode_steps: the environment truncates itself, so that its pure functions and this agree.
        gymnasium.register(POINT_ROBOT_ID, entry_point="surefoot.envs.gymnasium_env:PointRobotEnv")
