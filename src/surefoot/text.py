"""Words that others wrote (cards, paths, keys of files, messages of libraries), made safe to print and to draw.

A word from a file may hold sequences that steer a terminal, marks that turn the direction of reading, line breaks that
forge a line of ours, or half of a character. They are shown as escapes: \\x1b, \\u202e, \\n.
"""

import functools
import re
import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

MOST_PRINTED = 5_000
"""Characters of one line; longer ones are cut in the middle."""
MOST_DRAWN = 80
"""Characters of a label in a figure."""
_ROOT = r"(?:/|[A-Za-z]:[\\/]|\\\\)"
_ABSOLUTE = re.compile(
    rf"""(?<=') {_ROOT} [^'\n]+ (?=')            # quoted for a shell, with spaces
    | (?<![\w.~:/\\*<-]) {_ROOT}                # no share as m/s, no address as https://, no relative path
      (?: [^\s"'<>|:;,()\[\]{{}}\\/]+ [\\/]+ )* [^\s"'<>|:;,()\[\]{{}}\\/]+ [\\/]*
    """,
    re.VERBOSE,
)
"""A path from the root of a file system, of Unix or of Windows, within a text."""
_ONLY_A_PATH = re.compile(rf"{_ROOT}(?!.*(: | -))[^\n]+")
_SURROGATES_OF_BYTES = range(0xDC80, 0xDD00)
"""How Python holds the bytes of a file name that is not UTF-8."""
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: object, *, lines: bool = False, most: int = MOST_PRINTED) -> str:
    """Text for a terminal: invisible characters become escapes.

    Args:
        text: Text, or a value to show.
        lines: Whether line ends are kept.
        most: Largest number of characters.

    Returns:
        The text, cut in the middle where it is longer.
    """
    words = str(text)
    if words.isascii() and words.isprintable() and len(words) <= most:
        return words
    if lines:
        return "\n".join(printable(line, most=most) for line in words.split("\n"))
    return shortened("".join(letter if _is_visible(letter) else _escape(letter) for letter in words), most)


def plain_for_plot(text: object) -> str:
    """A text for matplotlib: without mathematics, never hidden, and of letters that the figures' font has."""
    words = shortened(printable(text), MOST_DRAWN)
    known = _drawn_letters()
    words = "".join(letter if ord(letter) in known else "?" for letter in words)
    # Labels that begin with an underscore are left out of legends.
    hidden = " " if words.startswith("_") else ""
    return hidden + words.replace("$", r"\$")


def shell_word(text: object) -> str:
    """A word of a command that is printed to be run: quoted for a shell, with bash's $'...' where it needs escapes."""
    word = str(text)
    if printable(word) == word:
        return shlex.quote(word)
    escaped = "".join(_bash_escape(letter) for letter in word)
    return f"$'{escaped}'"


def listed(words: Sequence[str]) -> str:
    """Words as a sentence lists them: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def shortened(text: str, most: int) -> str:
    """Text of at most so many characters.

    Args:
        text: Text.
        most: Largest number of characters.

    Returns:
        The text, cut in the middle where it is longer.
    """
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[:half]}…{text[len(text) - half :]}"


def decimal(word: str) -> float | None:
    """The number that a word of a file says in digits of ASCII, "-1.5e3" or "inf"; None where it says none. Python also
    reads 1_000 and digits of other scripts, which no other program takes for the same number."""
    try:
        return float(word) if word.isascii() and "_" not in word else None
    except ValueError:
        return None


def _is_visible(letter: str) -> bool:
    return letter.isprintable() or unicodedata.category(letter) == "Zs"


def _escape(letter: str) -> str:
    code = ord(letter)
    if code in _SURROGATES_OF_BYTES:
        return f"\\x{code - 0xDC00:02x}"
    if letter in _SHORT:
        return _SHORT[letter]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _bash_escape(letter: str) -> str:
    if letter in "\\'":
        return f"\\{letter}"
    if _is_visible(letter):
        return letter
    code = ord(letter)
    if code in _SURROGATES_OF_BYTES:
        return f"\\x{code - 0xDC00:02x}"
    return "".join(f"\\x{byte:02x}" for byte in letter.encode("utf-8", "surrogatepass"))


@functools.cache
def _drawn_letters() -> frozenset[int]:
    """Code points that both the plain and the bold DejaVu Sans of matplotlib have."""
    from matplotlib import ft2font, get_data_path  # only where something is drawn

    faces = [f"{get_data_path()}/fonts/ttf/{name}.ttf" for name in ("DejaVuSans", "DejaVuSans-Bold")]
    plain, bold = (frozenset(ft2font.FT2Font(face).get_charmap()) for face in faces)
    return plain & bold


def without_folders(value: Any) -> Any:
    """JSON or text that is to be shown to others: absolute paths become their last names, wherever they stand."""
    if isinstance(value, str):
        whole = _ONLY_A_PATH.fullmatch(value)
        return _last_name(value) if whole else _ABSOLUTE.sub(lambda found: _last_name(found[0]), value)
    if isinstance(value, Mapping):
        return {without_folders(key): without_folders(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(part) for part in value]
    return value


def _last_name(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def duration(seconds: float) -> str:
    """As "42 s", "3 min 5 s" or "2 h 10 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
