"""Registration of Surefoot's environments with Gymnasium, by name, so that neither they nor JAX are imported before
use."""

import gymnasium

POINT_ROBOT_ID = "surefoot/PointRobot-v0"
SAFE_PENDULUM_ID = "surefoot/SafePendulum-v0"
SAFE_REACHER_ID = "surefoot/SafeReacher-v0"

_ENTRY_POINTS = {
    POINT_ROBOT_ID: "surefoot.envs.gymnasium_env:PointRobotEnv",
    SAFE_PENDULUM_ID: "surefoot.envs.gymnasium_pendulum:SafePendulumEnv",
    SAFE_REACHER_ID: "surefoot.envs.simulators:make_safe_reacher",
}


def register() -> None:
    """Make `gymnasium.make("surefoot/PointRobot-v0")` and the like work; later calls do nothing.

    Gymnasium 1.0 and later load no plugins through entry points, so something has to call this: `import surefoot` does,
    and `gymnasium.make("surefoot:surefoot/PointRobot-v0")` imports it first.
    """
    for name, entry_point in _ENTRY_POINTS.items():
        if name not in gymnasium.registry:
            # No max_episode_steps: the environments truncate themselves, so that they and the pure functions agree.
            gymnasium.register(name, entry_point=entry_point)
