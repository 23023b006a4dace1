"""Frames as an animated GIF, small enough to lie inside a page."""

import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from surefoot.errors import ConfigError

WIDTH = 320
"""Pixels; wider frames are made smaller."""
COLOURS = 64
SLOWEST = 20
"""Milliseconds that browsers show a frame for at least."""


def gif_bytes(frames: Sequence[UInt8[np.ndarray, "h w 3"]], *, frames_per_second: float) -> bytes:
    """The frames as a GIF that repeats for ever, all in the colours of the first and last. `ConfigError` on none."""
    if not frames:
        raise ConfigError("gif: expected at least one frame, found none.")
    pictures = [_smaller(Image.fromarray(np.asarray(frame, np.uint8))) for frame in frames]
    # One palette for all: colours that change from frame to frame flicker and take more bytes.
    both = Image.new("RGB", (pictures[0].width, 2 * pictures[0].height))
    both.paste(pictures[0], (0, 0))
    both.paste(pictures[-1], (0, pictures[0].height))
    palette = both.quantize(COLOURS)
    indexed = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    content = io.BytesIO()
    indexed[0].save(
        content,
        format="GIF",
        save_all=True,
        append_images=indexed[1:],
        duration=max(round(1000 / frames_per_second), SLOWEST),
        loop=0,
        optimize=True,
    )
    return content.getvalue()


def _smaller(picture: Image.Image) -> Image.Image:
    if picture.width <= WIDTH:
        return picture
    return picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
