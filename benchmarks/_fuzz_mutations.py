"""Mutations of a folder of files, each a function of a random generator; used by fuzz.py.

A mutation changes files in place and returns what it did, and what may follow. After every mutation a refusal is right,
and so is what the files gave before. Changed values are right where nothing could tell (`FREE`), or where the files
carry no checksums (`DAMAGE`); never where data are not there or not numbers (`STRICT`).
"""

import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Generator = np.random.Generator
FREE, DAMAGE, STRICT = "free", "damage", "strict"
HOSTILE_TEXT = "[/red]\x1b[31m$\\frac{x\x00\u202e"
VALUES: list[Any] = [
    None, True, -1, 0, 1e308, 10**30, -0.5, "", HOSTILE_TEXT, "nan", [], {}, [1, "a"], {"a": 1}, 2**63, [[]],
]  # fmt: skip
DEEP = 20_000
"""Levels of nested JSON."""
MANY_ROWS = 60_000_000


@dataclass(frozen=True)
class Mutation:
    """What was done to which file."""

    name: str
    file: str
    may: str
    """FREE, DAMAGE or STRICT."""


Mutate = Callable[[Path, Generator], Mutation]


def pick(rng: Generator, things: list[Any]) -> Any:
    """One of the things."""
    return things[int(rng.integers(len(things)))]


def files_of(folder: Path, *suffixes: str) -> list[Path]:
    """The files below a folder with one of these suffixes, in order; all without a suffix. Logs are left out."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and "tensorboard" not in path.parts]
    return [path for path in found if not suffixes or path.suffix in suffixes]


# --- bytes -----------------------------------------------------------------------------------------------------------


def flip_bit(content: bytearray, rng: Generator) -> bytes:
    at = int(rng.integers(len(content)))
    content[at] ^= 1 << int(rng.integers(8))
    return bytes(content)


def overwrite(content: bytearray, rng: Generator) -> bytes:
    at = rng.integers(len(content), size=int(rng.integers(1, 17)))
    for place in at.tolist():
        content[place] = int(rng.integers(256))
    return bytes(content)


def zero_run(content: bytearray, rng: Generator) -> bytes:
    start = int(rng.integers(len(content)))
    end = min(len(content), start + int(rng.integers(1, 4097)))
    content[start:end] = bytes(end - start)
    return bytes(content)


def truncate(content: bytearray, rng: Generator) -> bytes:
    return bytes(content[: int(rng.integers(len(content)))])


def insert(content: bytearray, rng: Generator) -> bytes:
    at = int(rng.integers(len(content) + 1))
    return bytes(content[:at]) + rng.bytes(int(rng.integers(1, 65))) + bytes(content[at:])


def swap_blocks(content: bytearray, rng: Generator) -> bytes:
    size = min(64, len(content) // 2)
    one, other = (int(place) for place in rng.integers(0, len(content) - size + 1, size=2))
    content[one : one + size], content[other : other + size] = (
        content[other : other + size],
        content[one : one + size],
    )
    return bytes(content)


BYTES = [flip_bit, overwrite, zero_run, truncate, insert, swap_blocks]


def change_bytes(folder: Path, rng: Generator) -> Mutation:
    """Damage the bytes of one file."""
    path = pick(rng, [path for path in files_of(folder) if path.stat().st_size])
    damage = pick(rng, BYTES)
    path.write_bytes(damage(bytearray(path.read_bytes()), rng))
    return Mutation(damage.__name__, str(path.relative_to(folder)), DAMAGE)


# --- whole files -----------------------------------------------------------------------------------------------------


def replace_file(folder: Path, rng: Generator) -> Mutation:
    """Take a file away, or put something else in its place."""
    path = pick(rng, files_of(folder))
    kind = pick(rng, ["gone", "folder", "dangling", "to itself", "empty", "text", "other file"])
    other = pick(rng, files_of(folder)).read_bytes()
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "dangling":
        path.symlink_to(folder / "nowhere")
    elif kind == "to itself":
        path.symlink_to(path.name)
    elif kind != "gone":
        path.write_bytes({"empty": b"", "text": HOSTILE_TEXT.encode(), "other file": other}[kind])
    return Mutation(kind, str(path.relative_to(folder)), DAMAGE)


# --- JSON ------------------------------------------------------------------------------------------------------------


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(found for key, part in inner for found in _places(part, (*place, key)))]


def _edit(value: Any, rng: Generator) -> tuple[str, Any]:
    """A JSON value with one place changed."""
    place = pick(rng, _places(value))
    kind = pick(rng, ["value", "delete", "add", "wrap", "rename", "shrink"])
    if not place:
        return f"{kind} whole", pick(rng, VALUES)
    owner = value
    for key in place[:-1]:
        owner = owner[key]
    key, old = place[-1], owner[place[-1]]
    if kind == "delete":
        del owner[key]
    elif kind == "rename" and isinstance(owner, dict):
        owner[f"{key}_"] = owner.pop(key)
    elif kind == "add":
        extra = pick(rng, VALUES)
        owner.update({"unheard of": extra}) if isinstance(owner, dict) else owner.append(extra)
    elif kind == "shrink" and isinstance(old, list | str):
        owner[key] = old[:-1]
    else:
        owner[key] = [old] if kind == "wrap" else pick(rng, VALUES)
    return f"{kind} at {'.'.join(str(part) for part in place)}", value


def edit_json_text(text: str, rng: Generator) -> tuple[str, bytes]:
    """JSON with one thing changed, or something that is not JSON any more."""
    if rng.random() < 0.2:
        kinds = {
            "deep": b"[" * DEEP + b"]" * DEEP,
            "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
            "NaN": text.replace("1", "NaN", 1).encode(),
            "UTF-16": text.encode("utf-16"),
            "mark": b"\xef\xbb\xbf" + text.encode(),
            "not UTF-8": text.encode() + b"\xff",
            "null": b"null",
            "twice": (text + text).encode(),
            "long number": text.replace("1", "1" * 5000, 1).encode(),
        }
        name = pick(rng, sorted(kinds))
        return name, kinds[name]
    kind, value = _edit(json.loads(text), rng)
    return kind, json.dumps(value).encode()


def change_json(folder: Path, rng: Generator) -> Mutation:
    """Change one file of JSON, or one line of a file of JSON lines."""
    path = pick(rng, files_of(folder, ".json", ".jsonl"))
    lines = path.read_bytes().split(b"\n") if path.suffix == ".jsonl" else [path.read_bytes()]
    row = pick(rng, [number for number, line in enumerate(lines) if line.strip()])
    kind, lines[row] = edit_json_text(lines[row].decode(), rng)
    path.write_bytes(b"\n".join(lines))
    return Mutation(f"json {kind}"[:120], str(path.relative_to(folder)), FREE)


def _opened(path: Path) -> Any:
    """An HDF5 file to change; h5py's types do not say what lies under a name."""
    return h5py.File(path, "r+")


def change_card(folder: Path, rng: Generator) -> Mutation:
    """Change the card in a file's attribute."""
    path = pick(rng, files_of(folder, ".hdf5"))
    with _opened(path) as file:
        names = [name for name in file.attrs if isinstance(file.attrs[name], str | bytes)]
        name = pick(rng, names) if names else "card"
        kind, content = edit_json_text(file.attrs[name] if name == "card" and names else "{}", rng)
        if len(content) > 60_000 or rng.random() < 0.1:
            file.attrs[name] = pick(
                rng, [7, 0.5, np.zeros(3), np.bytes_(b"\xff\xfe"), np.array([HOSTILE_TEXT[:8]], "S8")]
            )
        else:
            file.attrs[name] = content.decode("utf-8", "replace").replace("\x00", "")
    return Mutation(f"attribute {name} {kind}"[:120], str(path.relative_to(folder)), FREE)


# --- HDF5 ------------------------------------------------------------------------------------------------------------


def _arrays(file: Any) -> list[str]:
    names: list[str] = []
    file.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)
    return names


def _again(file: Any, name: str, values: Any, **options: Any) -> None:
    """The dataset written anew; its attributes stay behind, as with a tool that knows nothing of them."""
    del file[name]
    file.create_dataset(name, data=values, **options)


def _retype(file: Any, name: str, rng: Generator) -> str:
    dtype = pick(rng, ["S5", "c8", "V4", "i4,f4", "text", ">f8", "f2", "u8"])
    values = file[name][()]
    with np.errstate(all="ignore"):
        if dtype == "text":
            _again(file, name, np.full(values.shape, "0.5", h5py.string_dtype()))
        elif dtype in ("V4", "i4,f4"):
            _again(file, name, np.zeros(values.shape, dtype))
        else:
            _again(file, name, values.astype(dtype))
    return STRICT if dtype in ("S5", "c8", "V4", "i4,f4", "text") else FREE


def _inject(file: Any, name: str, rng: Generator) -> str:
    values = np.array(file[name][()], np.float64)
    bad = float(pick(rng, [np.nan, np.inf, -np.inf, 1e300, -1e300]))
    values.flat[int(rng.integers(values.size))] = bad
    _again(file, name, values)
    return STRICT


def _in_place(file: Any, name: str, rng: Generator) -> str:
    """One number changed by a tool that leaves the attributes as they are."""
    node: Any = file[name]
    values = node[()]
    flat = values.reshape(-1)
    at = int(rng.integers(flat.size))
    flat[at] = not flat[at] if values.dtype.kind == "b" else flat[at] + 1
    node[...] = values
    return DAMAGE


def _reshape(file: Any, name: str, rng: Generator) -> str:
    old = file[name][()]
    shapes = [old.T, old[None], old.reshape(-1), np.float32(1.0), old[:0], old[1:], old[:-1], np.stack([old, old], -1)]
    chosen = pick(rng, shapes)
    _again(file, name, chosen)
    return FREE


def _virtual(file: Any, name: str, rng: Generator) -> str:
    node: Any = file[name]
    layout = h5py.VirtualLayout(node.shape, node.dtype)
    layout[...] = h5py.VirtualSource("gone.hdf5", "gone", node.shape)
    del file[name]
    file.create_virtual_dataset(name, layout, fillvalue=0)
    return STRICT


def _external(file: Any, name: str, rng: Generator) -> str:
    node: Any = file[name]
    shape, dtype = node.shape, node.dtype
    del file[name]
    source = pick(rng, ["/etc/hostname", file.filename, "/nowhere"])
    file.create_dataset(name, shape, dtype, external=[(source, 0, h5py.h5f.UNLIMITED)])
    return STRICT


def _links(file: Any, name: str, rng: Generator) -> str:
    del file[name]
    others = [other for other in _arrays(file) if other != name] or ["/gone"]
    file[name] = pick(
        rng, [h5py.SoftLink("/gone"), h5py.ExternalLink("gone.hdf5", "/x"), h5py.SoftLink(f"/{others[0]}"),
              h5py.ExternalLink("/etc/hostname", "/x")]
    )  # fmt: skip
    return FREE


def _absent(file: Any, name: str, rng: Generator) -> str:
    """Rows that were declared and never written."""
    node: Any = file[name]
    shape, dtype = node.shape, node.dtype
    del file[name]
    options = pick(rng, [{}, {"chunks": True}, {"chunks": True, "fillvalue": 0, "compression": "gzip"}])
    file.create_dataset(name, shape, dtype, **options)
    return STRICT


def _enormous(file: Any, name: str, rng: Generator) -> str:
    """As many rows declared as would not fit into the memory; or that inflate to it."""
    names = [name] if rng.random() < 0.5 else _arrays(file)[:8]
    packed = rng.random() < 0.3
    for one in names:
        node: Any = file[one]
        tail, dtype = node.shape[1:], node.dtype
        del file[one]
        if packed and dtype.kind in "fiub":
            file.create_dataset(
                one, data=np.zeros((2**21, *tail), dtype), chunks=(2**16, *tail), compression="gzip", compression_opts=1
            )
        else:
            file.create_dataset(one, (MANY_ROWS, *tail), dtype, chunks=(1024, *tail))
    return STRICT


def _delete(file: Any, name: str, rng: Generator) -> str:
    del file[name]
    return FREE


def _group(file: Any, name: str, rng: Generator) -> str:
    del file[name]
    file.create_group(name)
    return FREE


STRUCTURE = [
    _retype, _inject, _in_place, _reshape, _virtual, _external, _links, _absent, _enormous, _delete, _group,
]  # fmt: skip


def change_hdf5(folder: Path, rng: Generator) -> Mutation:
    """Change one array of an HDF5 file, by h5py."""
    path = pick(rng, files_of(folder, ".hdf5"))
    change = pick(rng, STRUCTURE)
    with _opened(path) as file:
        name = pick(rng, _arrays(file))
        may = change(file, name, rng)
    return Mutation(f"{change.__name__.strip('_')} {name}", str(path.relative_to(folder)), may)


# --- archives of arrays ----------------------------------------------------------------------------------------------


def change_npz(folder: Path, rng: Generator) -> Mutation:
    """Write an .npz file anew with one member changed."""
    path = pick(rng, files_of(folder, ".npz"))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = pick(rng, sorted(members))
    kind = pick(rng, ["gone", "enormous", "pickle", "bytes", "shape", "NaN", "other", "extra", "twice"])
    array = np.load(io.BytesIO(members[name]), allow_pickle=False)
    extra: dict[str, bytes] = {}
    if kind == "gone":
        del members[name]
    elif kind == "enormous":
        header = members[name][:10] + members[name][10:].split(b"\n")[0].replace(
            repr(array.shape).encode(), b"(60000000000, 9)"
        )
        members[name] = header + b"\n"
    elif kind == "pickle":
        members[name] = _npy(np.array([{"a": 1}, None], object), allow_pickle=True)
    elif kind == "bytes":
        members[name] = rng.bytes(100)
    elif kind == "shape":
        members[name] = _npy(array.reshape(-1)[: array.size // 2])
    elif kind == "NaN" and array.dtype.kind == "f":
        members[name] = _npy(np.full_like(array, np.nan))
    elif kind == "other":
        members[name] = members[pick(rng, sorted(members))]
    else:
        extra = {"unheard_of.npy" if kind == "extra" else name: members[name]}
    with zipfile.ZipFile(path, "w") as archive:
        for key, content in (*members.items(), *extra.items()):
            archive.writestr(key if key not in archive.namelist() else f"again/{key}", content)
    return Mutation(f"npz {kind} {name}", str(path.relative_to(folder)), FREE)


def _npy(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=allow_pickle)
    return content.getvalue()


def apply(folder: Path, rng: Generator) -> Mutation:
    """One mutation of the kinds that the files of the folder allow; bytes are as likely as all of the others."""
    kinds: list[Mutate] = []
    suffixes = {path.suffix for path in files_of(folder)}
    if suffixes & {".json", ".jsonl"}:
        kinds += [change_json, change_json]
    if ".hdf5" in suffixes:
        kinds += [change_hdf5, change_hdf5, change_card]
    if ".npz" in suffixes:
        kinds += [change_npz]
    if rng.random() < 0.4:
        return change_bytes(folder, rng)
    if rng.random() < 0.1:
        return replace_file(folder, rng)
    return pick(rng, kinds)(folder, rng)


def free_links(folder: Path) -> None:
    """Nothing below the folder may lead out of it when it is removed."""
    for path in folder.rglob("*"):
        if path.is_symlink():
            os.unlink(path)
