"""The part of `surefoot data convert` for episodes of images: our folders and files, and the public code's chunks."""

from pathlib import Path
from typing import Any

from surefoot.checkpoint import versions
from surefoot.cli.progress import ProgressLine
from surefoot.cli.remarks import remark
from surefoot.data import episode_files, library, npz_chunks, pixels
from surefoot.data.describe import coverage
from surefoot.data.frames import FrameData
from surefoot.data.remarks import remarks
from surefoot.errors import ConfigError
from surefoot.file_sets import check_writable
from surefoot.tasks import Task, get_task


def convert_images(path: Path, found: library.Format, *, task: str | None, to: str, out: Path, strict: bool) -> None:
    """Write the images at `path` in another format, with what its card says. Raises `ConfigError`, `DataError`."""
    if to not in library.IMAGE_FORMATS:
        raise ConfigError(f"--to: expected {', '.join(library.IMAGE_FORMATS)} for images, found {to}.")
    if out.exists():
        raise ConfigError(f"{out}: it exists already; choose another place with --out.")
    check_writable(out.parent)
    card = library.card_of(path)
    name = task or card.get("task")
    if name is None:
        raise ConfigError(f"{path}: chunks do not say whose data they are; name the task with --task.")
    chosen = get_task(name)
    if chosen.image_shape is None:
        raise ConfigError(f"--task: expected one of images, found {chosen.name}.")
    frames = library.read_frames(path, chosen, in_files=True)
    suspicious = remarks(frames, chosen, place=str(path))
    remark(suspicious, strict=strict)
    recipe: dict[str, Any] = {"converted": f"surefoot data convert, from {path.name}", "versions": versions()}
    if suspicious:
        recipe["remarks"] = suspicious
    _write(
        out, to, frames, chosen, {**card, **recipe, "coverage": coverage(frames)}, path if found == "episodes" else None
    )


def _write(out: Path, to: str, frames: FrameData, task: Task, card: dict, labeled: Path | None) -> None:
    kept = {key: value for key, value in card.items() if key not in ("task", "layout")}
    if to == "frames":
        pixels.save(out, frames, card=kept)
    elif to == "chunks":
        npz_chunks.write_chunks(out, frames)
    else:
        labels = episode_files.behaviors(labeled) if labeled is not None else ["unknown"] * len(frames.lengths)
        if task.vision is not None:
            kept["vision"] = task.vision._asdict()
        with ProgressLine(f"writing {out.name}", unit="episodes") as line:
            episode_files.save(out, frames, task, labels=labels, card=kept, on_progress=line.report)
