"""How many kernels TREBI's legacy plan of 64 candidates launches on an H200, counted without one.

    pip install "jax[cuda13]==0.11.2"
    JAX_PLATFORMS=cpu python benchmarks/planning_kernels.py      # a minute

Compiles for the target configuration of an H200 and counts in XLA's program, before autotuning, which joins some; says
nothing of time. Needs JAX's CUDA plugin, no GPU. Writes benchmarks/results/planning_kernels.json.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"  # this machine has no driver

import jax
import jax.numpy as jnp
from jax._src.pallas.triton import (
    gpu_info,  # pyright: ignore[reportAttributeAccessIssue]  # JAX 0.11's; what Pallas asks of the device
)
from jax.experimental import topologies

import _machine
from surefoot.algorithms.trebi import TREBI
from surefoot.hyperparameters import change
from surefoot.presets.trebi import TREBI_PRESETS
from surefoot.types import DataSpec, PolicyInputs

SPEC = DataSpec(observation_dim=3, action_dim=1, horizon=200)
H200 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448 shared_memory_per_core: 233472
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  core_count: 132 fpus_per_core: 128 block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 4800000000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98 device_memory_size: 150000000000
  cuda_compute_capability { major: 9 minor: 0 }
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 8 }
runtime_version { major: 13 }
device_description_str: "NVIDIA H200"
"""
_LAUNCHES = ("fusion", "custom-call", "copy", "fusion-start", "copy-start", "sort", "reduce", "scatter")


def compiled_plan() -> str:
    """XLA's program of one decision for one environment."""
    algorithm = replace(change(TREBI(), **TREBI_PRESETS["legacy"]), num_candidates=64)

    def act(state: Any, memory: Any, inputs: PolicyInputs, key: Any) -> Any:
        return algorithm.policy(state).act(memory, inputs, key)

    state = jax.eval_shape(partial(algorithm.init, SPEC), jax.random.key(0))
    memory = jax.eval_shape(lambda state: algorithm.policy(state).initial(1), state)
    inputs = PolicyInputs(jnp.zeros((1, 3)), jnp.zeros(1), jnp.zeros(1, jnp.int32))
    (device,) = topologies.get_topology_desc("1x1x1", "cuda", target_config=H200, topology="1x1x1").devices
    there = jax.sharding.SingleDeviceSharding(device)
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=there),
        (state, memory, inputs, jax.random.key(0)),
    )
    program = jax.jit(act).trace(*shapes).lower(lowering_platforms=("cuda",)).compile().as_text()
    assert program is not None
    return program


def launches(program: str) -> dict[str, int]:
    """Kernels of the whole program, loops as often as they run, and how many of them are Pallas'."""
    bodies: dict[str, list[str]] = {}
    entry = name = ""
    for line in program.splitlines():
        begins = re.match(r"(ENTRY )?%?([\w.\-]+) \(.*\{$", line)
        if begins:
            name = begins.group(2)
            bodies[name] = []
            entry = name if begins.group(1) else entry
        elif " = " in line:
            bodies[name].append(line)
    return {"kernels": _count(bodies, entry, _LAUNCHES), "of them Pallas": _count(bodies, entry, ("custom-call",))}


def _count(bodies: Mapping[str, list[str]], name: str, which: tuple[str, ...]) -> int:
    total = 0
    for line in bodies[name]:
        operation = re.match(r"\s*(?:ROOT )?%?[\w.\-]+ = .*? ([a-z][\w\-]*)\(", line)
        if operation is None:
            continue
        if operation.group(1) == "while":
            body = re.search(r"body=%?([\w.\-]+)", line)
            times = re.search(r'"known_trip_count":\{"n":"(\d+)"', line)
            assert body is not None, line
            assert times is not None, line
            total += int(times.group(1)) * _count(bodies, body.group(1), which)
        elif operation.group(1) in which:
            total += 1
    return total


def main() -> None:
    h200 = gpu_info._get_gpu_info_impl(gpu_info.GpuVersion.H200)
    gpu_info.get_gpu_info = lambda: h200
    jax.default_backend = lambda: "gpu"  # by which planning chooses the form of its networks
    results = _machine.head()
    results["legacy_plan_64"] = launches(compiled_plan())
    print(results["legacy_plan_64"], flush=True)
    print(_machine.write("planning_kernels", results))


if __name__ == "__main__":
    main()
