"""Files of results that others read: no absolute paths, rows as compressed JSON lines, a manifest of SHA-256.

Every absolute path is cut down to its last name here, as the files are written.
"""

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from surefoot.file_sets import Mark, fault_of, mark, write_together
from surefoot.files import json_content, json_rows
from surefoot.text import without_folders

MANIFEST, ROWS = "manifest.json", "rows.jsonl.gz"


def write_results(folder: Path, contents: Mapping[str, Any]) -> None:
    """Write files into a folder of results, together with a manifest of all its files.

    Args:
        folder: Made if missing. Other files in it stay and are listed, too; folders in it are not.
        contents: File name -> content: a JSON value for `.json`, rows for `.jsonl.gz`, text, or bytes as they are.
    """
    written = {name: content_of(name, value) for name, value in contents.items()}
    kept = folder.iterdir() if folder.exists() else ()
    marks = {path.name: mark(path.read_bytes()) for path in kept if path.is_file() and path.suffix != ".tmp"}
    marks |= {name: mark(content) for name, content in written.items()}
    marks.pop(MANIFEST, None)
    listed = json_content({name: asdict(marks[name]) for name in sorted(marks)})
    write_together({**{folder / name: content for name, content in written.items()}, folder / MANIFEST: listed})


def content_of(name: str, value: Any) -> bytes:
    """The bytes of a file of results, by the suffix of its name."""
    if isinstance(value, bytes):
        return value
    public = without_folders(value)
    if name.endswith(".json"):
        return record_lines(public).encode()
    if name.endswith(".jsonl.gz"):
        return compressed(json_rows(public))
    return str(public).encode()


def record_lines(value: Any) -> str:
    """JSON with one line for each record: a third to a half of the size of indented JSON, and still read by line.

    Args:
        value: A JSON value. Entries of a mapping, and of a list or a mapping in it, each take a line.

    Raises:
        ValueError: A number is NaN or infinite.
    """

    def text(value: Any, levels: int, margin: str) -> str:
        if not levels or not value or not isinstance(value, dict | list):
            return json.dumps(value, allow_nan=False)
        named = [f"{json.dumps(key)}: " for key in value] if isinstance(value, dict) else [""] * len(value)
        parts = value.values() if isinstance(value, dict) else value
        lines = (
            f"{margin} {name}{text(part, levels - 1, margin + ' ')}" for name, part in zip(named, parts, strict=True)
        )
        opened, closed = "{}" if isinstance(value, dict) else "[]"
        return f"{opened}\n" + ",\n".join(lines) + f"\n{margin}{closed}"

    return text(value, 2, "") + "\n"


def compressed(content: bytes) -> bytes:
    """Content in gzip's format: the same bytes for the same content."""
    return gzip.compress(content, mtime=0)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a file of JSON lines, compressed or not."""
    content = path.read_bytes()
    text = gzip.decompress(content) if path.suffix == ".gz" else content
    return [json.loads(line) for line in text.decode().splitlines()]


def manifest_faults(folder: Path) -> Iterable[str]:
    """Sentences on files of a folder of results that its manifest lacks, or whose content differs from it."""
    path = folder / MANIFEST
    listed = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    there = {file.name for file in folder.iterdir() if file.is_file()} - {MANIFEST}
    yield from (f"{folder / name}: expected a file of the manifest, found none." for name in listed.keys() - there)
    for name in sorted(there):
        fault = "expected an entry in the manifest, found none"
        if name in listed:
            fault = fault_of((folder / name).read_bytes(), Mark(**listed[name]))
        if fault:
            yield f"{folder / name}: {fault}."
