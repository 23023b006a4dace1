"""What a robot sees and how often it decides, for tasks of images in a simulator; workers read it, so it imports
nothing."""

from typing import NamedTuple


class Vision(NamedTuple):
    """Everything beside the actions that a policy on images must have in common with its task. JSON-ready."""

    robot: str
    """"Point" or "Car": the same actions move another body."""
    kind: str
    """What is asked of it: "Goal", "Button" or "Push"."""
    layout: str
    """Name of a layout, "published" or another (`surefoot.envs.simulators.layouts`). A policy may meet a new one."""
    cameras: tuple[str, ...] = ("vision", "vision_back")
    """On the robot, three channels each, in this order."""
    size: int = 64
    """Pixels along each side of an image."""
    action_repeat: int = 4
    """Steps of the simulator to a decision; rewards and costs are summed over them."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an observation."""
        return self.size, self.size, 3 * len(self.cameras)

    def differs(self, other: "Vision | None") -> str | None:
        """In what `other` is another thing to a policy, as words; None where it is not. The layout may differ."""
        if other is None:
            return "images of a simulator's cameras, found none"
        for name, words in (
            ("robot", "robot"), ("kind", "kind of task"), ("cameras", "cameras"), ("size", "image size"),
            ("action_repeat", "action repeat"),
        ):  # fmt: skip
            mine, found = getattr(self, name), getattr(other, name)
            if mine != found:
                return f"{words} {_plain(mine)}, found {_plain(found)}"
        return None


def _plain(value: object) -> str:
    return " and ".join(value) if isinstance(value, tuple) else str(value)


def from_json(found: dict | None) -> Vision | None:
    """What `Vision._asdict` made, out of JSON."""
    return None if found is None else Vision(**{**found, "cameras": tuple(found["cameras"])})
