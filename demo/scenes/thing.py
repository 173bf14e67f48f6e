"""A thing: a few solids that make an object of one class.

Builders return things in their own frame: x to the right, y up from the foot, z to the back, so that the front looks
along −z; metres.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from .raycast import BOX, FRUSTUM, Solid, Surface, yaw_matrix


@dataclass
class Top:
    """A free rectangle that others may stand on; metres."""

    x: float  # its centre
    z: float
    y: float  # its height
    half_w: float
    half_d: float
    taken: list[tuple[np.ndarray, float]] = field(default_factory=list)  # centre (2,) from the top's, radius


@dataclass
class Thing:
    """An object of one class: its solids, its footprint and height, where others may stand on it."""

    name: str  # a key of labels.LABELS
    solids: list[Solid] = field(default_factory=list)
    size: tuple[float, float, float] = (1.0, 1.0, 1.0)  # width, height, depth
    tops: list[Top] = field(default_factory=list)
    crowd: bool = False  # many touching things of the class, which COCO marks as one crowd
    parts: list['Thing'] = field(default_factory=list)  # fixed companions of another class: cushions, pillows

    def add(self, shape: int, surface: Surface, centre, half, turn=None, taper=(1.0, 1.0)) -> None:
        """Any solid; the arguments are those of raycast.Solid."""
        turn = np.eye(3) if turn is None else turn
        self.solids.append(Solid(shape, np.array(centre, float), np.array(half, float), surface, turn, taper))

    def box(self, surface: Surface, x, y, z, turn=None) -> None:
        """A box between the ends of three (low, high) ranges."""
        low, high = np.array([x, y, z], float).T
        self.add(BOX, surface, (low + high) / 2, (high - low) / 2, turn)

    def tube(self, surface: Surface, centre, radius: float, y, taper=(1.0, 1.0)) -> None:
        """An upright, possibly tapered cylinder about (x, z) = centre, between the heights y = (low, high)."""
        self.add(FRUSTUM, surface, (centre[0], sum(y) / 2, centre[1]), (radius, (y[1] - y[0]) / 2, radius), None, taper)


def attach(thing: Thing, part: Thing, at, yaw: float = 0.0) -> None:
    """Make `part` a companion of `thing`: an object of its own that moves with it, its foot at (x, y, z) = `at`."""
    thing.parts.append(placed(part, np.array(at, float), yaw))


def placed(thing: Thing, at: np.ndarray, yaw: float) -> Thing:
    """A copy of the thing and its parts, turned by yaw (radians) and moved so that its foot is at `at`, (3,) metres."""
    turn = yaw_matrix(yaw)
    solids = [Solid(s.shape, turn @ s.centre + at, s.half, s.surface, turn @ s.turn, s.taper) for s in thing.solids]
    parts = [placed(part, at, yaw) for part in thing.parts]
    tops = []
    for top in thing.tops:
        x, y, z = turn @ np.array([top.x, top.y, top.z]) + at
        tops.append(replace(top, x=x, y=y, z=z, taken=list(top.taken)))
    return replace(thing, solids=solids, parts=parts, tops=tops)
