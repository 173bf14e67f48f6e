"""From solids in a room to an image with its labels: two rays per pixel, one light with a shadow map, a camera's flaws.

One ray goes through each pixel's centre: labels and depth are exact there, no mixing. A second grid of rays goes
through the pixels' corners, and the image averages both (quincunx), which smooths the edges at half of the usual cost.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from .raycast import BOX, ELLIPSOID, FAR, FRUSTUM, Camera, Solids, Surface
from .textures import sample

SHADOW_REACH = 1.7  # half of its width in units of its depth
CHUNK = 8192  # rays shaded at a time: their arrays stay in the processor's cache
SKIRTING = 0.07  # metres


@dataclass
class Room:
    """The empty room: a box from (0, 0, 0) to `extent`, seen from inside."""

    extent: np.ndarray  # (3,) width, height, depth in metres
    floor: Surface
    walls: tuple[Surface, Surface]  # back and front, left and right
    ceiling: Surface
    skirting: Surface


@dataclass
class Light:
    """One lamp near the ceiling and what the walls send back."""

    position: np.ndarray  # (3,)
    colour: np.ndarray  # (3,) power at the lamp
    ambient: np.ndarray  # (3,)
    side: np.ndarray  # (3,) direction towards a weak second light, as from a window
    side_colour: np.ndarray  # (3,)


def _cast_room(room: Room, camera: Camera, xs, ys, first: int):
    """Depth (G, H, W) of the room's six inner faces and first + index: floor, ceiling, then walls by axis."""
    gx = ((xs - camera.size[0] / 2) / camera.focal)[:, None, :].astype(np.float32)
    gy = ((ys - camera.size[1] / 2) / camera.focal)[:, :, None].astype(np.float32)
    basis = camera.basis.astype(np.float32)
    low, high = (-camera.eye).astype(np.float32), (room.extent - camera.eye).astype(np.float32)
    depth = np.full((len(xs), ys.shape[1], xs.shape[1]), FAR)
    hit = np.zeros(depth.shape, np.int32)
    for k in range(3):
        d = basis[k, 2] + gx * basis[k, 0] + gy * basis[k, 1]
        d = np.where(np.abs(d) < 1e-7, np.float32(1e-7), d)
        t = np.where(d > 0, high[k], low[k]) / d
        closer = t < depth
        np.copyto(depth, t, where=closer)
        np.copyto(hit, first + (4, 0, 2)[k] + (d > 0), where=closer, casting='same_kind')
    return depth, hit


def _shadow_map(solids: Solids, light: Light, size: int) -> np.ndarray:
    """(size, size) distance below the light of the first solid, on a grid that looks straight down."""
    basis = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # columns: right +x, down +z, forward −y
    camera = Camera(light.position, basis, size / 2 / SHADOW_REACH, (size, size))
    grid = (np.arange(size) + 0.5)[None]
    depth = np.full((1, size, size), FAR, np.float32)
    # what is thinner than 3 cm in two directions casts no shadow that would show
    solids.cast(camera, grid, grid, depth, np.zeros((1, size, size), np.int32), smallest=0.015)
    return depth[0]


def _lit(points: np.ndarray, light: Light, shadow: np.ndarray) -> np.ndarray:
    """(N,) share of the light that arrives at points (3, N), 0..1: the shadow map compared at 3 × 3 texels."""
    size = len(shadow)
    below = light.position[1].astype(np.float32) - points[1]
    scale = np.float32(size / 2 / SHADOW_REACH) / np.maximum(below, 0.05)
    x = (points[0] - np.float32(light.position[0])) * scale + np.float32(size / 2)
    y = (points[2] - np.float32(light.position[2])) * scale + np.float32(size / 2)
    inside = (x > 2) & (x < size - 2) & (y > 2) & (y < size - 2) & (below > 0.05)
    x, y = np.where(inside, x, 2), np.where(inside, y, 2)
    column, row = x.astype(np.int32), y.astype(np.int32)
    x, y = x - column, y - row  # a window two texels wide slides over three: no steps at their edges
    across, along = (1 - x, np.float32(1), x), (1 - y, np.float32(1), y)
    limit = np.float32(0.975) * below - np.float32(0.025)  # a bias, so that no surface shades itself
    first = (row - 1) * size + column - 1
    flat = shadow.ravel()
    total = np.zeros(points.shape[1], np.float32)
    for i in range(3):
        for j in range(3):
            total += (flat[first + (i * size + j)] >= limit) * (along[i] * across[j])
    return np.where(inside, total / 4, 1)


def _surfaces(solids: Solids, room: Room) -> dict[str, np.ndarray]:
    """Tables with one row per solid, then one per face of the room."""
    looks = [s.surface for s in solids.solids]
    looks += [room.floor, room.ceiling, room.walls[0], room.walls[0], room.walls[1], room.walls[1], room.skirting]
    return {
        'colour': np.array([s.colour for s in looks], np.float32),
        'second': np.array([s.second for s in looks], np.float32),
        'pattern': np.array([s.pattern for s in looks], np.float32),
        'period': np.array([s.period for s in looks], np.float32),
        'offset': np.array([s.offset for s in looks], np.float32),
        'turned': np.array([s.turned for s in looks], bool),
        'gloss': np.array([s.gloss for s in looks], np.float32),
        'glow': np.array([s.glow for s in looks], np.float32),
    }


def _normals_and_uv(solids: Solids, hit: np.ndarray, points: np.ndarray):
    """World normals (3, N) and surface coordinates in metres (2, N) of the solids' hit points (3, N)."""
    shape = np.array([s.shape for s in solids.solids])[hit]
    to_local = solids.to_local.astype(np.float32)[hit]  # (N, 3, 3)
    half = np.array([s.half for s in solids.solids], np.float32)[hit].T  # (3, N)
    local = np.einsum('nij,jn->in', to_local, points - solids.centre.astype(np.float32)[hit].T)
    normal = np.zeros_like(local)
    metres = local * half
    uv = np.zeros((2, len(hit)), np.float32)

    box = np.flatnonzero(shape == BOX)
    axis = np.abs(local[:, box]).argmax(0)
    normal[axis, box] = np.sign(local[axis, box])
    uv[:, box] = metres[np.array([[2, 0, 0], [1, 2, 1]])[:, axis], box]

    ball = np.flatnonzero(shape == ELLIPSOID)
    normal[:, ball] = local[:, ball]
    uv[0, ball] = np.arctan2(local[0, ball], local[2, ball]) * half[0, ball]
    uv[1, ball] = np.arcsin(np.clip(local[1, ball], -1, 1)) * half[1, ball]

    tube = np.flatnonzero(shape == FRUSTUM)
    taper = np.array([s.taper for s in solids.solids], np.float32)[hit[tube]].T
    x, y, z = local[:, tube]
    slope = (taper[1] - taper[0]) / 2
    distance = np.hypot(x, z)
    cap = np.abs(1 - np.abs(y)) < np.abs(distance - (taper[0] + taper[1]) / 2 - slope * y)
    normal[0, tube], normal[1, tube], normal[2, tube] = np.where(
        cap, [0 * x, np.sign(y), 0 * x], [x, -slope * distance, z]
    )
    angle = np.arctan2(x, z) * half[0, tube]
    uv[:, tube] = np.where(cap, metres[:, tube][[0, 2]], [angle, metres[1, tube]])

    normal = np.einsum('nij,in->jn', to_local, normal)
    return normal / np.maximum(np.sqrt(_dot(normal, normal)), 1e-6), uv


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


class _Shader:
    """What shading needs of a frame, prepared once."""

    def __init__(self, solids: Solids, room: Room, light: Light, camera: Camera, xs, ys, shadow_size: int):
        self.args = solids, room, light, camera, _surfaces(solids, room), _shadow_map(solids, light, shadow_size)
        gx = ((xs - camera.size[0] / 2) / camera.focal).astype(np.float32)[:, None, :]
        gy = ((ys - camera.size[1] / 2) / camera.focal).astype(np.float32)[:, :, None]
        basis = camera.basis.astype(np.float32)
        self.rays = np.stack([basis[k, 2] + gx * basis[k, 0] + gy * basis[k, 1] for k in range(3)])  # (3, G, H, W)

    def __call__(self, grid: int, where: np.ndarray, depth: np.ndarray, hit: np.ndarray) -> np.ndarray:
        """Linear radiance (3, N) at the flat indices `where` of a grid."""
        rays = self.rays[:, grid].reshape(3, -1)[:, where]
        depth, hit = depth[grid].ravel()[where], hit[grid].ravel()[where]
        radiance = np.empty((3, len(where)), np.float32)
        for start in range(0, len(where), CHUNK):
            part = slice(start, start + CHUNK)
            radiance[:, part] = _shade_rays(*self.args, rays[:, part], depth[part], hit[part])
        return np.minimum(radiance, 2.5)  # a lamp bleeds no further over its edge


def _shade_rays(solids, room, light, camera, table, shadow, rays, depth, hit) -> np.ndarray:
    """Linear radiance (3, N) where the rays (3, N) end."""
    count = len(solids.solids)
    points = camera.eye.astype(np.float32)[:, None] + depth * rays  # (3, N)

    normal, uv = np.zeros_like(points), np.zeros((2, len(hit)), np.float32)
    face = hit - count
    inner = np.flatnonzero(face >= 0)
    axis = np.array([1, 1, 2, 2, 0, 0])[face[inner]]
    normal[axis, inner] = np.array([1, -1, 1, -1, 1, -1], np.float32)[face[inner]]
    uv[:, inner] = points[np.array([[2, 0, 0], [1, 2, 1]])[:, axis], inner]
    solid = np.flatnonzero(face < 0)
    if len(solid):
        normal[:, solid], uv[:, solid] = _normals_and_uv(solids, hit[solid], points[:, solid])

    look = np.where((face >= 2) & (points[1] < SKIRTING), count + 6, hit)
    period = table['period'][look]
    view = rays / np.sqrt(_dot(rays, rays))
    facing = np.abs(_dot(normal, view))
    footprint = depth / camera.focal / period / np.sqrt(np.maximum(facing, 0.05))
    uv = np.where(table['turned'][look], uv[::-1], uv) / period + table['offset'][look].T
    mix, tone = sample(table['pattern'][look], uv, footprint).T
    first = table['colour'][look].T
    albedo = (first + (table['second'][look].T - first) * mix) * tone

    to_light = light.position.astype(np.float32)[:, None] - points
    distance2 = _dot(to_light, to_light)
    to_light /= np.sqrt(distance2)
    lambert = np.maximum(_dot(normal, to_light), 0)
    lit = _lit(points, light, shadow) / (1 + distance2 / 6)
    half_way = to_light - view
    shine = np.maximum(_dot(normal, half_way), 0) ** 2 / np.maximum(_dot(half_way, half_way), 1e-6)  # cos²
    shine = shine * shine * (shine * shine)
    shine = table['gloss'][look] * lit * (shine * shine * (shine * shine))
    sky = 0.72 + 0.28 * normal[1]  # upward faces see more of the bright upper room
    # corners of the room receive less of the light that walls send back
    extent = room.extent.astype(np.float32)[:, None]
    gx, gy, gz = np.minimum(np.abs(points), np.abs(extent - points))
    gap = np.maximum(np.minimum(gx, gy), np.minimum(np.maximum(gx, gy), gz))  # to the second nearest face
    sky *= 1 - 0.35 * np.exp(-4 * gap)
    side = np.maximum(light.side.astype(np.float32) @ normal, 0)
    radiance = albedo * (
        light.colour[:, None] * (lambert * lit)
        + light.ambient[:, None] * sky
        + light.side_colour[:, None] * side
        + table['glow'][look]
    )
    radiance += light.colour[:, None] * shine
    return radiance


def render(solids: Solids, room: Room, light: Light, camera: Camera, shadow_size: int = 160):
    """Render a frame; the shadow map is shadow_size pixels square: the nearer the camera, the more are needed.

    Returns:
        radiance (H, W, 3) float32 linear; depth (H, W) float32 metres; hit (H, W) int32, the index of the solid at
        each pixel's centre, or the number of solids + 0 for the floor, + 1 for the ceiling, + 2 to 5 for the walls.
    """
    width, height = camera.size
    # grid 0: centres (one spare row and column), grid 1: corners
    xs = np.stack([np.arange(width + 1) + 0.5, np.arange(width + 1)])
    ys = np.stack([np.arange(height + 1) + 0.5, np.arange(height + 1)])
    depth, hit = _cast_room(room, camera, xs, ys, len(solids.solids))
    if solids.solids:
        solids.cast(camera, xs, ys, depth, hit)
    shade = _Shader(solids, room, light, camera, xs, ys, shadow_size)
    centre = shade(0, np.arange(depth[0].size), depth, hit).reshape(3, height + 1, width + 1)[:, :-1, :-1]
    depth_centre, hit_centre = depth[0, :-1, :-1], hit[0, :-1, :-1]
    edge = _edges(hit_centre, hit[1], centre.sum(0))
    corner = np.zeros((3, height + 1, width + 1), np.float32)
    corner[:, edge] = shade(1, np.flatnonzero(edge), depth, hit)
    # where nothing changes around a corner, the pixel's own colour stands for it
    radiance = 0.5 * centre
    for window in np.ndindex(2, 2):
        y, x = (slice(k, k + n) for k, n in zip(window, (height, width), strict=True))
        radiance += 0.125 * np.where(edge[y, x], corner[:, y, x], centre)
    return radiance.transpose(1, 2, 0), depth_centre, hit_centre


def _edges(hit: np.ndarray, corner_hit: np.ndarray, brightness: np.ndarray) -> np.ndarray:
    """(H + 1, W + 1) corners around which solids or brightness change; hit and brightness are the centres', (H, W)."""
    hit, brightness = np.pad(hit, 1, mode='edge'), np.pad(brightness, 1, mode='edge')
    around = [np.s_[y : y + corner_hit.shape[0], x : x + corner_hit.shape[1]] for y in (0, 1) for x in (0, 1)]
    low = np.minimum.reduce([brightness[window] for window in around])
    high = np.maximum.reduce([brightness[window] for window in around])
    return (high > 1.15 * low + 0.01) | np.logical_or.reduce([hit[window] != corner_hit for window in around])


def contact_shade(depth: np.ndarray) -> np.ndarray:
    """(H, W) factor below 1 just behind depth edges and in creases: unsharp masking of the depth (Luft et al. 2006)."""
    log_depth = np.log(depth)
    behind = log_depth - cv2.GaussianBlur(log_depth, (0, 0), depth.shape[1] / 64)
    return 1 - np.clip(2.2 * behind, 0, 0.3)


def develop(radiance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Linear radiance (H, W, 3) to an sRGB photograph, uint8: exposure, white balance, vignette, noise."""
    height, width = radiance.shape[:2]
    exposure = 0.42 / np.clip(radiance.mean(), 0.08, 2) * rng.uniform(0.75, 1.25)
    balance = rng.normal(1, 0.045, 3)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    vignette = 1 - rng.uniform(0, 0.16) * (x * x + y * y)
    image = radiance * (exposure * balance).astype(np.float32) * vignette[..., None].astype(np.float32)
    image = np.where(image > 0.6, 1 - 0.4 * np.exp(-(image - 0.6) / 0.4), image)  # a soft shoulder, not a hard clip
    image = np.sqrt(np.maximum(image, 0)) * 255  # close to the sRGB curve
    grain = rng.standard_normal((height, width, 3), dtype=np.float32)
    image += rng.uniform(0.8, 3.2) * grain
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
