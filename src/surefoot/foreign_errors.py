"""One sentence for errors that are none of ours: of the system, of memory, of JAX."""

import errno
import sys


def system_sentence(error: OSError) -> str:
    """What the system says against a file, and the way out where the disk is full."""
    place = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename != "standard output":
        return f"{place}expected room on the disk, found it full; free some and start the command again."
    return f"{place}{(error.strerror or str(error)).rstrip('.')}."


def foreign_sentence(error: Exception) -> str | None:
    """What to say of an error that is none of ours: memory that ran out, JAX's platform, JAX's own search for NaN."""
    if isinstance(error, FloatingPointError):
        return f"{str(error).splitlines()[0].rstrip('.')} (JAX_DEBUG_NANS or JAX_DEBUG_INFS is set)."
    if "jax" in sys.modules:
        from surefoot.numerics import is_out_of_memory, platform_sentence

        if (found := platform_sentence(error)) is not None:
            return found
        if not is_out_of_memory(error):
            return None
    elif not isinstance(error, MemoryError):
        return None
    return "out of memory: what the command needs at once does not fit; give it less, or a machine with more."
