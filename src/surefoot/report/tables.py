"""Tables of text for the terminal, in Markdown, CSV and LaTeX, and the form of figures in their cells."""

import csv
import io
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from surefoot.text import printable

DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "✗": r"$\times$", DASH: "--",
}  # fmt: skip


def plain_table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as aligned monospace text with a line under the header; numbers are aligned right.

    Columns stand in the order of the first row; further keys become columns at the end. Empty without rows.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    if not columns:
        return ""
    texts = [[_one_line(row.get(column, "")) for column in columns] for row in rows]
    right = [all(_is_figure(line[i]) for line in texts) for i in range(len(columns))]
    widths = [max(_width(text) for text in column) for column in zip(columns, *texts, strict=True)]
    lines = [columns, ["─" * width for width in widths], *texts]
    return "\n".join(
        "  ".join(_pad(text, width, right=to) for text, width, to in zip(line, widths, right, strict=True)).rstrip()
        for line in lines
    )


def markdown_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows as a Markdown table, with columns in the first row's order."""
    columns = list(rows[0])
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    lines = [columns, ["---"] * len(columns), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def latex_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows as a tabular environment for the package booktabs."""
    columns = list(rows[0])
    body = [" & ".join(_latex(row[column]) for column in columns) + r" \\" for row in rows]
    head = [
        rf"\begin{{tabular}}{{l{'l' * (len(columns) - 1)}}}",
        r"\toprule",
        " & ".join(map(_latex, columns)) + r" \\",
    ]
    return "\n".join([*head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}"])


def csv_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows as comma-separated values.

    Args:
        rows: Rows by column.
        columns: Columns in their order.

    Returns:
        The text.
    """
    file = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def percent(share: float) -> str:
    """A share as per cent with one decimal, never rounded up to 100 or down to 0."""
    if 0 < share < 1 and f"{share:.1%}" in ("100.0%", "0.0%"):
        return "> 99.9 %" if share > 0.5 else "< 0.1 %"
    return f"{100 * share:.1f} %"


def bracketed(mean: float, interval: Sequence[float] | None, *, digits: int = 2, episodes: int | None = None) -> str:
    """A mean with its 95 % interval in brackets, or with the number of episodes where there is no interval.

    Args:
        mean: The mean.
        interval: (low, high), or None.
        digits: Decimals.
        episodes: Number of episodes, or None.

    Returns:
        The text.
    """
    if interval is not None:
        low, high = interval
        return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{mean:.{digits}f}" if episodes is None else f"{mean:.{digits}f} (n = {episodes:,})"


def bracketed_share(share: float, interval: Sequence[float]) -> str:
    """A share with its 95 % interval in brackets.

    Args:
        share: In [0, 1].
        interval: (low, high).

    Returns:
        The text.
    """
    low, high = (percent(bound).removesuffix(" %") for bound in interval)
    return f"{percent(share)} [{low}, {high}]"


def over_seeds(values: object, form: Callable[[float], str]) -> str:
    """Range of a figure over the training seeds, as "LOW to HIGH".

    Args:
        values: A number for each seed.
        form: Form of a number.

    Returns:
        The text; empty with fewer than two seeds.
    """
    if not isinstance(values, Sequence) or isinstance(values, str):
        return ""
    found = sorted(value for value in values if isinstance(value, int | float))
    if len(found) < 2:
        return ""
    low, high = form(found[0]), form(found[-1])
    return low if low == high else f"{low.removesuffix(' %')} to {high}"


def _one_line(value: object) -> str:
    return printable(" ".join(str(value).split()))


def _is_figure(text: str) -> bool:
    """Whether a cell is a number, perhaps with a unit or an interval, or a dash for a missing one."""
    return text in ("", DASH) or text.lstrip(f"<>≤≥ -{MINUS}")[:1].isdigit()


def _width(text: str) -> int:
    """Columns that a terminal gives to a text."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def _pad(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space


def _cell(word: str) -> str:
    """A cell that neither a bar nor a line break in it can end."""
    return printable(word).replace("|", "\\|")


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in printable(text))
