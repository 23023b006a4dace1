"""Words from files on a terminal and in figures: what they show, and that nothing goes past the functions for them."""

import ast
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from tests.sources import of_source

from _front import FrontPoint, FrontSeries, front
from surefoot.report.html import Animation, write_report
from surefoot.report.image_plots import MethodEpisodes, online_curves, return_against_cost
from surefoot.report.plots import data_overview, training_curves
from surefoot.report.protocol_plots import Scores, cost_against_return
from surefoot.report.tables import markdown_table, plain_table
from surefoot.text import MOST_DRAWN, MOST_PRINTED, plain_for_plot, printable, shell_word, without_folders

STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
"""What no output may hold, but for line breaks."""
HOSTILE = (
    "[/red]", "[bold", ":smile:", "\x1b[31mred", "\x9b31m", "a\rb", "a\nerror: b", "\x00", "\x07", "\u202egnp.exe",
    "\u2066x", "$x", "$\\frac{$", "a$b$c", "_hidden", "x^{2", "\udcff\udcfe", "\ud800", "\u4e2d\u6587", "{0}%s%n",
    "<b>&\"'", "a" * 20_000, "", " ", "\ufeff", "\u2028", "e\u0301", "\U000e0041", "|", "\\$", "$$", "%", "#", "~", "&",
)  # fmt: skip


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("plain words", "plain words"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\x9bb\x07", "a\\x9bb\\x07"),
        ("a\r\n\tb", "a\\r\\n\\tb"),
        ("\u202ea\u2028", "\\u202ea\\u2028"),
        ("\udcff\udce9", "\\xff\\xe9"),  # a file name of the bytes FF E9
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("caf\u00e9 \u4e2d\u00a0\u2264", "caf\u00e9 \u4e2d\u00a0\u2264"),
    ],
)
def test_what_is_no_visible_character_becomes_an_escape(word: str, shown: str) -> None:
    assert printable(word) == shown


def test_line_breaks_stay_where_lines_are_printed() -> None:
    assert printable("a\nb\x1b", lines=True) == "a\nb\\x1b"


def test_long_lines_are_cut_in_the_middle() -> None:
    shown = printable("a" * 9_000 + "b" * 9_000)
    assert len(shown) <= MOST_PRINTED
    assert shown.startswith("aaa")
    assert shown.endswith("bbb")


@pytest.mark.parametrize("word", ["a b", "it's", "\x1b[31m", "a\nb", "\udcff\\'", "\u202e", "$HOME", "\u00e9"])
def test_a_printed_command_names_the_same_bytes(word: str) -> None:
    shown = shell_word(word)
    assert not STEERING.search(shown)
    said = subprocess.run(["bash", "-c", f"printf %s {shown}"], capture_output=True, check=True)
    assert said.stdout == word.encode("utf-8", "surrogateescape")


def figures(word: str) -> dict[str, Figure]:
    ones = np.ones((1, 3))
    curves = [{"seed": 0, "environment_steps": step, "return_mean": 1.0, "violating_share": 0.1,
               "violating_episodes": 1} for step in (1, 2)]  # fmt: skip
    return {
        "training": training_curves([{"step": s, "phase": p, f"{word}/m": 1.0} for s in (1, 9) for p in (word, "b")]),
        "front": front([FrontSeries(word, (FrontPoint(1.0, 3, 4, label=word),))]),
        "data": data_overview([1, 2], [0, 1], [3, 4], groups=[word, "other"]),
        "scores": cost_against_return([Scores(word, ones, ones)]),
        "episodes": return_against_cost([MethodEpisodes(word, ones[0], ones[0], np.zeros(3))]),
        "online": online_curves({word: curves, "other": curves}),
    }


@pytest.mark.parametrize("words", [HOSTILE[:12], HOSTILE[12:22], HOSTILE[22:]])
def test_figures_draw_any_word(words: tuple[str, ...]) -> None:
    """One figure with all of them: rendering is slow. Missing letters would warn, which is an error here."""
    cost_against_return([Scores(word, np.ones((1, 3)), np.ones((1, 3))) for word in words]).canvas.draw()  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("name", ["training", "front", "data", "scores", "episodes", "online"])
def test_every_figure_with_names_draws_an_unbalanced_dollar(name: str) -> None:
    figures("$\\frac{ \x1b\u4e2d\n_")[name].canvas.draw()  # pyright: ignore[reportAttributeAccessIssue]


def test_a_label_is_never_hidden_nor_mathematics() -> None:
    figure = cost_against_return([Scores("_a_{b}$x$", np.ones((1, 3)), np.ones((1, 3)))])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [r" _a_{b}\$x\$"]


@pytest.mark.parametrize("word", HOSTILE)
def test_drawn_words_are_short_and_of_known_letters(word: str) -> None:
    drawn = plain_for_plot(word)
    assert len(drawn) <= 2 * MOST_DRAWN + 1
    assert "$" not in drawn.replace(r"\$", "")
    assert not drawn.startswith("_")
    assert not STEERING.search(drawn)


def test_of_many_groups_the_first_are_named() -> None:
    figure = data_overview(range(40), range(40), range(40), groups=[f"behaviour {i}" for i in range(40)])
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == [*(f"behaviour {i} (1)" for i in range(12)), "others (28)"]


@pytest.mark.parametrize("word", HOSTILE)
def test_tables_keep_a_word_in_its_cell(word: str) -> None:
    rows = [{"name": word, "x": "1"}, {"name": "b", "x": "2"}]
    lines = plain_table(rows).split("\n")
    assert len(lines) == 4
    assert not any(STEERING.search(line) for line in lines)
    marked = markdown_table(rows).splitlines()
    assert len(marked) == 4
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in marked} == {3}


def page_of(word: str, path: Path) -> str:
    """The page of a run whose every word is this one."""
    summary = {"task": word, "algorithm": word, "seeds": [word], "command": word, "config": {word: {word: [word]}},
               "versions": {word: word}}  # fmt: skip
    write_report(
        path, title=word, summary=summary, figures={}, table_rows=[{word: word}], headline=word,
        details={word: {word: word}, "loose": word}, animations=[Animation(word, b"GIF89a", word)],
    )  # fmt: skip
    return path.read_text(encoding="utf-8")


def test_the_page_escapes_words_wherever_they_stand(tmp_path: Path) -> None:
    elements = len(re.findall("<[a-z/!]", page_of("word", tmp_path / "page.html")))
    for word in HOSTILE:
        page = page_of(word, tmp_path / "page.html")
        assert not STEERING.search(page)
        assert "<b>&" not in page
        assert word == "" or len(re.findall("<[a-z/!]", page)) == elements, word


# --- nothing goes past them ---

PRINTERS = {"cli/terminal.py"}
DRAWN = {"set_title": 0, "set_xlabel": 0, "set_ylabel": 0, "supxlabel": 0, "supylabel": 0, "suptitle": 0, "text": 2,
         "annotate": 0, "set_label": 0, "set_xticks": 1, "set_yticks": 1, "set_xticklabels": 0, "set_yticklabels": 0,
         "legend": 1}  # fmt: skip
"""Methods of matplotlib and the place of the words among their arguments."""
OUR_WORDS = {
    "label",  # of a tuple of our own words, or cleaned one line before
    "labels",  # of artists, whose labels were cleaned
    "f'{pose}, IoU {item.iou:.3f}'",
    "f'{pose}{_scores(item)}'",
    "_count(name, groups[name], most) if groups[name] else 'Fixed starts'",
    "f'mean {RETURN_LABEL}'",
}
"""Expressions in figures that hold numbers and our own words alone."""


def _is_clean(words: ast.expr) -> bool:
    """Whether what is drawn is written here, a number with its format, or `plain_for_plot`."""
    if isinstance(words, ast.JoinedStr):
        parts = [part for part in words.values if isinstance(part, ast.FormattedValue)]
        return all(part.format_spec is not None or _is_clean(part.value) for part in parts)
    if isinstance(words, ast.IfExp):
        return _is_clean(words.body) and _is_clean(words.orelse)
    if isinstance(words, ast.ListComp):
        return _is_clean(words.elt)
    called = isinstance(words, ast.Call) and ast.unparse(words.func) == "plain_for_plot"
    return isinstance(words, ast.Constant) or called


def unclean_drawing(tree: ast.AST) -> list[str]:
    """Words that reach matplotlib as they are."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        words = [keyword.value for keyword in node.keywords if keyword.arg in ("label", "labels")]
        if isinstance(node.func, ast.Attribute) and len(node.args) > (place := DRAWN.get(node.func.attr, 99)):
            words.append(node.args[place])
        found += [text for word in words if not _is_clean(word) and (text := ast.unparse(word)) not in OUR_WORDS]
    return found


def unclean_printing(tree: ast.AST) -> list[str]:
    """Ways to a terminal that go past `cli.terminal`."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in ("print", "input", "pprint"):
            found.append(node.id)
        if isinstance(node, ast.Call) and re.search(
            r"(^|\.)(Console|from_markup|render_markup|(stdout|stderr)\.(write|buffer\.write))$", ast.unparse(node.func)
        ):
            found.append(ast.unparse(node.func))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("TextColumn", "self._console.print"):
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if given.get("markup") != "False":
                found.append("markup")
        if isinstance(node, ast.ImportFrom) and node.module == "rich":
            found += [f"rich.{alias.name}" for alias in node.names]
    return found


def test_figures_hold_no_word_as_it_is() -> None:
    found = {name.removeprefix("report/"): unclean_drawing(tree) for name, tree in of_source("report")}
    assert len(found) > 10
    assert {name: words for name, words in found.items() if words} == {}


def test_nothing_prints_past_the_terminal_module() -> None:
    found = {name: unclean_printing(tree) for name, tree in of_source()}
    assert "print" in found.pop("cli/terminal.py")
    # The progress line has a console of its own on stderr, and gives it cleaned words without markup.
    assert found.pop("cli/progress.py") == ["Console"]
    assert {name: ways for name, ways in found.items() if ways} == {}


def test_the_scans_find_what_they_are_for() -> None:
    drawing = "axes.set_title(name)\naxes.plot(x, label=f'{name} ({n:d})')\naxes.text(0, 1, f'{n:g}')"
    assert unclean_drawing(ast.parse(drawing)) == ["name", "f'{name} ({n:d})'"]
    assert unclean_drawing(ast.parse("axes.set_title(plain_for_plot(name))\nfigure.legend(handles=[name])")) == []
    source = "print(x)\nsys.stderr.write(x)\nrich.console.Console()\nTextColumn('x')\nText.from_markup(x)"
    assert unclean_printing(ast.parse(source)) == [
        "sys.stderr.write",
        "rich.console.Console",
        "markup",
        "Text.from_markup",
        "print",
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/work/datasets/BallRun.hdf5", "BallRun.hdf5"),
        ("/Users/Jane Doe/data.hdf5", "data.hdf5"),
        ("C:\\Users\\jane\\data.hdf5", "data.hdf5"),
        ("\\\\server\\share\\data.hdf5", "data.hdf5"),
        ("/data", "data"),
        ("/runs/ball/", "ball"),
        ("surefoot train --data /home/jane/d.hdf5 --out=/tmp/runs/a", "surefoot train --data d.hdf5 --out=a"),
        ("surefoot train --data '/home/jane doe/d.hdf5' --seeds 0:3", "surefoot train --data 'd.hdf5' --seeds 0:3"),
        ("(/a/b, /c/d): x", "(b, d): x"),
        ("/a/b.npz: expected rows", "b.npz: expected rows"),
        ("25 m/s, 1/2, and/or, runs/a, ./b, ../c, ~/d", "25 m/s, 1/2, and/or, runs/a, ./b, ../c, ~/d"),
        ("https://example.com/a/b critic/loss a / b", "https://example.com/a/b critic/loss a / b"),
        ("\\x1b[31m", "\\x1b[31m"),
        ("<b>x</b> </i>", "<b>x</b> </i>"),
        ("", ""),
    ],
)
def test_paths_are_shown_by_their_last_names(text: str, shown: str) -> None:
    assert without_folders(text) == shown
    assert without_folders({text: [text, (1, None, {"a": text})]}) == {shown: [shown, [1, None, {"a": shown}]]}
