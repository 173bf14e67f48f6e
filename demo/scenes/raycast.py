"""Rays against boxes, ellipsoids and tapered cylinders: which solid each ray meets first, and at what depth.

World axes: x right, y up, z into the room, metres. Camera axes: x right, y down, z forward. A ray is eye + t · d with
d of unit length along the optical axis, so that t IS the depth a depth camera reports.
"""

from dataclasses import dataclass, field
from functools import reduce

import numpy as np

BOX, ELLIPSOID, FRUSTUM = 0, 1, 2
NEAR = 0.05  # metres; nothing nearer is seen
FAR = np.float32(1e4)


@dataclass
class Surface:
    """How a solid looks: two linear RGB colours, a pattern between them, and its light."""

    colour: tuple[float, float, float]
    second: tuple[float, float, float]
    pattern: int = 0  # index into textures.PATTERNS
    period: float = 1.0  # metres per pattern period
    offset: tuple[float, float] = (0.0, 0.0)
    turned: bool = False  # pattern turned by 90°
    gloss: float = 0.0
    glow: float = 0.0  # light given off, in units of the albedo


@dataclass
class Solid:
    """A box, ellipsoid or (tapered) upright cylinder: the unit solid scaled by `half` and turned by `turn`.

    A frustum's axis is its local y; its radius is `half` × taper[0] at the bottom and `half` × taper[1] at the top.
    """

    shape: int
    centre: np.ndarray  # (3,)
    half: np.ndarray  # (3,) half extents
    surface: Surface
    turn: np.ndarray = field(default_factory=lambda: np.eye(3))  # local to world
    taper: tuple[float, float] = (1.0, 1.0)


def yaw_matrix(angle: float) -> np.ndarray:
    """(3, 3) rotation about the vertical axis; at 0 a thing's front looks along −z, towards the viewer."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


@dataclass
class Camera:
    """A pinhole camera. `basis` has the columns right, down, forward in world axes."""

    eye: np.ndarray  # (3,)
    basis: np.ndarray  # (3, 3)
    focal: float  # pixels
    size: tuple[int, int]  # width, height

    @classmethod
    def look(cls, eye, yaw: float, pitch: float, hfov: float, size: tuple[int, int]) -> 'Camera':
        """Angles in radians; yaw 0 looks along +z, positive to the right; positive pitch looks up."""
        forward = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
        right = np.array([np.cos(yaw), 0.0, -np.sin(yaw)])
        down = -np.cross(forward, right)
        focal = size[0] / 2 / np.tan(hfov / 2)
        return cls(np.asarray(eye, float), np.stack([right, down, forward], axis=1), focal, size)

    def project(self, points: np.ndarray) -> np.ndarray:
        """(…, 3) world points to (…, 3): x and y in pixels, depth in metres."""
        local = (points - self.eye) @ self.basis
        depth = np.maximum(local[..., 2:], 1e-6)
        centre = np.array([self.size[0] / 2, self.size[1] / 2])
        return np.concatenate([local[..., :2] / depth * self.focal + centre, local[..., 2:]], axis=-1)


def _box(o, dx, dy, dz):
    """Entry depth of rays into the unit box, and where they hit it at all."""
    entries, exits = [], []
    for k, d in enumerate((dx, dy, dz)):
        inverse = 1 / np.where(np.abs(d) < 1e-7, np.float32(1e-7), d)
        middle = -o[k] * inverse
        reach = np.abs(inverse)
        entries.append(middle - reach)
        exits.append(middle + reach)
    near, far = reduce(np.maximum, entries), reduce(np.minimum, exits)
    return near, near < far


def _ellipsoid(o, dx, dy, dz):
    a = dx * dx + dy * dy + dz * dz
    b = o[0] * dx + o[1] * dy + o[2] * dz
    inside = b * b - a * (o @ o - 1)
    return (-b - np.sqrt(np.maximum(inside, 0))) / a, inside > 0


def _frustum(o, dx, dy, dz, taper):
    """Side and both caps; the nearest valid one of four candidates."""
    slope = np.float32((taper[1] - taper[0]) / 2)
    radius = np.float32((taper[1] + taper[0]) / 2) + slope * o[1]
    a = dx * dx + dz * dz - slope * slope * dy * dy
    a = np.where(np.abs(a) < 1e-9, np.float32(1e-9), a)
    b = o[0] * dx + o[2] * dz - slope * radius * dy
    inside = b * b - a * (o[0] * o[0] + o[2] * o[2] - radius * radius)
    root = np.sqrt(np.maximum(inside, 0))
    best = np.full(a.shape, FAR, np.float32)
    for t in ((-b - root) / a, (-b + root) / a):
        good = (inside > 0) & (np.abs(o[1] + t * dy) <= 1) & (t > 0)
        best = np.where(good & (t < best), t, best)
    dy = np.where(np.abs(dy) < 1e-7, np.float32(1e-7), dy)
    end = -np.sign(dy)  # the cap that faces the ray
    t = (end - o[1]) / dy
    x, z = o[0] + t * dx, o[2] + t * dz
    edge = np.where(end > 0, np.float32(taper[1]), np.float32(taper[0]))
    best = np.where((x * x + z * z <= edge * edge) & (t > 0) & (t < best), t, best)
    return best, best < FAR


_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)


class Solids:
    """A list of solids, K of them, with their transforms stacked: they are prepared for a camera in one go."""

    def __init__(self, solids: list[Solid]):
        self.solids = solids
        self.centre = np.array([s.centre for s in solids], float).reshape(-1, 3)
        turn = np.array([s.turn for s in solids], float).reshape(-1, 3, 3)
        half = np.array([s.half for s in solids], float).reshape(-1, 3)
        self.middle = np.sort(half, axis=1)[:, 1]
        self.to_local = turn.transpose(0, 2, 1) / half[:, :, None]  # (K, 3, 3)
        corners = np.einsum('kij,cj->kci', turn * half[:, None, :], _CORNERS)
        self.corners = self.centre[:, None] + corners  # (K, 8, 3)

    def cast(self, camera: Camera, xs, ys, depth: np.ndarray, hit: np.ndarray, smallest: float = 0.0) -> None:
        """Update a z-buffer in place.

        Args:
            xs: (G, W) pixel x of each column of each of G grids, ascending along W.
            ys: (G, H) pixel y of each row.
            depth: (G, H, W) float32, the depth so far.
            hit: (G, H, W) int, the index of the solid so far.
            smallest: leave out solids of which two half extents are below this, in metres.
        """
        focal = np.float32(camera.focal)
        grid_x = ((xs - camera.size[0] / 2) / focal).astype(np.float32)
        grid_y = ((ys - camera.size[1] / 2) / focal).astype(np.float32)
        rays = (self.to_local @ camera.basis).astype(np.float32)  # (K, 3, 3): local right, down, forward
        origins = np.einsum('kij,kj->ki', self.to_local, camera.eye - self.centre).astype(np.float32)
        corners = camera.project(self.corners)
        behind = corners[..., 2].min(1) < NEAR
        gone = corners[..., 2].max(1) < NEAR
        low, high = corners.min(1), corners.max(1)
        low[behind, :2], high[behind, :2] = -1e9, 1e9
        x0 = np.searchsorted(xs.min(0), low[:, 0])
        x1 = np.searchsorted(xs.max(0), high[:, 0], side='right')
        y0 = np.searchsorted(ys.min(0), low[:, 1])
        y1 = np.searchsorted(ys.max(0), high[:, 1], side='right')
        seen = ~gone & (x0 < x1) & (y0 < y1) & (self.middle >= smallest)
        for k in np.flatnonzero(seen):
            window = (slice(None), slice(y0[k], y1[k]), slice(x0[k], x1[k]))
            gx, gy = grid_x[:, None, window[2]], grid_y[:, window[1], None]
            right, down, forward = rays[k].T[:, :, None, None, None]
            dx, dy, dz = (forward[i] + gx * right[i] + gy * down[i] for i in range(3))
            solid = self.solids[k]
            if solid.shape == BOX:
                t, met = _box(origins[k], dx, dy, dz)
            elif solid.shape == ELLIPSOID:
                t, met = _ellipsoid(origins[k], dx, dy, dz)
            else:
                t, met = _frustum(origins[k], dx, dy, dz, solid.taper)
            closer = met & (t < depth[window]) & (t > NEAR)
            np.copyto(depth[window], t, where=closer)
            np.copyto(hit[window], k, where=closer)
