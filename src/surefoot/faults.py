"""All faults of a command line in one message: they are gathered, and said before any work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TypeVar

from surefoot.errors import ConfigError, SurefootError

T = TypeVar("T")


class Faults:
    """The faults of a command line so far.

    As a context it ends with all of them in one `ConfigError`: those that were gathered, and then the error that the
    block ended with, as long as they were not settled before.

        with Faults() as faults:
            with faults.also():
                check_one_thing()
            with faults.also():
                check_another()
    """

    def __init__(self) -> None:
        self._sentences: list[str] = []
        self.flags: set[str] = set()
        """Those whose values were refused."""

    def add(self, sentence: str) -> None:
        """Gather a sentence, once."""
        if (bare := sentence.rstrip(".")) not in self._sentences:
            self._sentences.append(bare)

    @contextmanager
    def also(self) -> Iterator[None]:
        """Gather the refusal that the block ends with, and go on."""
        try:
            yield
        except SurefootError as error:
            self.add(str(error))

    def attempt(self, work: Callable[[], T], default: T) -> T:
        """What `work` returns; `default` where it refuses, which is gathered."""
        with self.also():
            return work()
        return default

    def settle(self) -> None:
        """Raise `ConfigError` where anything was gathered."""
        if self._sentences:
            raise self._all()

    def __enter__(self) -> "Faults":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if not self._sentences:
            return
        if isinstance(error, SurefootError):
            self.add(str(error))
        if error is None or isinstance(error, SurefootError) or (isinstance(error, SystemExit) and error.code):
            raise self._all() from error  # where the parser ends the process, it has said why

    def _all(self) -> ConfigError:
        whole = "; ".join(self._sentences)
        found = ConfigError(whole if whole.endswith("?") else f"{whole}.")
        self._sentences = []
        return found
