"""What the house promises of its imports and of its files, beside import-linter's contracts."""

import ast
import functools
import pkgutil
import re
import subprocess
import sys

import pytest
from tests.sources import SOURCE, TOP, of_source

FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch"}


def loaded_after(statement: str) -> set[str]:
    """The top-level modules in a fresh Python after `statement`."""
    code = f"{statement}\nimport sys\nprint(' '.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_importing_surefoot_does_not_import_jax() -> None:
    modules = loaded_after("import surefoot")
    assert "surefoot" in modules
    assert not modules & {"jax", "jaxlib", "equinox", "optax", "tyro", "rich", "matplotlib", "torch"}


def test_the_core_needs_no_command_line_no_torch_and_no_simulator() -> None:
    names = "training rollouts.scan evaluation.collect collection.collector collection.card presets safety.exact "
    names += "algorithms envs.point_robot data"
    modules = loaded_after("".join(f"import surefoot.{name}\n" for name in names.split()))
    assert {"jax", "equinox"} <= modules
    assert not modules & {"tyro", "rich", "torch", "mujoco", "pybullet", "metadrive", "safety_gymnasium", "wandb"}


def _is_false(keyword: ast.keyword) -> bool:
    return isinstance(keyword.value, ast.Constant) and keyword.value.value is False


def faults(tree: ast.AST) -> list[str]:
    """Pickling, evaluating of text and loading of pickled arrays or objects."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in FORBIDDEN_MODULES:
            found.append(node.module)
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec", "globals"):
                found.append(f"{node.func.id}()")
            found += [
                keyword.arg for keyword in node.keywords if keyword.arg == "allow_pickle" and not _is_false(keyword)
            ]
            if ast.unparse(node.func) == "torch.load" and "weights_only=True" not in map(ast.unparse, node.keywords):
                found.append("torch.load")
    return found


READS_PYTORCH = "experiments/import_weights.py"
"""Alone imports torch, when Diffuser's files are read."""


def test_no_file_unpickles_or_evaluates() -> None:
    found = {name: faults(tree) for name, tree in of_source()}
    assert {name: one for name, one in found.items() if one} == {READS_PYTORCH: ["torch"]}
    assert len(found) > 30


def test_the_scan_finds_what_it_is_for() -> None:
    assert faults(ast.parse("import pickle\nfrom pickle import loads\neval('1')\nnp.load(f, allow_pickle=True)")) == [
        "pickle",
        "pickle",
        "eval()",
        "allow_pickle",
    ]
    assert faults(ast.parse("torch.load(f)\ntorch.load(f, weights_only=False)")) == ["torch.load", "torch.load"]
    assert faults(ast.parse("torch.load(f, map_location='cpu', weights_only=True)")) == []
    assert faults(ast.parse("import json\nevaluate()\nnp.load(f)\nnp.load(f, allow_pickle=False)")) == []


ABILITIES = ("algorithm", "hyper", "planner")
"""What an algorithm is called where it is asked for its abilities."""


def unnamed_abilities(tree: ast.AST) -> list[str]:
    """`getattr` and `hasattr` with a literal name on algorithms, and arguments `algorithm: Any`."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
            asked = ast.unparse(node.args[0]).split(".")[-1]
            found += [ast.unparse(node)] if asked in ABILITIES and isinstance(node.args[1], ast.Constant) else []
        elif isinstance(node, ast.arg) and node.arg in ABILITIES and node.annotation is not None:
            found += [ast.unparse(node)] if ast.unparse(node.annotation) == "Any" else []
    return found


def test_abilities_of_algorithms_are_asked_for_by_their_protocols() -> None:
    """See surefoot.protocols."""
    assert {name: one for name, tree in of_source() if (one := unnamed_abilities(tree))} == {}


def test_unnamed_abilities_are_found() -> None:
    source = "def f(algorithm: Any, other: Any): return getattr(loaded.algorithm, 'x', 1), hasattr(options.hyper, 'y')"
    assert unnamed_abilities(ast.parse(source)) == [
        "algorithm: Any",
        "getattr(loaded.algorithm, 'x', 1)",
        "hasattr(options.hyper, 'y')",
    ]
    assert unnamed_abilities(ast.parse("def f(algorithm: Algorithm): return getattr(os, 'x')")) == []


INDEX = re.compile(r"^- .+?: `([\w.]+)`", re.MULTILINE)
"""A line of an agent's index: "- equation 9: `step_constraint`, ..."."""


@pytest.mark.parametrize(
    "name",
    [
        "bc", "bc_multi_task", "bcq_lag", "bcrl", "bear_lag", "cdt", "coptidice", "cpq", "fisor", "fosp", "safedreamer",
        "trebi",
    ],
)  # fmt: skip
def test_an_agent_begins_with_an_index_of_its_equations_that_resolves(name: str) -> None:
    from surefoot.algorithms import ALGORITHMS

    module = sys.modules[ALGORITHMS[name].__module__]
    names = INDEX.findall(module.__doc__ or "")
    assert names
    for one in names:
        assert callable(functools.reduce(getattr, one.split("."), module)), one


FOLDERS = "algorithms|cli|data|envs|evaluation|presets|ranges|rollouts|tasks|training|values"
DOCUMENTED = re.compile(rf"`((?:{FOLDERS})\.[\w.]+)`")
"""A call of a walk in docs/architecture.md."""


def test_walks_of_the_documentation_are_calls_that_there_are() -> None:
    page = (TOP / "docs" / "architecture.md").read_text(encoding="utf-8")
    walks = page.partition("## Walks")[2].partition("## An algorithm")[0]
    names = DOCUMENTED.findall(walks)
    assert len(names) > 12
    for name in names:
        assert pkgutil.resolve_name(f"surefoot.{name}") is not None


def test_files_of_an_update_are_at_most_four() -> None:
    page = (TOP / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+`\w+`[^|]*) \| ([\w/., ]+\.py) \|$", page, re.MULTILINE)
    assert len(rows) > 8
    for step, files in rows:
        assert len(files.split(", ")) <= 4, step
        assert all((SOURCE / file).is_file() for file in files.split(", ")), step
