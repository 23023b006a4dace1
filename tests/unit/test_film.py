"""Films of episodes: GIF and MP4, whole or not at all."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from surefoot.envs.film import save_film
from surefoot.errors import ConfigError


def frames(count: int, height: int = 24, width: int = 33) -> Iterator[np.ndarray]:
    """A white bar that walks to the right over black."""
    for number in range(count):
        frame = np.zeros((height, width, 3), np.uint8)
        frame[:, 4 * number : 4 * number + 4] = 255
        yield frame


def test_a_gif_has_every_frame_at_its_rate(tmp_path: Path) -> None:
    path = tmp_path / "new" / "film.gif"
    save_film(path, frames(5), frames_per_second=20)
    with Image.open(path) as film:
        assert (film.size, getattr(film, "n_frames", 1), film.info["duration"]) == ((33, 24), 5, 50)
        film.seek(3)
        picture = np.asarray(film.convert("RGB"))
    assert picture[0, 13].tolist() == [255, 255, 255]  # columns 12 to 15
    assert picture[0, 2].tolist() == [0, 0, 0]
    assert list(path.parent.iterdir()) == [path]


def test_an_mp4_has_every_frame_and_an_even_size(tmp_path: Path) -> None:
    import imageio_ffmpeg

    path = tmp_path / "film.mp4"
    save_film(path, frames(6), frames_per_second=12.5)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    # The odd last column is left out; ffmpeg says what it reads on stderr.
    assert b" 32x24" in done.stderr
    assert b"12.50 fps" in done.stderr
    pictures = np.frombuffer(done.stdout, np.uint8).reshape(-1, 24, 32, 3)
    assert len(pictures) == 6
    assert pictures[5][12, 22].min() > 150  # columns 20 to 23, compressed
    assert pictures[5][12, 2].max() < 100
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_a_film_that_breaks_off_leaves_the_old_one(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"film{suffix}"
    path.write_bytes(b"old")

    def broken() -> Iterator[np.ndarray]:
        yield from frames(2)
        raise RuntimeError("the simulator died")

    with pytest.raises(RuntimeError, match="the simulator died"):
        save_film(path, broken(), frames_per_second=10)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_other_films_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"film.avi: expected a film to end in .gif or .mp4, found '.avi'"):
        save_film(tmp_path / "film.avi", frames(1), frames_per_second=1)
    with pytest.raises(ConfigError, match="expected at least one picture for a film, found none"):
        save_film(tmp_path / "film.gif", frames(0), frames_per_second=1)
    assert list(tmp_path.iterdir()) == []
