"""The work on a cell of a benchmark, in whichever process.

`benchmark` hands this function down to `experiments`, which knows no command. Importing this module needs no JAX, so
that a process sets it up first.
"""

from pathlib import Path

from surefoot.experiments.cell import Cell, Measured
from surefoot.jax_start import prepare_jax


def work(cell: Cell, folder: Path) -> Measured:
    """Train a cell's run in `folder`, or go on with it, and evaluate it by the strict protocol."""
    prepare_jax(devices=1)
    from surefoot.cli.progress import Terminal
    from surefoot.experiments.cell_work import train_and_measure

    return train_and_measure(cell, folder, Terminal(strict=cell.strict))
