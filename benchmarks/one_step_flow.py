"""Microseconds of a decision of the one-step flow policy beside FISOR's, at both presets' sizes.

    JAX_PLATFORMS=cpu python benchmarks/one_step_flow.py        # about 1 minute on two quiet cores

One state at a time, as in a control loop, by `LoadedPolicy.act`; the two take turns, block after block. Fresh weights.
Seconds are those of the process. Writes benchmarks/results/one_step_flow.json with every block.
"""

import argparse
import time
from typing import Any

import numpy as np

import _machine
from acting import SIZES, fresh_policy
from surefoot.algorithms.one_step_flow import OneStepFlow
from surefoot.hyperparameters import change
from surefoot.presets.one_step_flow import ONE_STEP_FLOW_PRESETS

SHARE = 0.25
"""Most of FISOR's time."""
STUDENTS = {"full": OneStepFlow(), "small": change(OneStepFlow(), **ONE_STEP_FLOW_PRESETS["small"])}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--calls", type=int, default=100)
    options = parser.parse_args()
    results: dict[str, Any] = _machine.head() | {"settings": vars(options), "most_of_fisor": SHARE, "sizes": {}}
    for size, (fisor, spec) in SIZES.items():
        policies = {"fisor": fresh_policy(fisor, spec), "one_step_flow": fresh_policy(STUDENTS[size], spec)}
        observation = np.random.default_rng(0).standard_normal((1, spec.observation_dim), dtype=np.float32)
        blocks: dict[str, list[float]] = {name: [] for name in policies}
        for policy in policies.values():
            policy.act(observation)
        for _ in range(options.rounds):
            for name, policy in policies.items():
                began = time.process_time()
                for _ in range(options.calls):
                    policy.act(observation)
                blocks[name].append(1e6 * (time.process_time() - began) / options.calls)
        medians = {name: float(np.median(values)) for name, values in blocks.items()}
        share = medians["one_step_flow"] / medians["fisor"]
        print(f"{size:6s}", {name: round(value) for name, value in medians.items()}, f"share {share:.3f}")
        results["sizes"][size] = {"microseconds": medians, "share_of_fisor": share, "blocks": blocks}
    print(_machine.write("one_step_flow", results))


if __name__ == "__main__":
    main()
