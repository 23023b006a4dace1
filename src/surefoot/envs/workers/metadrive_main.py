"""One environment of a MetaDrive task, run by path in MetaDrive's own virtual environment: `python metadrive_main.py`.

Needs MetaDrive 0.3.0.1 with its old pins and NumPy, nothing of surefoot but the two files beside it. The tasks are
DSRL's: SafeMetaDriveEnv on one map of three blocks, hybrid random traffic, no accidents, no penalty for a crash, which
ends the episode; a cost per step for speed and nearness beside the simulator's own.

As published, `random_traffic` draws from a generator that nothing seeds; here it is the episode's seed.
"""

import logging
import warnings

import numpy as np

try:
    from surefoot.envs.workers.ipc import Opened, serve
    from surefoot.envs.workers.local import LocalEnvs
except ImportError:  # in MetaDrive's environment, where Python finds the files beside this one
    from ipc import Opened, serve  # pyright: ignore[reportMissingImports]
    from local import LocalEnvs  # pyright: ignore[reportMissingImports]

MAPS = {"easy": (0, "SCS"), "medium": (100, "XST"), "hard": (200, "TRO")}
"""Roads: the map's seed and blocks (straight, curve, roundabout "O", ramp "R", crossings "X", "T")."""
TRAFFIC = {"sparse": 0.1, "mean": 0.15, "dense": 0.2}
"""Traffic: vehicles per 10 metres of lane."""
LIDAR = 240
"""The last numbers of an observation: free distance by direction, 1 at 50 m."""
FREE_SPEED, SPEED_COST = 10.0, 0.01
"""Speed in kilometres per hour up to which nothing costs, and the cost of each kilometre per hour above it."""
NEAR, NEAR_COST = 0.1, 0.01
"""Lidar reading below which nearness costs, and the factor of its square."""


class MetaDriveEnv:
    """A task with Gymnasium's reset and step, and `info["cost"]`."""

    def __init__(self, horizon, roads, traffic):  # types would need a newer Python than old pins may have
        from metadrive.envs import SafeMetaDriveEnv  # pyright: ignore[reportMissingImports]
        from metadrive.manager.traffic_manager import TrafficMode  # pyright: ignore[reportMissingImports]

        self._map_seed, blocks = MAPS[roads]
        self._horizon = horizon
        self._steps = 0
        self._env = SafeMetaDriveEnv(
            {
                "start_seed": self._map_seed,
                "environment_num": 1,
                "map_config": {"type": "block_sequence", "config": blocks},
                "traffic_density": TRAFFIC[traffic],
                "traffic_mode": TrafficMode.Hybrid,
                "random_traffic": True,
                "accident_prob": 0.0,
                "crash_vehicle_penalty": 0.0,
                "horizon": horizon,
                # Vehicles that were used before differ from new ones in their last bits.
                "force_destroy": True,
            }
        )
        self._env.lazy_init()
        self.observation_dim = self._env.observation_space.shape[0]
        self.action_dim = self._env.action_space.shape[0]

    def reset(self, seed):
        self._steps = 0
        np.random.seed(seed)  # noqa: NPY002
        self._env.engine.traffic_manager.np_random = np.random.RandomState(seed)
        return self._env.reset(force_seed=self._map_seed).astype(np.float32), {}

    def step(self, action):
        # MetaDrive's box is [-1, 1] itself.
        action = np.clip(np.asarray(action, np.float64), -1.0, 1.0)
        if not np.isfinite(action).all():
            raise ValueError(f"action: expected finite numbers in [-1, 1], found {action.tolist()}.")
        observation, reward, _, info = self._env.step(action)
        self._steps += 1
        nearest = float(observation[-LIDAR:].min())
        speed = float(self._env.vehicle.speed_km_h)
        cost = info["cost"] + SPEED_COST * max(0.0, speed - FREE_SPEED) + NEAR_COST * max(0.0, NEAR - nearest) ** 2
        terminated = bool(info["arrive_dest"] or info["crash"] or info["out_of_road"])
        truncated = self._steps >= self._horizon and not terminated
        return observation.astype(np.float32), float(reward), terminated, truncated, {"cost": float(cost)}

    def close(self):
        self._env.close()


def open_envs(request):
    """Make the environment of an 'o' request."""
    if request["num_envs"] != 1:
        raise ValueError("MetaDrive has one simulation a process: one environment was expected.")
    env = MetaDriveEnv(request["task"]["horizon"], **dict(request["task"]["environment"]["make"]["arguments"]))
    facts = {
        "num_envs": 1,
        "observation_dim": env.observation_dim,
        "action_dim": env.action_dim,
        "frames_per_second": 10.0,
        "horizon": request["task"]["horizon"],
    }
    return Opened(LocalEnvs([env], observation_dim=env.observation_dim), facts)


def main():
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    serve(open_envs, (ValueError,))


if __name__ == "__main__":
    main()
