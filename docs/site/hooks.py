"""What MkDocs does beyond its pages: files of the checkout that pages link to become files of the site, and equations
become MathML, which browsers draw without a script."""

import ast
import posixpath
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

LINK = re.compile(r"(?<=\]\()((?:\.\./)+[^)#\s]+)")
MATH = re.compile(r"^```math\n(.*?)^```$", re.DOTALL | re.MULTILINE)
API = re.compile(r"^<!-- api ([\w.]+) -->$", re.MULTILINE)
BESIDE = "checkout"
"""Where the site holds them."""


def outside(link: str, page: str) -> str | None:
    """Path below the checkout of what a page below docs/ links to outside docs/."""
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link))
    return None if path == "docs" or path.startswith(("docs/", "..")) else path


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put pages that the navigation does not name yet behind the others."""
    top, nav = Path(config.docs_dir), list(config.nav or [])
    named = set(pages_of(nav))
    if others := sorted({path.relative_to(top).as_posix() for path in top.rglob("*.md")} - named):
        config.nav = [*nav, {"More": others}]
    return config


def pages_of(entry: Any) -> list[str]:
    """The pages below an entry of the navigation."""
    if isinstance(entry, str):
        return [entry]
    return [page for one in (entry.values() if isinstance(entry, dict) else entry) for page in pages_of(one)]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that pages link to, and a list of each folder's."""
    top = Path(config.docs_dir).parent
    pages = [file for file in files.documentation_pages() if file.abs_src_path]
    links = {
        path
        for page in pages
        for link in LINK.findall(Path(str(page.abs_src_path)).read_text(encoding="utf-8"))
        if (path := outside(link, page.src_uri))
    }
    folders = sorted(path for path in links if (top / path).is_dir())
    inside = {str(one.relative_to(top)) for path in folders for one in (top / path).iterdir() if one.is_file()}
    for path in folders:
        content = _listing(path, top)
        files.append(File.generated(config, f"{BESIDE}/{path}/index.md", content=content))
    for path in sorted(links | inside):
        if (top / path).is_file():
            name = f"{path}.txt" if path.endswith(".md") else path  # as it is written, no page of the site
            files.append(File.generated(config, f"{BESIDE}/{name}", abs_src_path=str(top / path)))
    return files


def _listing(path: str, top: Path) -> str:
    """The page of a folder: its files."""
    names = sorted(one.name for one in (top / path).iterdir() if one.is_file())
    lines = [f"- [{name}]({name}.txt)" if name.endswith(".md") else f"- [{name}]({name})" for name in names]
    return f"# {path}\n\nFiles of the checkout's folder `{path}`.\n\n" + "\n".join(lines) + "\n"


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links out of docs/ to their copies, and blocks of equations into MathML."""
    top = Path(config.docs_dir).parent

    def turned(found: re.Match[str]) -> str:
        path = outside(found[1], page.file.src_uri)
        if path is None:
            return found[1]
        name = f"{path}/index.md" if (top / path).is_dir() else f"{path}.txt" if path.endswith(".md") else path
        return posixpath.relpath(f"{BESIDE}/{name}", posixpath.dirname(page.file.src_uri) or ".")

    markdown = API.sub(lambda found: reference(found[1], top), LINK.sub(turned, markdown))
    return MATH.sub(lambda found: equations(found[1]), markdown)


def reference(module: str, top: Path) -> str:
    """An entry of the API reference for each public name of a module."""
    folder = top / "src" / Path(*module.split("."))
    places = {
        name: f"{name}.{name}" if (folder / f"{name}.py").is_file() else name for name in public_names(module, top)
    }
    return "\n\n".join(f"::: {module}.{place}" for place in places.values())  # `training.fit` is a file, too


def public_names(module: str, top: Path) -> list[str]:
    """The names of `__all__`, or what a module without one defines, in its order."""
    place = top / "src" / Path(*module.split("."))
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    names: list[str] = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            name = target.id if isinstance(target, ast.Name) else "_"
            if name == "__all__" and node.value is not None:
                return [name for name in ast.literal_eval(node.value) if not name.startswith("_")]
            names.append(name)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
    return [name for name in names if not name.startswith("_")]


def equations(block: str) -> str:
    """Lines of LaTeX, each a displayed equation."""
    lines = [convert(line, display="block") for line in block.splitlines() if line.strip()]
    return '<div class="math">\n' + "\n".join(lines) + "\n</div>"
