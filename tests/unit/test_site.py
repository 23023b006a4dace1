"""The documentation's site: no warning, every page in its navigation, a text for every public name."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import griffe
import pytest
import yaml

TOP = Path(__file__).parents[2]
DOCS = TOP / "docs"
SETTINGS = (TOP / "mkdocs.yml").read_text(encoding="utf-8")
ENTRY = re.compile(r"^<!-- api ([\w.]+) -->$", re.MULTILINE)


def pages_of(entry: Any) -> list[str]:
    """The pages below an entry of the navigation."""
    if isinstance(entry, str):
        return [entry]
    entries = entry.values() if isinstance(entry, dict) else entry
    return [page for one in entries for page in pages_of(one)]


def test_pages_stand_in_the_navigation_once() -> None:
    """A page that is not named yet is put behind the others as the site is built."""
    navigation = pages_of(yaml.safe_load(SETTINGS[SETTINGS.index("\nnav:\n") :])["nav"])
    assert len(navigation) == len(set(navigation)) > 20
    assert all((DOCS / page).is_file() for page in navigation)


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=TOP, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    start = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "https://" not in re.sub(r'<a [^>]*href="https://[^>]*>', "", start)  # nothing is asked of other hosts
    method = (tmp_path / "site" / "methods" / "fisor.html").read_text(encoding="utf-8")
    assert method.count("<math ") == 6  # equations are drawn by the browser
    assert "Traceback" not in method
    assert "feasible_value" in (tmp_path / "site" / "api" / "training.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def package() -> griffe.Object:
    found = griffe.load("surefoot", search_paths=[str(TOP / "src")], resolve_aliases=True)
    assert isinstance(found, griffe.Object)
    return found


def public(module: griffe.Object) -> dict[str, griffe.Object]:
    """Names of a module that the reference lists: those of `__all__`, or what it defines."""
    own = [name for name, one in module.members.items() if not one.is_alias and not one.is_module]
    names = [str(name) for name in module.exports or own]
    found = {name: module.members[name] for name in names if not name.startswith("_")}
    found = {name: one.members[name] if one.is_module else one for name, one in found.items()}  # as `training.fit`
    return {name: one.final_target if isinstance(one, griffe.Alias) else one for name, one in found.items()}


def without_text(module: griffe.Object) -> list[str]:
    """Names, and methods of classes, that have no docstring."""
    missing = []
    for name, one in public(module).items():
        members = {f"{name}.{key}": member for key, member in one.members.items() if member.is_function}
        members = {key: member for key, member in members.items() if not key.split(".")[1].startswith("_")}
        both = {name: one, **(members if one.is_class else {})}
        missing += [f"{module.path}.{key}" for key, member in both.items() if not member.has_docstring]
    return missing


def test_every_public_name_of_the_reference_has_a_docstring(package: griffe.Object) -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.md"))
    modules = ENTRY.findall(text)
    listed = [package if name == "surefoot" else package[name.removeprefix("surefoot.")] for name in modules]
    assert sum(len(public(module)) for module in listed) > 100
    assert [name for module in listed for name in without_text(module)] == []
    # What the package itself, and each of its folders with an `__all__`, offers to users is on a page.
    assert {"surefoot", "surefoot.tasks", "surefoot.data", "surefoot.training", "surefoot.protocols"} <= set(modules)


def test_a_name_without_a_docstring_is_found(tmp_path: Path) -> None:
    (tmp_path / "poor.py").write_text('class Known:\n    """Text."""\n    def act(self): ...\n\ndef unknown(): ...\n')
    found = griffe.load("poor", search_paths=[str(tmp_path)])
    assert isinstance(found, griffe.Object)
    assert without_text(found) == ["poor.Known.act", "poor.unknown"]


@pytest.mark.parametrize(
    "term",
    ["h(s)", "V_h(s)", "Q_h(s, a)", "V_r, Q_r", "V_c, Q_c", "kappa", "gamma", "tau", "alpha_1, alpha_2", "b", "m",
     "p(s)", "lambda", "Expectile", "IoU", "strict", "dsrl", "Margin", "Candidate", "Feasible region", "Held out",
     "Verdict", "Violation", "FQE", "Normalized return, normalized cost", "Session", "Preset"],
)  # fmt: skip
def test_the_glossary_has_the_symbols_and_words_that_pages_use(term: str) -> None:
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    assert re.search(rf"^(\| {re.escape(term)} \||\*\*{re.escape(term)}\.?\*\*)", text, re.MULTILINE)
