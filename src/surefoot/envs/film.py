"""Episodes as films: GIF by Pillow, MP4 by imageio-ffmpeg, which brings its own ffmpeg."""

import itertools
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from surefoot import files
from surefoot.errors import ConfigError

GIF_COLORS = 128


def save_film(path: Path, frames: Iterable[UInt8[np.ndarray, "height width 3"]], *, frames_per_second: float) -> None:
    """Write a film, whole or not at all.

    Args:
        path: File that ends in .gif or .mp4.
        frames: RGB frames, taken one by one.
        frames_per_second: Rate.

    Raises:
        ConfigError: Another suffix, no frames, or MP4 without imageio-ffmpeg.
    """
    writers = {".gif": _save_gif, ".mp4": _save_mp4}
    if path.suffix not in writers:
        raise ConfigError(f"{path}: expected a film to end in {' or '.join(writers)}, found '{path.suffix}'.")
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise ConfigError(f"{path}: expected at least one picture for a film, found none.")
    path.parent.mkdir(parents=True, exist_ok=True)
    files.sweep(path.parent)
    with files.replacement(path) as temporary:
        files.write_bytes(temporary, b"")
        writers[path.suffix](temporary, first, iterator, frames_per_second, named=path)
        files.sync_file(temporary)


def _save_gif(
    path: Path, first: np.ndarray, rest: Iterator[np.ndarray], frames_per_second: float, *, named: Path
) -> None:
    def palette(frame: np.ndarray) -> Image.Image:
        return Image.fromarray(frame).quantize(GIF_COLORS)

    palette(first).save(
        path,
        format="GIF",
        save_all=True,
        append_images=(palette(frame) for frame in rest),
        duration=round(1000 / frames_per_second),
        loop=0,
    )


def _save_mp4(
    path: Path, first: np.ndarray, rest: Iterator[np.ndarray], frames_per_second: float, *, named: Path
) -> None:
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise ConfigError(
            f"{named.name}: MP4 needs the package imageio-ffmpeg (pip install 'surefoot[sim]'); GIF does not."
        ) from error
    height, width = first.shape[:2]
    # The common pixel format has half the resolution in colour: an odd last row or column is left out.
    height, width = height - height % 2, width - width % 2
    # ffmpeg is started here and not by the package, whose way of keeping Ctrl-C from it forks Python, which JAX's
    # threads may not survive; a session of its own does the same.
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24",
        "-s", f"{width}x{height}", "-r", f"{frames_per_second:g}", "-i", "-", "-vcodec", "libx264",
        "-pix_fmt", "yuv420p", "-f", "mp4", str(path),
    ]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as encoder:
        assert encoder.stdin is not None
        assert encoder.stderr is not None
        try:
            for frame in itertools.chain([first], rest):
                encoder.stdin.write(np.ascontiguousarray(frame[:height, :width]).tobytes())
        except BrokenPipeError:
            pass  # it has ended, and says why below
        finally:
            with suppress(BrokenPipeError):
                encoder.stdin.close()
            complaint = encoder.stderr.read().decode(errors="replace").strip()
    if encoder.returncode != 0:
        reason = complaint.splitlines()[-1] if complaint else f"exit code {encoder.returncode}"
        raise ConfigError(f"{named.name}: ffmpeg could not write the film: {reason}.")
