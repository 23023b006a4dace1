"""A tiny TREBI on SafePendulum: data of a random policy, and a run that knows their scales but has learned nothing
else, which takes seconds less to compile."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from surefoot import data
from surefoot.algorithms.trebi import TREBI
from surefoot.data import Dataset
from surefoot.envs.pure import PURE_TASKS
from surefoot.hyperparameters import change
from surefoot.nn import TemporalConfig
from surefoot.planning import GuideConfig, SamplerConfig
from surefoot.tasks import get_task
from surefoot.training import RunDirectory, make_config
from surefoot.training.chunk import init_states

TASK = get_task("SafePendulum")
SIZES: dict[str, Any] = {
    "plan_horizon": 4, "model_updates": 4, "value_updates": 4, "batch_size": 8, "num_candidates": 3,
    "diffusion_steps": 3,
    "calibration_segments": 16, "network": TemporalConfig(width=8, multipliers=(1, 2)),
    "value_network": TemporalConfig(width=8, multipliers=(1, 2)),
    "guide": GuideConfig(units="spread", steps=1, stop=1), "sampler": SamplerConfig(kind="ddim", steps=2),
}  # fmt: skip


def pendulum_data(path: Path, *, episodes: int = 20, seed: int = 0) -> Path:
    """Whole episodes of actions drawn at random."""
    pure = PURE_TASKS["SafePendulum"]
    actions = np.random.default_rng(seed).uniform(-1, 1, (pure.horizon, episodes, 1)).astype(np.float32)

    @jax.jit
    def roll(keys: Any, actions: Any) -> Any:
        def one(carry: Any, action: Any) -> Any:
            state, observation = carry
            entered, step = pure.step(state, action)
            return (entered, step.observation), (observation, action, step.reward, step.cost, step.observation)

        return jax.lax.scan(one, pure.reset(keys), actions)[1]

    columns = roll(jax.random.split(jax.random.key(seed), episodes), actions)
    flat = [np.moveaxis(np.asarray(column), 0, 1).reshape(-1, *column.shape[2:]) for column in columns]
    ends = np.arange(len(flat[0])) % pure.horizon == pure.horizon - 1
    data.save(path, Dataset("SafePendulum", *flat, terminated=np.zeros_like(ends), truncated=ends))
    return path


def trebi_run(path: Path, file: Path, *, seeds: tuple[int, ...] = (0, 1)) -> Path:
    """What `surefoot train` leaves, but for the learning."""
    algorithm, dataset = change(TREBI(), **SIZES), data.load(file, TASK)
    config = make_config(
        algorithm, name="trebi", task=TASK.name, spec=TASK.spec, seeds=seeds, data_path=str(file.resolve()),
        data_fingerprint=dataset.fingerprint(), log_interval=2, checkpoint_interval=4,
    )  # fmt: skip
    run = RunDirectory(path)
    run.start(config, resume=False)
    prepared = algorithm.prepare(dataset, TASK)
    states = init_states(algorithm, TASK.spec, seeds, prepared.statistics)
    run.save_checkpoint(9, states, config.identity)
    return path
