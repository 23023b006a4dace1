"""Batches shared by four devices: the losses of one device. In a process of its own, where the CPU is four devices."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

PROGRAM = """
import json
from dataclasses import replace
import jax, jax.numpy as jnp, numpy as np
from surefoot.algorithms.safedreamer import SafeDreamer
from surefoot.data import Dataset
from surefoot.errors import ConfigError
from surefoot.tasks import CostLimit, Task
from surefoot.training import fit
from surefoot.training.chunk import batch_mesh, init_states, replicate, run_chunk, seed_keys, seed_mesh
from surefoot.types import DataSpec
from surefoot.hyperparameters import change
from surefoot.world_model import WorldModelConfig

MODEL = WorldModelConfig(
    encoder="mlp", channels=(8,), deterministic=8, hidden=8, groups=2, classes=4, head_hidden=(8,), bins=11
)
# World model, dreams and an actor moved through them, as FOSP has them, with fewer critics to compile.
TINY = change(
    SafeDreamer(),
    joint_updates=6, batch_size=8, window=4, world_model=MODEL, horizon=2, hidden=(8,), actor_hidden=(8,)
)
SPEC, TASK = DataSpec(3, 2, 10), Task("Noise", 3, 2, 10, 0.0, 1.0, (CostLimit(0.0),))
rng = np.random.default_rng(0)
normal = lambda *shape: rng.normal(size=(64, *shape)).astype(np.float32)
ends = np.arange(64) % 16 == 15
data = TINY.prepare(
    Dataset("Noise", normal(3), np.tanh(normal(2)), normal(), (normal() > 0).astype(np.float32), normal(3),
            terminated=np.zeros(64, bool), truncated=ends), TASK)

found = {"devices": len(jax.devices())}
for share, mesh in (("seeds", seed_mesh((0,))), ("batches", batch_mesh(TINY))):
    place = lambda tree: replicate(tree, mesh)
    # A copy to each: states are donated.
    inputs = {"keys": place(seed_keys((0,), stream=1)), "data": place(data), "first": place(jnp.int32(0))}
    states = place(init_states(TINY, SPEC, (0,)))
    options = {"mesh": mesh, "cumulative": None, "phase_index": 0, "length": 3}
    program = run_chunk.lower(TINY, states, **inputs, **options).compile()
    _, metrics = program(states, **inputs, cumulative=None)
    found[share] = {
        "metrics": {name: float(value[0]) for name, value in metrics.items()},
        "sums over devices": program.as_text().count("all-reduce"),
    }
try:
    fit(change(TINY, batch_size=6), data, spec=SPEC, seeds=(0,), log_interval=1, checkpoint_interval=1,
        share="batches")
except ConfigError as error:
    found["refused"] = str(error)
print(json.dumps(found))
"""


def test_four_devices_that_share_batches_have_the_losses_of_one() -> None:
    # The variable and not XLA's flag: a command run earlier in this process may have set it, and it wins.
    devices = {"JAX_NUM_CPU_DEVICES": "4", "JAX_PLATFORMS": "cpu"}
    source = str(Path(__file__).parents[2] / "src")
    path = os.pathsep.join(part for part in (source, os.environ.get("PYTHONPATH", "")) if part)
    environment = {**os.environ, **devices, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["devices"] == 4
    alone, shared = found["seeds"], found["batches"]
    assert alone["metrics"].keys() == shared["metrics"].keys()
    for name, value in alone["metrics"].items():  # means over three updates
        np.testing.assert_allclose(shared["metrics"][name], value, rtol=1e-5, atol=1e-5, err_msg=name)
    assert alone["sums over devices"] == 0
    assert shared["sums over devices"] > 0
    assert found["refused"].startswith(
        "batch_size of phase 'joint': expected a multiple of the 4 devices that share a batch, found 6"
    )
