"""The memory of a test process, most of which is compiled programs."""

import ctypes
import gc
import os
import subprocess
import sys
from pathlib import Path

import jax


def status(name: str) -> float:
    """Bytes that the system counts for this process; 0 where it does not say."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return 1024 * int(text.split(f"{name}:")[1].split()[0]) if f"{name}:" in text else 0


def drop_programs(*, above: float = 0) -> None:
    """Forget compiled programs where the process holds more bytes than that, and hand the memory back to the system,
    as glibc does not of itself."""
    if status("VmRSS") <= above:
        return
    jax.clear_caches()
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def in_a_process(words: list[str]) -> str:
    """What `surefoot WORDS` prints, run beside this process, which then need not hold its programs."""
    code = "import sys; from surefoot.cli.main import main; sys.exit(main(sys.argv[1:]))"
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": jax.config.values["jax_compilation_cache_dir"] or ""}
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
