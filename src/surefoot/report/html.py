"""The report of a run as one self-contained HTML file, without scripts, fonts or pictures from elsewhere."""

import base64
import html
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure

from surefoot.files import write_text
from surefoot.report.exports import export, folder_of
from surefoot.report.held_out import held_out_figures, held_out_rows, held_out_verdict
from surefoot.report.key_figures import budget_key_figures, key_figure_rows, key_figures
from surefoot.report.page import STYLESHEET
from surefoot.report.style import STYLE
from surefoot.report.verdicts import KeyFigure, all_are_met, verdict
from surefoot.text import printable, without_folders

MOST_BYTES = 3_000_000
"""Most bytes of the page; figures are drawn coarser until it fits."""
MOST_SHOWN = 100_000
"""Most characters of a line of text."""
_RESOLUTIONS = (200, 140, 90)
"""Dots per inch: a figure 9 inches wide is sharp on screens of twice the usual density."""
_MARKS = {True: ("met", "✓"), False: ("missed", "✗")}


class Animation(NamedTuple):
    """A GIF on the page."""

    name: str
    """Anchor of the animation."""
    content: bytes
    caption: str


def write_report(path: str | os.PathLike[str], *, exports: bool = False, **parts: Any) -> None:
    """Write the page of `report_page` in one step, replacing an earlier one.

    Args:
        path: The HTML file.
        exports: Also write figures as PDF and SVG, tables as CSV and LaTeX, into a folder of the page's name.
        parts: Arguments of `report_page`.

    Raises:
        DataError: The summary has another form.
        OSError: The files cannot be written.
    """
    page = report_page(**parts)
    if exports:
        summary = without_folders(parts["summary"])
        found, further = summary.get("held_out", {}), parts.get("further_tables") or {}
        shown = {
            "Key figures": key_figure_rows(judged_figures(summary)),
            "Evaluation": parts.get("table_rows", ()),
            **further,
            "Before simulation": key_figure_rows(held_out_figures(found)),
            "Logged episodes": held_out_rows(found),
        }
        figures = {name: one for name, (one, _) in parts["figures"].items()}
        export(folder_of(Path(path)), figures=figures, tables=shown)
    write_text(path, page)


def judged_figures(summary: Mapping[str, Any]) -> list[KeyFigure]:
    """The key figures of a run's summary."""
    return [*key_figures(summary), *budget_key_figures(summary.get("budgets", {}))]


def report_page(
    *,
    title: str,
    summary: Mapping[str, Any],
    figures: Mapping[str, tuple[Figure, str]],
    table_rows: Sequence[Mapping[str, object]] = (),
    details: Mapping[str, object] | None = None,
    animations: Sequence[Animation] = (),
    headline: str | None = None,
    further_tables: Mapping[str, Sequence[Mapping[str, object]]] | None = None,
    about: str = "",
    checks: Sequence[KeyFigure] | None = None,
    remarks: Sequence[str] = (),
) -> str:
    """The report as HTML text; absolute paths are shown by their last names.

    Args:
        title: Title of the page.
        summary: Content of summary.json, for verdict, key figures, command, configuration and versions; missing parts
            are left out.
        figures: Name (the anchor) -> (figure, caption).
        table_rows: Rows of the table "Evaluation".
        details: Further folded sections, one for each mapping.
        animations: Animations behind the figures.
        headline: Sentence in place of the verdict.
        further_tables: Heading -> rows, behind the first table.
        about: Description of the task, below the title.
        checks: Key figures in place of the summary's.
        remarks: Sentences under the verdict.

    Returns:
        The page.

    Raises:
        DataError: The summary has another form.
    """
    # A page is shown to others.
    summary = without_folders(summary)
    folded: Mapping[str, object] = without_folders(details or {})
    judged = judged_figures(summary) if checks is None else checks
    page = ""
    tables = {"Evaluation": table_rows, **(further_tables or {})}
    for resolution in _RESOLUTIONS:
        drawn = [_figure(i, name, *figures[name], resolution) for i, name in enumerate(figures, start=1)]
        rollouts = "\n".join(_animation(animation) for animation in animations)
        page = _page(title, about, summary, judged, "\n".join(drawn), tables, folded, rollouts, headline, remarks)
        if len(page.encode()) <= MOST_BYTES:
            break
    return page


def picture_source(figure: Figure, *, resolution: int) -> str:
    """A figure as a data URI: SVG or PNG, whichever takes fewer bytes.

    SVG stands in an `img`, too, so that identifiers of two figures cannot collide.

    Args:
        figure: The figure.
        resolution: Dots per inch of the PNG.

    Returns:
        The URI.
    """
    options = {"bbox_inches": "tight", "pad_inches": 0.06}
    vector, raster = io.BytesIO(), io.BytesIO()
    with matplotlib.rc_context(STYLE):
        # Without the metadata, whose addresses and date have no use here: the same run gives the same page.
        figure.savefig(vector, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")), **options)
        figure.savefig(raster, format="png", dpi=resolution, metadata={"Software": None}, **options)
    kind, content = min(("svg+xml", vector.getvalue()), ("png", raster.getvalue()), key=lambda pair: len(pair[1]))
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _page(
    title: str,
    about: str,
    summary: Mapping[str, Any],
    judged: Sequence[KeyFigure],
    drawn: str,
    tables: Mapping[str, Sequence[Mapping[str, object]]],
    details: Mapping[str, object],
    rollouts: str,
    headline: str | None,
    remarks: Sequence[str],
) -> str:
    met = all_are_met(judged) if headline is None else None
    kind = "" if met is None else "met" if met else "missed"
    sentence = verdict(judged) if headline is None else headline
    parts = [
        f"<header><h1>{_text(title)}</h1>{_subtitle(summary)}{_about(about)}"
        f'<p class="verdict {kind}">{_text(sentence)}</p></header>',
        "\n".join(f"<p>{_text(remark)}</p>" for remark in remarks),
        _section("Key figures", _key_table(judged)) if judged else "",
        *(_section(heading, _plain_rows(rows)) for heading, rows in tables.items() if rows),
        _section("Before simulation", _held_out(summary.get("held_out", {}))),
        _section("Figures", drawn) if drawn else "",
        _section("Rollouts", f'<div class="rollouts">\n{rollouts}\n</div>') if rollouts else "",
        _section("How it was made", _made(summary, details)),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n<title>{_text(title)}</title>\n'
        f"<style>{STYLESHEET}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _subtitle(summary: Mapping[str, Any]) -> str:
    seeds = summary.get("seeds")
    named = [str(summary[key]) for key in ("task", "algorithm") if summary.get(key)]
    if isinstance(seeds, Sequence) and not isinstance(seeds, str) and seeds:
        named.append(f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(str(seed) for seed in seeds)}")
    return f'<p class="subtitle">{_text(" · ".join(named))}</p>' if named else ""


def _about(sentence: str) -> str:
    """What the task is."""
    return f'<p class="about">{_text(sentence)}</p>' if sentence else ""


def _section(heading: str, content: str) -> str:
    return f"<section>\n<h2>{_text(heading)}</h2>\n{content}\n</section>" if content else ""


def _held_out(found: Mapping[str, Any]) -> str:
    """What the logged episodes say of the run: the verdict, and the figures against their thresholds."""
    figures = held_out_figures(found)
    if not figures:
        return ""
    tables = f"{_key_table(figures)}\n{_plain_rows(held_out_rows(found))}"
    return f"<p>{_text(held_out_verdict(found))}</p>\n{tables}"


def _key_table(judged: Sequence[KeyFigure]) -> str:
    lines = []
    for figure in judged:
        name, mark = _MARKS[figure.met] if figure.met is not None else ("", "")
        label = {"met": "met", "missed": "not met"}.get(name, "not judged" if figure.target else "no target")
        lines.append(
            f'<tr><th scope="row">{_text(figure.name)}</th><td>{_text(figure.reached)}{_seeds(figure.seeds)}</td>'
            f'<td>{_text(figure.target)}</td><td class="mark {name}" aria-label="{label}">{mark}</td></tr>'
        )
    head = '<tr><th scope="col"></th><th scope="col">Reached</th><th scope="col">Target</th><th scope="col"></th></tr>'
    return _table(head, lines, "key")


def _seeds(spread: str) -> str:
    return f'<span class="seeds">seeds {_text(spread)}</span>' if spread else ""


def _plain_rows(rows: Sequence[Mapping[str, object]]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    head = "".join(f'<th scope="col">{_text(column)}</th>' for column in columns)
    lines = []
    for row in rows:
        first, *others = (_text(row.get(column, "")) for column in columns)
        lines.append(f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in others)}</tr>')
    return _table(f"<tr>{head}</tr>", lines, "plain")


def _table(head: str, lines: Sequence[str], kind: str) -> str:
    body = "\n".join(lines)
    # Wider than a telephone: it scrolls inside its own box, so that the page does not.
    return f'<div class="wide"><table class="{kind}">\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'


def _figure(number: int, name: str, figure: Figure, caption: str, resolution: int) -> str:
    source = picture_source(figure, resolution=resolution)
    return (
        f'<figure id="{_text(name)}"><div class="paper"><img src="{source}" alt="{_text(caption)}"></div>\n'
        f"<figcaption><b>Figure {number}.</b> {_text(caption)}</figcaption></figure>"
    )


def _animation(animation: Animation) -> str:
    source = f"data:image/gif;base64,{base64.b64encode(animation.content).decode()}"
    caption = _text(animation.caption)
    return (
        f'<figure id="{_text(animation.name)}"><img src="{source}" alt="{caption}">\n'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _made(summary: Mapping[str, Any], details: Mapping[str, object]) -> str:
    command = summary.get("command")
    if isinstance(command, Sequence) and not isinstance(command, str):
        command = " ".join(str(word) for word in command)
    parts = [f'<p>The command:</p>\n<pre class="command"><code>{_text(command)}</code></pre>'] if command else []
    folded = {"Configuration": summary.get("config"), "Versions": summary.get("versions")}
    loose = {}
    for name, value in details.items():
        (folded if isinstance(value, Mapping) else loose)[name] = value
    for name, value in {**folded, "Further details": loose}.items():
        if lines := [_detail_row(key, text) for key, text in _flattened(value)] if isinstance(value, Mapping) else []:
            rows = "\n".join(lines)
            parts.append(f'<details><summary>{_text(name)}</summary>\n<table class="details">{rows}</table></details>')
    return "\n".join(parts)


def _detail_row(key: str, value: str) -> str:
    return f'<tr><th scope="row">{_text(key)}</th><td>{_text(value)}</td></tr>'


def _flattened(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Keys of nested tables joined by dots, and their values as text."""
    rows = []
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            rows += _flattened(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value, default=str)))
    return rows


def _text(value: object) -> str:
    """Anything as text for elements and quoted attributes; what cannot be seen becomes an escape."""
    return html.escape(printable(value, lines=True, most=MOST_SHOWN), quote=True)
