"""Depth as pictures, files and point clouds."""

import io
import os
from pathlib import Path

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def draw_depth(
    image: np.ndarray, depth: np.ndarray, min_depth: float | None = None, max_depth: float | None = None
) -> np.ndarray:
    """The image, and beside it the depth in colours, with a bar in metres.

    Args:
        image: (H, W, 3), uint8, RGB.
        depth: (H, W), metres; 0, infinite and NaN are no reading and stay grey.
        min_depth: Depth of the first colour; None: the least reading.
        max_depth: Depth of the last colour; None: the greatest reading.

    Returns:
        (H', W', 3), uint8, RGB: both enlarged by a whole number to 480 rows or more, and the bar.

    Raises:
        ValueError: Image and depth of different sizes, or an image of another kind.
    """
    readings = _readings(image, depth)
    known = depth[readings]
    low = min_depth if min_depth is not None else known.min() if known.size else 0.0
    high = max_depth if max_depth is not None else known.max() if known.size else 1.0
    zoom = -(-480 // depth.shape[0])
    height, width = (side * zoom for side in depth.shape)
    gap, bar, words = (round(part * height) for part in (0.02, 0.05, 0.2))
    total = (height + 2 * gap, 2 * width + 2 * gap + bar + words)  # in pixels, all of them
    dpi = 100
    figure = Figure(figsize=(total[1] / dpi, total[0] / dpi), dpi=dpi, facecolor='white')
    canvas = FigureCanvasAgg(figure)

    def axes(start: int, across: int):
        return figure.add_axes((start / total[1], gap / total[0], across / total[1], height / total[0]))

    left, right, scale = axes(0, width), axes(width + gap, width), axes(2 * width + 2 * gap, bar)
    left.imshow(image, interpolation='nearest', aspect='auto')
    right.set_facecolor('0.6')  # seen where there is no reading
    shown = np.ma.masked_where(~readings, depth)
    colours = right.imshow(shown, cmap='turbo_r', vmin=low, vmax=high, interpolation='nearest', aspect='auto')
    for picture in (left, right):
        picture.set(xticks=[], yticks=[])
        picture.spines[:].set_visible(False)
    figure.colorbar(colours, cax=scale, format='{x:.3g} m')
    scale.tick_params(labelsize=0.03 * height * 72 / dpi)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def write_depth_png(path: str | os.PathLike, depth: np.ndarray, scale: float = 1000.0) -> None:
    """Write depth as a 16-bit PNG, the format of the ground truth.

    Args:
        path: The file; its folder must exist. It is written atomically.
        depth: (H, W), metres, 0 to 65535 / scale; 0, infinite and NaN become 0, no reading.
        scale: Steps per metre: 1000 for millimetres, 256 for KITTI.

    Raises:
        ValueError: Depth is not a map, is negative, or does not fit into 16 bits.
    """
    if depth.ndim != 2:
        raise ValueError(f'depth has shape {depth.shape}, expected (height, width)')
    steps = np.rint(np.where(np.isfinite(depth), depth, 0).astype(np.float64) * scale)
    if steps.size and not 0 <= steps.min() <= steps.max() <= 65535:
        raise ValueError(
            f'{path}: depth from {depth.min():g} to {depth.max():g} m does not fit into 16 bits at {scale:g}/m'
        )
    _, data = cv2.imencode('.png', steps.astype(np.uint16))
    _write(path, data.tobytes())


def write_point_cloud(path: str | os.PathLike, image: np.ndarray, depth: np.ndarray, focal_length: float) -> None:
    """Write a coloured point cloud as a binary .ply file, in metres: x to the right, y down, z away from the camera.

    A pinhole camera with square pixels whose principal point is the centre of the image. Pixels without a reading (0,
    infinite, NaN) give no point.

    Args:
        path: The file; its folder must exist. It is written atomically.
        image: (H, W, 3), uint8, RGB.
        depth: (H, W), metres.
        focal_length: In pixels of this image; 518.86 for NYU's.

    Raises:
        ValueError: Image and depth of different sizes, an image of another kind, or a focal length that is not above 0.
    """
    if not focal_length > 0:
        raise ValueError(f'focal_length is {focal_length}, expected pixels above 0')
    readings = _readings(image, depth)
    height, width = depth.shape
    rows, columns = np.nonzero(readings)
    z = depth[readings].astype(np.float32)
    points = np.empty(
        z.size,
        dtype=[('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('red', 'u1'), ('green', 'u1'), ('blue', 'u1')],
    )
    points['x'] = (columns - (width - 1) / 2) * z / focal_length
    points['y'] = (rows - (height - 1) / 2) * z / focal_length
    points['z'] = z
    for channel, name in enumerate(('red', 'green', 'blue')):
        points[name] = image[readings, channel]
    properties = [f'property float {axis}' for axis in 'xyz']
    properties += [f'property uchar {name}' for name in ('red', 'green', 'blue')]
    header = ['ply', 'format binary_little_endian 1.0', f'element vertex {z.size}', *properties, 'end_header', '']
    buffer = io.BytesIO()
    buffer.write('\n'.join(header).encode())
    buffer.write(points.tobytes())
    _write(path, buffer.getvalue())


def _readings(image: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Mask of the readings of depth (H, W), after a check of both shapes."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f'image has shape {image.shape} and type {image.dtype}, expected (height, width, 3) of uint8')
    if depth.shape != image.shape[:2]:
        raise ValueError(f'depth has shape {depth.shape}, expected that of the image, {image.shape[:2]}')
    return np.isfinite(depth) & (depth > 0)


def _write(path: str | os.PathLike, data: bytes) -> None:
    part = Path(f'{os.fspath(path)}.part')
    part.write_bytes(data)
    part.replace(path)
