"""Rules of the house that a machine can check: what may import the command line, words, names, sizes, repetitions.

Each allowance is what was left of earlier code when it was written down: it is lowered as the code gets better, and
never raised. `python tests/unit/test_house_rules.py` prints what stands there now.
"""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tests.sources import SOURCE, TOP, of_source, trees


def only_falls(found: Mapping[str, int], allowed: Mapping[str, int]) -> list[str]:
    """Sentences on figures above their allowances."""
    above = {name: count for name, count in sorted(found.items()) if count > allowed.get(name, 0)}
    return [f"{name}: expected at most {allowed.get(name, 0)}, found {count}" for name, count in above.items()]


# --- imports of the command line ---

COMMAND_LINE_TESTS = re.compile(r"e2e/|compatibility/|unit/test_(cli_|printed_|benchmark_command|interrupts|platforms)")
"""Tests of commands."""
IMPORT_CLI: dict[str, int] = {
    "benchmarks/_fuzz_subjects.py": 1, "tests/unit/test_data_travel.py": 1, "tests/unit/test_evaluation_files.py": 1,
    "tests/unit/test_import_weights.py": 1,
    "tests/unit/test_json_mutations.py": 1, "tests/unit/test_own_task.py": 1,
    "tests/unit/test_ranges.py": 11, "tests/unit/test_task_infer.py": 1, "tests/unit/test_unread.py": 3,
    "tests/unit/test_without_rewards.py": 1,
}  # fmt: skip
"""File -> imports of surefoot.cli elsewhere."""


def imports_of_cli(tree: ast.Module) -> int:
    found = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += any(f"{name}.".startswith("surefoot.cli.") for name in names)
        elif isinstance(node, ast.Import):
            found += sum(f"{alias.name}.".startswith("surefoot.cli.") for alias in node.names)
    return found


def imports_elsewhere() -> dict[str, int]:
    return {
        name: count
        for path, tree in trees().items()
        if not path.is_relative_to(SOURCE) and (count := imports_of_cli(tree))
        and not COMMAND_LINE_TESTS.match(str(path.relative_to(TOP)).removeprefix("tests/"))
        for name in [str(path.relative_to(TOP))]
    }  # fmt: skip


def test_benchmarks_and_tests_use_the_library() -> None:
    assert only_falls(imports_elsewhere(), IMPORT_CLI) == []
    text = "from surefoot import cli\nimport surefoot.cli.main\nfrom surefoot.cli import x"
    assert imports_of_cli(ast.parse(text)) == 3


# --- words ---

FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
FLAGS_BELOW_CLI: dict[str, int] = {
    "collection/store.py": 1, "data/allowance.py": 1, "data/hdf5.py": 1, "data/mapping.py": 1, "data/own_tasks.py": 2,
    "safety/calibration.py": 2, "safety/margins.py": 1,
}  # fmt: skip
"""Texts that name a flag. Errors name the option (errors.option), which the command line words as its flag."""
OF_OTHERS = (
    "envs/simulators/install.py", "jax_start.py", "report/page.py", "testing/plugin.py", "testing/test_algorithm.py",
)  # fmt: skip
"""pip's flags, XLA's, a style sheet's variables, and pytest's."""


def texts(tree: ast.Module) -> Iterator[str]:
    """Strings that are no docstrings."""
    documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
            yield node.value


def flags_below() -> dict[str, int]:
    found = {name: sum(bool(FLAG.search(text)) for text in texts(tree)) for name, tree in of_source(without="cli")}
    return {name: count for name, count in found.items() if count and name not in OF_OTHERS}


def test_no_flag_is_named_below_the_command_line() -> None:
    assert only_falls(flags_below(), FLAGS_BELOW_CLI) == []


OWN_WORDS: dict[str, int] = {
    "asked": 18, "bill": 0, "brought": 0, "dream": 2, "dreams": 0, "lane": 24, "lanes": 36, "look": 11, "looks": 9,
    "mend": 0, "plain": 27, "released": 1, "seeker": 0, "seekers": 0, "sight": 2, "situation": 0, "suspicion": 0,
    "suspicions": 0, "thin": 0, "thinning": 0, "told": 8, "watched": 12, "whole": 47, "wire": 0,
}  # fmt: skip
"""Words of our own that go: parts of names in the source. DESIGN.md's glossary: lanes -> envs, dreams -> imagined
rollouts, sight -> camera compatibility, seekers -> scripted policies, wire -> ipc, situation -> privileged state,
suspicions -> diagnostics, bill -> cumulative cost, looks and plain -> exploratory and no_margin, mend -> patch, whole
-> fused, released -> reference_code, thinning -> density filter, told, asked, brought, watched -> what they hold."""
BRITISH: dict[str, int] = {"labelle": 11, "normalis": 12}
"""Spellings; those of American English are used in names."""
NEVER = (
    "behaviour", "centre", "colour", "discretis", "initialis", "neighbour", "optimis", "organis", "parametris",
    "randomis", "recognis", "serialis",
    "standardis", "summaris",
)  # fmt: skip


def names_of(file: str, tree: ast.Module) -> Iterator[str]:
    """Names that a file gives: its own, classes, functions, arguments, variables, attributes."""
    yield from Path(file).with_suffix("").parts
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def words_of(name: str) -> Iterable[str]:
    return (word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name))


def own_words() -> dict[str, int]:
    found = Counter(word for file, tree in of_source() for name in names_of(file, tree) for word in words_of(name))
    return {word: found[word] for word in OWN_WORDS}


def british() -> dict[str, int]:
    names = [name.lower() for file, tree in of_source() for name in names_of(file, tree)]
    return {word: sum(word in name for name in names) for word in (*BRITISH, *NEVER)}


def test_words_of_our_own_go() -> None:
    assert only_falls(own_words(), OWN_WORDS) == []
    assert list(words_of("ThinGrid_of_HDF5s")) == ["thin", "grid", "of", "hdf", "s"]


def test_names_are_spelled_in_american_english() -> None:
    assert only_falls(british(), BRITISH) == []


def test_no_source_cites_what_a_reader_cannot_open() -> None:
    pages = [*SOURCE.rglob("*.py"), *(TOP / "benchmarks").glob("*.py"), *(TOP / "docs").rglob("*.md")]
    pages.append(TOP / "README.md")
    private = re.compile(r"\b(our|its|their|the) specification\b|shared/specs|\bissue \d", re.IGNORECASE)
    assert [str(path.relative_to(TOP)) for path in pages if private.search(path.read_text(encoding="utf-8"))] == []


SHARED_NAMES: dict[str, int] = {
    "Actor": 2, "Batch": 3, "CheckOptions": 2, "Checked": 2, "Convolution": 2, "EpisodeBatch": 3, "Episodes": 2,
    "Form": 2,
    "Grid": 2, "Imagined": 2, "Imported": 2, "Known": 2, "LayerNorm": 2, "Layout": 3, "Memory": 2,
    "Normalizer": 2, "Opened": 2, "Plan": 3, "Progress": 2, "Rollout": 2, "Rows": 2, "Scales": 2, "Schedule": 2,
    "Spread": 2, "Step": 5, "Steps": 3, "Store": 2, "Temper": 3, "View": 2,
}  # fmt: skip
"""Public class names that several files give."""


def shared_names() -> dict[str, int]:
    places = defaultdict(list)
    for file, tree in of_source():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(file)
    return {name: len(files) for name, files in places.items() if len(files) > 1}


def test_class_names_are_unique() -> None:
    assert only_falls(shared_names(), SHARED_NAMES) == []


# --- sizes and repetitions ---

MOST_LINES = 350
LONG_FILES: dict[str, int] = {
    "benchmarks/_fuzz_mutations.py": 411,
    "tests/unit/test_benchmark_store.py": 408, "tests/unit/test_collection.py": 453,
    "tests/unit/test_data_download.py": 355, "tests/unit/test_ranges.py": 444,
    "tests/unit/test_storage.py": 567, "tests/unit/test_training_fit.py": 460,
}  # fmt: skip
"""Files above the limit, and their lines."""


def long_files() -> dict[str, int]:
    lines = {str(path.relative_to(TOP)): len(path.read_text(encoding="utf-8").splitlines()) for path in trees()}
    return {name: count for name, count in lines.items() if count > MOST_LINES}


def test_files_fit_in_the_head() -> None:
    assert only_falls(long_files(), LONG_FILES) == []


SAME_LINES = 9
"""Statements that two places may share at most, less one."""


def code_lines(path: Path, tree: ast.Module) -> list[tuple[int, str]]:
    """Numbered lines without imports, docstrings, comments and empty ones."""
    left_out: set[int] = set()
    for node in ast.walk(tree):
        documents = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, ast.stmt) and (documents or isinstance(node, ast.Import | ast.ImportFrom)):
            left_out |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    numbered = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    lines = [(number, line.strip()) for number, line in numbered if number not in left_out]
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


def repeated(files: Mapping[str, list[tuple[int, str]]], count: int) -> set[str]:
    """Places where `count` lines of code begin that stand elsewhere, too."""
    seen: dict[tuple[str, ...], str] = {}
    found = set()
    for name, lines in files.items():
        for place in range(len(lines) - count + 1):
            window = tuple(line for _, line in lines[place : place + count])
            here = f"{name}:{lines[place][0]}"
            if (first := seen.setdefault(window, here)) != here:
                found.add(f"{first} and {here}")
    return found


def test_no_two_places_share_code() -> None:
    files = {str(path.relative_to(TOP)): code_lines(path, tree) for path, tree in trees().items()}
    assert repeated(files, SAME_LINES) == set()
    twice = [(number, f"x = {number % 9}") for number in range(1, 19)]
    assert repeated({"a.py": twice}, 9) == {"a.py:1 and a.py:10"}
    assert repeated({"a.py": twice}, 10) == set()


if __name__ == "__main__":
    for figures in (imports_elsewhere, flags_below, own_words, british, shared_names, long_files):
        print(figures.__name__, figures())
