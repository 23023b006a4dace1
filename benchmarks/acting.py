"""The time that a policy takes to act, per state, in batches of 1, 8, 32 and 256.

    JAX_PLATFORMS=cpu python benchmarks/acting.py        # about 1 minute on two quiet cores

`LoadedPolicy.act` as a user calls it, NumPy in and out, of FISOR at the paper's size and in the preset `small`; the
weights are fresh, which changes no time. The batch sizes take turns, and compilation is counted apart. Writes
benchmarks/results/acting.json with every block's milliseconds per state.
"""

import argparse
import time
from typing import Any

import jax
import numpy as np

import _machine
from surefoot.algorithms.fisor import FISOR
from surefoot.algorithms.one_step_flow import OneStepFlow
from surefoot.hyperparameters import change
from surefoot.presets.fisor import FISOR_PRESETS
from surefoot.training import LoadedPolicy, RunConfig, hyperparameters
from surefoot.types import DataSpec

BATCHES = (1, 8, 32, 256)
JUDGED, CHEAPER = 32, 4.0
"""States in this batch must be this many times cheaper than one by one."""
SIZES = {
    "full": (FISOR(), DataSpec(observation_dim=76, action_dim=2, horizon=1000)),
    "small": (change(FISOR(), **FISOR_PRESETS["small"]), DataSpec(observation_dim=11, action_dim=2, horizon=300)),
}


def fresh_policy(algorithm: FISOR | OneStepFlow, spec: DataSpec) -> LoadedPolicy:
    """A policy that was never trained or saved."""
    config = RunConfig(
        algorithm="fisor", task="synthetic", preset=None, seeds=(0,), hyperparameters=hyperparameters(algorithm),
        spec=spec, data_path="", data_fingerprint="", log_interval=1, checkpoint_interval=1, command=(), versions={},
    )  # fmt: skip
    state = jax.jit(lambda key: algorithm.init(spec, key))(jax.random.key(0))
    return LoadedPolicy(algorithm, state, config=config, seed=0, step=0)


def measure(policy: LoadedPolicy, spec: DataSpec, *, rounds: int, states: int) -> dict[str, dict[str, Any]]:
    """For each batch size the seconds of the first call (it compiles) and milliseconds per state of each round."""
    random = np.random.default_rng(0)
    observations = {n: random.standard_normal((n, spec.observation_dim), dtype=np.float32) for n in BATCHES}
    found: dict[str, dict[str, Any]] = {}
    for batch, observation in observations.items():
        began = time.perf_counter()
        policy.act(observation)
        found[str(batch)] = {"first_call_seconds": time.perf_counter() - began, "wall_ms": [], "cpu_ms": []}
    for _ in range(rounds):
        for batch, observation in observations.items():
            calls = max(states // batch, 4)
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(calls):
                policy.act(observation)
            found[str(batch)]["wall_ms"].append((time.perf_counter() - wall) / (calls * batch) * 1e3)
            found[str(batch)]["cpu_ms"].append((time.process_time() - cpu) / (calls * batch) * 1e3)
    for row in found.values():
        row["ms_per_state"] = float(np.median(row["wall_ms"]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12, help="blocks of each batch size that are counted")
    parser.add_argument("--states", type=int, default=128, help="states in a block, at least four calls")
    options = parser.parse_args()
    results: dict[str, Any] = _machine.head() | {"settings": vars(options), "sizes": {}}
    for name, (algorithm, spec) in SIZES.items():
        found = measure(fresh_policy(algorithm, spec), spec, rounds=options.rounds, states=options.states)
        single = np.array(found["1"]["wall_ms"])
        for batch, row in found.items():
            row["times_cheaper_than_one_by_one"] = float(np.median(single / np.array(row["wall_ms"])))
            print(
                f"{name:6s} batch {batch:>4s}: {row['ms_per_state']:8.3f} ms a state, "
                f"{row['times_cheaper_than_one_by_one']:6.1f} x cheaper, first call {row['first_call_seconds']:.1f} s"
            )
        cheaper = found[str(JUDGED)]["times_cheaper_than_one_by_one"]
        print(f"{name:6s} batches of {JUDGED}: times cheaper per state {_machine.verdict(cheaper, CHEAPER)}")
        results["sizes"][name] = {
            "candidates": algorithm.num_candidates,
            "extraction": algorithm.extraction,
            "batches": found,
        }
    print(_machine.write("acting", results))


if __name__ == "__main__":
    main()
