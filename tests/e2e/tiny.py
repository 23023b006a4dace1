"""Sizes at which the whole main job takes seconds, and the one data file and run that the tests share."""

import json
from pathlib import Path
from typing import Any

TRANSITIONS = 2000
UPDATES = {"constraint": 40, "reward": 20, "policy": 20}
HYPERPARAMETERS = [
    *[word for name, count in UPDATES.items() for word in (f"--{name}-updates", str(count))],
    *["--value-hidden", "16", "16", "--value-batch-size", "32", "--policy-batch-size", "32"],
    *["--diffusion.network.width", "16", "--diffusion.network.blocks", "1", "--diffusion.network.time-width", "16"],
    *["--num-candidates", "4"],
    # Where values learn from returns, as by the preset of data with costs only.
    *["--value-updates", "40", "--critic-updates", "20"],
]
INTERVALS = ["--log-interval", "10", "--checkpoint-interval", "20"]
TINY = [*HYPERPARAMETERS, *INTERVALS, "--seeds", "0:2"]


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]
