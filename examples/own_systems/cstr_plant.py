"""pcgym's stirred tank with limits on its temperature: pcgym is set up in Python, and this is that set-up.

`info["cost"]` is 1 in a step in which pcgym's own `info["cons_info"]` says that a limit was violated. Starts are drawn,
and an episode that ends with its time is truncated, not terminated.
"""

from typing import Any

import gymnasium
import numpy as np
import pcgym  # pyright: ignore[reportMissingImports]  (of the example alone)

STEPS = 60


class Reactor(gymnasium.Wrapper):
    """The tank of pcgym, whose episodes begin at different concentrations and temperatures."""

    def __init__(self) -> None:
        targets = {"Ca": [0.85] * (STEPS // 2) + [0.9] * (STEPS // 2)}
        super().__init__(
            pcgym.make_env(
                {
                    "N": STEPS,
                    "tsim": 25,
                    "SP": targets,
                    "model": "cstr",
                    "x0": np.array([0.8, 325.0, 0.85]),
                    "o_space": {"low": np.array([0.7, 300.0, 0.8]), "high": np.array([1.0, 350.0, 0.9])},
                    "a_space": {"low": np.array([295.0]), "high": np.array([302.0])},
                    "r_scale": {"Ca": 1e3},
                    "normalise_a": False,
                    "normalise_o": False,
                    "constraints": {"T": [327.0, 321.0]},
                    "cons_type": {"T": ["<=", ">="]},
                    "done_on_cons_vio": False,
                    "r_penalty": False,
                    "integration_method": "casadi",
                }
            )
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; what pcgym remembers of the violations of the one before is forgotten."""
        random = np.random.default_rng(seed)
        inner: Any = self.unwrapped
        inner.env_params["x0"] = np.array([random.uniform(0.78, 0.88), random.uniform(322.0, 326.0), 0.85])
        inner.info["cons_info"][:] = 0
        return inner.reset()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step of 0.42 minutes."""
        inner: Any = self.unwrapped
        observation, reward, over, _, info = inner.step(action)
        violated = np.any(info["cons_info"][:, inner.t - 1] > 0)
        return observation, float(np.sum(reward)), False, bool(over), {"cost": float(violated)}


def follow(observation: np.ndarray) -> list[float]:
    """A proportional controller for the log: warmer coolant lowers the concentration."""
    concentration, _, target = observation
    return [299.0 + 30.0 * (concentration - target)]
