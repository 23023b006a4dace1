"""Docstrings of public functions say what goes in and what comes out: `Args:` and `Returns:` with shapes and units."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.sources import SOURCE, TOP, of_source
from tests.unit.test_house_rules import only_falls

API = re.compile(r"^<!-- api ([\w.]+) -->$", re.MULTILINE)
Function = ast.FunctionDef | ast.AsyncFunctionDef

LACKING: dict[str, int] = {
    "algorithms": 51, "cli": 27, "collection": 3, "data": 24, "envs": 3, "evaluation": 1, "experiments": 9,
    "faults.py": 1, "file_sets.py": 1, "files.py": 2, "json_files.py": 5, "kernels": 1, "nn": 14,
    "ranges.py": 3, "result_files.py": 1, "system.py": 2, "tasks": 5, "training": 10,
}  # fmt: skip
"""Folder or file of src/surefoot -> public functions of two arguments or more that lack sections: only falls. What is
not named here is finished."""


@cache
def of_protocols() -> frozenset[str]:
    """Methods that `surefoot.protocols` documents once for every algorithm that has them."""
    classes = [node for _, tree in of_source("protocols") for node in tree.body if isinstance(node, ast.ClassDef)]
    return frozenset(method.name for one in classes for method in one.body if isinstance(method, Function))


def functions(body: list[ast.stmt], of: str = "") -> Iterator[tuple[str, Function]]:
    """Public functions of a module, tests left out, and public methods of its public classes, `__call__` among them."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from functions(node.body, f"{node.name}.")
        elif isinstance(node, Function) and (node.name == "__call__" or not node.name.startswith(("_", "test_"))):
            yield of + node.name, node


def documented_here(file: str, tree: ast.Module) -> Iterator[tuple[str, Function]]:
    """The functions of a file of the source whose docstrings stand there."""
    found = functions(tree.body)
    if not file.startswith("algorithms/"):
        return found
    return ((place, node) for place, node in found if "." not in place or node.name not in of_protocols())


def arguments(node: Function) -> list[str]:
    """Names of the arguments that a caller gives."""
    given = node.args
    every = [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]
    return [one.arg for one in every if one is not None and one.arg not in ("self", "cls")]


def faults(node: Function) -> list[str]:
    """What a function's docstring lacks, or names that are no arguments. A stub for a type checker needs none."""
    text, names = ast.get_docstring(node) or "", arguments(node)
    section = re.search(r"^Args:\n((?:    .*\n?|\n)*)", text, re.MULTILINE)
    entries = re.findall(r"^    \*{0,2}(\w+)(?: \(.*\))?:", section[1], re.MULTILINE) if section else []
    found = [f"no argument {name}" for name in entries if name not in names]
    if len(names) < 2 or any("overload" in ast.unparse(one) for one in node.decorator_list):
        return found
    gives = node.returns is None or ast.unparse(node.returns) not in ("None", "NoReturn")
    if section is None:
        found.append("no Args")
    if gives and re.search(r"^(Returns|Yields):$", text, re.MULTILINE) is None:
        found.append("no Returns")
    return found


def lacking() -> dict[str, int]:
    """Folder or file of the source -> functions with faults."""
    return Counter(
        Path(file).parts[0] for file, tree in of_source() for _, node in documented_here(file, tree) if faults(node)
    )


def place_of(module: str) -> Path:
    folder = TOP / "src" / Path(*module.split("."))
    return folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")


def public_names(module: str) -> list[str]:
    """Names of `__all__`, or public functions and classes of a module without one, as docs/site/hooks.py has them."""
    body = ast.parse(place_of(module).read_text(encoding="utf-8")).body
    for node in body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return [node.name for node in body if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_")]


def defined(module: str, name: str) -> list[tuple[str, Function]]:
    """The functions of a name that a module defines, or imports from another of ours: one, or a class's methods."""
    path = place_of(module)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    here = documented_here(path.relative_to(SOURCE).as_posix(), tree)
    found = [(place, node) for place, node in here if place.split(".")[0] == name]
    if found:
        return found
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("surefoot"):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return defined(node.module, alias.name)
    return []


def of_reference() -> dict[str, list[str]]:
    """Module of the API reference -> faults of its public functions."""
    pages = [page.read_text(encoding="utf-8") for page in sorted((TOP / "docs/api").glob("*.md"))]
    modules = [module for page in pages for module in API.findall(page)]
    return {
        module: [
            f"{place}: {fault}"
            for name in public_names(module)
            for place, node in defined(module, name)
            for fault in faults(node)
        ]
        for module in modules
    }


def test_public_functions_have_args_and_returns() -> None:
    assert only_falls(lacking(), LACKING) == []
    assert all((SOURCE / name).exists() for name in LACKING)


def test_the_api_reference_has_args_and_returns() -> None:
    found = of_reference()
    assert {module: faults for module, faults in found.items() if faults} == {}
    assert len(found) > 25


def test_faults_of_a_docstring() -> None:
    def of(text: str) -> list[str]:
        return faults(next(node for _, node in functions(ast.parse(text).body)))

    head = 'def f(x: int, y: int) -> int:\n    """Sum.\n'
    args = "\n    Args:\n        x: First number,\n            in all.\n        y: Second.\n"
    assert of(f'{head}    """') == ["no Args", "no Returns"]
    assert of(f'{head}{args}    """') == ["no Returns"]
    assert of(f'{head}{args}\n    Returns:\n        Sum.\n    """') == []
    assert of('def f(x: int) -> int:\n    """Double of x."""') == []
    assert of('def f(x: int) -> int:\n    """Double.\n\n    Args:\n        z: Number.\n    """') == ["no argument z"]
    assert of('class A:\n    def write(self, x: int, y: int) -> None:\n        """Write."""') == ["no Args"]


if __name__ == "__main__":
    print(dict(sorted(lacking().items())), {module: faults for module, faults in of_reference().items() if faults})
