"""Import a Parquet log of many rows, and measure time and the largest resident memory of the process.

python benchmarks/log_import.py --rows 10000000 --out results/own_logs
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from surefoot.result_files import write_results

EPISODE, COLUMNS, BLOCK = 500, 8, 500_000
TASK = """\
[task]
name = "walk"
horizon = 500
[observation]
columns = ["x*"]
[action]
columns = ["u0", "u1"]
[reward]
expression = "-hypot(x0, x1)"
at = "state"
[[constraint]]
name = "fence"
expression = "max(abs(x0), abs(x1)) - 40"
[[constraint]]
name = "trip"
column = "trip"
at = "state"
kind = "cost"
[episodes]
by = "episode"
time = "t"
step_seconds = 0.1
"""
MEASURED = """\
import json, sys, time
from surefoot.cli.main import main
from surefoot.system import peak_memory
began = time.perf_counter()
code = main(sys.argv[1:])
print(json.dumps({"code": code, "seconds": time.perf_counter() - began, "peak_bytes": peak_memory()}))
"""


def main() -> None:
    """Write the log, import it, write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "task.toml").write_text(TASK)
        write_log(folder / "log.parquet", options.rows)
        words = ["data", "import", str(folder / "log.parquet"), "--task", str(folder / "task.toml")]
        words += ["--out", str(folder / "log.hdf5")]
        began = time.perf_counter()
        command = [sys.executable, "-c", MEASURED, *words]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        assert found.pop("code") == 0
        found |= {"rows": options.rows, "columns": COLUMNS + 5, "wall_seconds": time.perf_counter() - began}
        for name in ("log.parquet", "log.hdf5"):
            found[f"{name.split('.')[1]}_bytes"] = (folder / name).stat().st_size
    write_results(options.out, {"import.json": found})
    print(json.dumps(found, indent=2))


def write_log(path: Path, rows: int) -> None:
    """Random walks, block by block."""
    random = np.random.default_rng(0)
    names = [f"x{number}" for number in range(COLUMNS)]
    writer = None
    for first in range(0, rows, BLOCK):
        count = min(BLOCK, rows - first)
        row = np.arange(first, first + count)
        steps = row % EPISODE
        walk = np.cumsum(random.normal(size=(count, COLUMNS)).astype(np.float32), 0)
        walk -= walk[np.maximum(np.arange(count) - steps, 0)]
        columns: dict[str, np.ndarray] = {name: walk[:, number] for number, name in enumerate(names)}
        columns |= {f"u{number}": random.uniform(-1, 1, count).astype(np.float32) for number in range(2)}
        trip = (np.abs(walk[:, :2]).max(1) > 40).astype(np.int8)
        columns |= {"trip": trip, "episode": row // EPISODE, "t": 0.1 * steps}
        table = pa.table(columns)
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


if __name__ == "__main__":
    main()
