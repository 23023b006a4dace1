"""Figures and tables of a page as separate files, for papers and further use."""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from surefoot.file_sets import write_together
from surefoot.report.style import save_figure
from surefoot.report.tables import csv_table, latex_table

_CROPPED = {"bbox_inches": "tight", "pad_inches": 0.06}
_UNDATED = {
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    "svg": dict.fromkeys(("Creator", "Date", "Format", "Type")),
}
"""Metadata without a date, so that equal figures give equal bytes."""


def folder_of(page: Path) -> Path:
    """Folder of a page's files: RUN/report for RUN/report.html."""
    return page.with_suffix("") if page.suffix else page.with_name(f"{page.name}_files")


def export(
    folder: Path, *, figures: Mapping[str, Figure], tables: Mapping[str, Sequence[Mapping[str, object]]]
) -> None:
    """Write figures as PDF and SVG, tables as CSV and LaTeX, all or none of them.

    Args:
        folder: Folder of the files.
        figures: Figures by name.
        tables: Rows by heading.

    Raises:
        OSError: The files cannot be written.
    """
    contents: dict[Path, bytes] = {}
    for name, figure in figures.items():
        for kind, undated in _UNDATED.items():
            file = io.BytesIO()
            save_figure(figure, file, format=kind, metadata=undated, **_CROPPED)
            contents[folder / f"{_file_name(name)}.{kind}"] = file.getvalue()
    for heading, rows in tables.items():
        if rows:
            columns = list(dict.fromkeys(column for row in rows for column in row))
            full = [{column: str(row.get(column, "")) for column in columns} for row in rows]
            contents[folder / f"{_file_name(heading)}.csv"] = csv_table(full, columns).encode()
            contents[folder / f"{_file_name(heading)}.tex"] = f"{latex_table(full)}\n".encode()
    if contents:
        write_together(contents)


def _file_name(heading: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-") or "table"
