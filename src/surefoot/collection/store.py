"""A collection on disk until its file is written; it is whole after a kill at any moment.

<out>.collecting/
    collection.json             what is being collected; another collection is refused
    learner/                    checkpoint of the learner after the last iteration
    episodes/000012-<the first letters of its SHA-256>.safetensors
                                the episodes that ended in one iteration
    reserve                     space kept free for the last iteration of a disk that fills up
    .lock                       held while a process collects here
"""

import errno
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import safetensors
import safetensors.numpy

from surefoot import checkpoint
from surefoot.checkpoint import as_json, difference
from surefoot.collection.episodes import Columns, join
from surefoot.errors import CheckpointError, ConfigError, DataError, option
from surefoot.files import is_temporary, remove_folder, sweep, write_json, write_whole
from surefoot.json_files import check_json, read_json
from surefoot.locks import LOCK, holding
from surefoot.system import allocate

SUFFIX = ".collecting"
IDENTITY, RESERVE = "collection.json", "reserve"
PARTS = "parts"
"""Key of the learner's metadata for the number of parts."""
HASH_LETTERS = 16
_FULL = (errno.ENOSPC, errno.EDQUOT)
Tree = TypeVar("Tree")


_ANEW = "remove the folder, or choose another file with --out"


@dataclass(frozen=True)
class Store:
    """The folder of one collection."""

    path: Path

    @staticmethod
    def beside(out: Path) -> "Store":
        """Store of the collection for the file `out`."""
        return Store(out.with_name(out.name + SUFFIX))

    @contextmanager
    def opened(self, identity: Mapping[str, Any], *, reserve: int) -> Iterator[None]:
        """Hold the folder for a collection, new or begun before; a context manager.

        Args:
            identity: Description of the collection, as JSON values.
            reserve: Bytes kept aside.

        Yields:
            None, while the folder is held.

        Raises:
            ConfigError: The folder holds another collection, or another process has it.
            DataError: The disk is full.
        """
        with self._saving("begin"):
            self._episodes.mkdir(parents=True, exist_ok=True)
        with holding(self.path, busy="another process is collecting in this folder"):
            self._check(as_json(dict(identity)))
            for folder, names in ((self.path, r"learner|collection\.json"), (self._episodes, r"[0-9]{6,}\.\w+")):
                sweep(folder, exclusive=True, former=names)
            self._check_parts()
            with self._saving("begin"):
                self._reserve(reserve)
            yield

    def parts(self) -> list[Path]:
        """Files of episodes in the order of their numbers 0, 1, 2, ... Raises `DataError` where one is missing."""
        found = sorted(self._episodes.glob("[0-9]*.safetensors"))
        numbers = Counter(map(_number, found))
        for number in range(len(found)):
            if numbers[number] != 1:
                what = "several of them" if number in numbers else "none"
                self._refuse_part(f"{number:06d}", "one file of this part of the collection", what)
        return found

    def add(self, episodes: list[Columns]) -> None:
        """Keep episodes, in one step, as the next part. Raises `DataError` where the disk is full; they are kept even
        then."""
        content = safetensors.numpy.save(join(episodes)) if episodes else b""
        name = f"{len(self.parts()):06d}-{hashlib.sha256(content).hexdigest()[:HASH_LETTERS]}.safetensors"
        self._save("keep the last episodes", lambda: write_whole(self._episodes / name, content))

    def add_file(self, name: str, content: bytes) -> None:
        """Keep one file among the episodes.

        Args:
            name: Name of the file.
            content: Its content.

        Raises:
            DataError: The disk is full; the file is kept even then.
        """
        self._save("keep the last episode", lambda: write_whole(self._episodes / name, content))

    def release_reserve(self) -> None:
        """Release the reserved space, once all is written."""
        (self.path / RESERVE).unlink(missing_ok=True)

    def read(self, part: Path) -> Columns:
        """The episodes in a file; no columns where none ended. Raises `DataError` where it is damaged."""
        try:
            content = part.read_bytes()
            self._check_hash(part, hashlib.sha256(content).hexdigest())
            return safetensors.numpy.load(content) if content else {}
        except (OSError, safetensors.SafetensorError) as error:
            self._refuse_part(part.name, "episodes that were collected", "a damaged file", error)

    def save_learner(self, state: Any, metadata: Mapping[str, Any]) -> None:
        """Replace the learner's checkpoint.

        Args:
            state: Training state.
            metadata: JSON values.

        Raises:
            DataError: The disk is full; the checkpoint is kept even then.
        """
        counted = {**metadata, PARTS: len(self.parts())}
        self._save("keep the learner", lambda: _save_checkpoint(self._learner, state, counted))

    def load_learner(self, template: Tree, kind: Any) -> tuple[Tree, dict[str, Any]] | None:
        """The learner's checkpoint.

        Args:
            template: State with the shapes of the saved one.
            kind: Type of the metadata.

        Returns:
            (state, metadata); None before the first checkpoint.

        Raises:
            CheckpointError: The checkpoint is damaged.
            DataError: A part is missing that was there when the checkpoint was written.
        """
        if not self._learner.exists():
            return None
        state, metadata = checkpoint.load(self._learner, template)
        place = f"{self._learner}: metadata"
        check_json(metadata, kind, place=place, what="the learner of a collection", error=CheckpointError)
        found, expected = len(self.parts()), metadata.get(PARTS, metadata.get("iterations", 0))
        if found < expected:
            self._refuse_part(f"{found:06d}", f"{expected} parts, as when the learner was kept", f"{found}")
        return state, metadata

    def remove(self) -> None:
        """Remove the folder, once the file is written; files of others stay."""
        if not remove_folder(self.path, self._is_own, first=IDENTITY):
            for folder, is_own in self._folders.items():  # beside what others put there
                remove_folder(folder, is_own, first="")

    # --- inside ------------------------------------------------------------------------------------------------------

    @property
    def _episodes(self) -> Path:
        return self.path / "episodes"

    @property
    def _learner(self) -> Path:
        return self.path / "learner"

    @property
    def _folders(self) -> dict[Path, Callable[[Path], bool]]:
        """The folders within, and what is ours in them."""
        return {self._episodes: _is_part, self._learner: checkpoint.is_own}

    def _check_parts(self) -> None:
        """All parts are there and as they were written, before hours of simulation build on them."""
        for part in self.parts():
            if not part.is_file():  # a pipe would keep us waiting for ever
                self._refuse_part(part.name, "a readable file", "something that is no file")
            try:
                with part.open("rb") as file:
                    self._check_hash(part, hashlib.file_digest(file, "sha256").hexdigest())
            except OSError as error:
                self._refuse_part(part.name, "a readable file", error.strerror or "another", error)

    def _check_hash(self, part: Path, found: str) -> None:
        _, _, written = part.stem.partition("-")  # nothing in the names of older parts
        if written and found[: len(written)] != written:
            self._refuse_part(part.name, f"episodes that were collected (SHA-256 {written})", "a damaged file")

    def _refuse_part(self, name: str, expected: str, found: str, cause: BaseException | None = None) -> NoReturn:
        raise DataError(
            f"{self._episodes / name}: expected {expected}, found {found}; put it back, or remove {self.path} to "
            f"collect anew."
        ) from cause

    def _is_own(self, path: Path) -> bool:
        if path.is_symlink():
            return False
        if path.is_dir():
            own = self._folders.get(path)
            return own is not None and all(map(own, path.iterdir()))
        return path.is_file() and (path.name in (IDENTITY, RESERVE, LOCK) or is_temporary(path.name))

    def _check(self, identity: dict[str, Any]) -> None:
        path = self.path / IDENTITY
        if not path.exists():
            others = [one for one in (*self.path.iterdir(), *self._episodes.iterdir()) if one.name[0] != "."]
            if others not in ([], [self._episodes]):
                raise ConfigError(
                    f"{self.path}: expected a new folder or one of a collection to go on with, found other files; "
                    f"choose another file with {option('out')}."
                )
            with self._saving("begin"):
                write_json(path, identity)
            return
        found = read_json(path, dict[str, Any], what="the description of a collection", advice=_ANEW)
        if found != identity:
            raise ConfigError(
                f"{self.path}: holds another collection, {difference('collection', found, identity)}; {_ANEW}."
            )

    def _reserve(self, size: int) -> None:
        # A file system that cannot allocate ahead has no reserve to give back.
        self.release_reserve()
        try:
            allocate(self.path / RESERVE, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise

    def _save(self, what: str, write: Callable[[], None]) -> None:
        """`write`; where the disk is full once more, on the space that was held in reserve, and then say so."""
        try:
            write()
        except OSError as error:
            if error.errno not in _FULL:
                raise
            self.release_reserve()
            with self._saving(what):
                write()
            raise DataError(f"{self.path}: {_full_sentence('everything collected is kept')}") from error

    @contextmanager
    def _saving(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise DataError(
                f"{self.path}: {_full_sentence(f'there was no room to {what}, the rest is kept')}"
            ) from error


def _number(part: Path) -> int:
    digits, _, _ = part.stem.partition("-")
    return int(digits) if digits.isdecimal() else -1


def _is_part(path: Path) -> bool:
    named = re.fullmatch(r"[0-9]{6}.*\.(safetensors|hdf5)", path.name) is not None or is_temporary(path.name)
    return named and path.is_file() and not path.is_symlink()


def _full_sentence(kept: str) -> str:
    return f"expected room on the disk, found it full; {kept}: free some and start the same command again to go on."


def _save_checkpoint(path: Path, state: Any, metadata: Mapping[str, Any]) -> None:
    try:
        checkpoint.save(path, state, metadata)
    except checkpoint.CheckpointError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from error
        raise
