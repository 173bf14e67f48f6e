"""Procedural surface patterns, drawn once per process into one atlas that a whole frame samples in a single look-up.

A pattern is two tileable maps: `mix` moves the colour from the surface's first to its second, `tone` darkens it.
"""

from functools import cache

import cv2
import numpy as np

TILE = 128  # texels per period
PAD = 2  # wrapped border, so that bilinear look-ups never see the neighbouring tile
BLURS = (0.0, 1.0, 2.2, 5.0, 12.0)  # texels; a level per doubling of the footprint of a pixel, roughly

PATTERNS = (
    'plain', 'cloud', 'planks', 'grain', 'checker', 'tiles', 'brick', 'stripes', 'pinstripes', 'plaid', 'dots',
    'diamonds', 'parquet', 'weave', 'marble', 'speckle', 'panels', 'sky', 'screen',
)  # fmt: skip


def _noise(rng: np.random.Generator, cells_y: int, cells_x: int) -> np.ndarray:
    """Smooth tileable noise of mean 0.5, (TILE, TILE) in 0..1, with cells_y × cells_x random knots."""
    knots = np.pad(rng.random((cells_y, cells_x), dtype=np.float32), 3, mode='wrap')
    y = (np.arange(TILE, dtype=np.float32) + 0.5) * cells_y / TILE + 2.5
    x = (np.arange(TILE, dtype=np.float32) + 0.5) * cells_x / TILE + 2.5
    map_x, map_y = np.meshgrid(x, y)
    return np.clip(cv2.remap(knots, map_x, map_y, cv2.INTER_CUBIC), 0, 1)


def _fractal(rng: np.random.Generator, cells: int = 3, stretch: int = 1) -> np.ndarray:
    octaves = [_noise(rng, cells * 2**i, max(1, cells * 2**i // stretch)) * 0.5**i for i in range(4)]
    noise = np.sum(octaves, axis=0)
    return (noise - noise.min()) / np.ptp(noise)


def _rows(rng: np.random.Generator, rows: int, per_row: int, joint: float) -> tuple[np.ndarray, np.ndarray]:
    """Staggered courses (bricks, planks): a random value per piece, and the mask of the joints."""
    v, u = np.mgrid[0:TILE, 0:TILE].astype(np.float32) / TILE
    row = (v * rows).astype(int)
    shift = rng.random(rows) if per_row == 1 else (np.arange(rows) % 2) * 0.5
    along = u * per_row + shift[row]
    piece = rng.random((rows, per_row))[row, along.astype(int) % per_row]
    edge = np.minimum(np.abs(v * rows % 1 - 0.5), 0.5) > 0.5 - joint
    edge |= np.abs(along % 1 - 0.5) > 0.5 - joint * per_row / rows
    return piece.astype(np.float32), edge


def _draw(name: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The pattern's mix and tone, each (TILE, TILE)."""
    v, u = np.mgrid[0:TILE, 0:TILE].astype(np.float32) / TILE
    one = np.ones((TILE, TILE), np.float32)
    dirt = 0.93 + 0.1 * _fractal(rng)
    match name:
        case 'plain':
            return 0.06 * _fractal(rng), dirt
        case 'cloud':
            return _fractal(rng, 2), dirt
        case 'planks':
            piece, joint = _rows(rng, 8, 1, 0.035)
            return 0.55 * piece + 0.45 * _fractal(rng, 24, 12), np.where(joint, 0.55, dirt)
        case 'grain':
            wave = 0.5 + 0.5 * np.sin(2 * np.pi * (6 * v + 0.7 * _fractal(rng, 4, 4)))
            return 0.35 * wave + 0.65 * _fractal(rng, 24, 12), dirt
        case 'checker':
            return ((u * 4).astype(int) + (v * 4).astype(int)) % 2 * one, dirt
        case 'tiles':
            joint = np.maximum(np.abs(u * 4 % 1 - 0.5), np.abs(v * 4 % 1 - 0.5)) > 0.465
            piece = np.kron(rng.random((4, 4), dtype=np.float32), np.ones((TILE // 4, TILE // 4), np.float32))
            return np.where(joint, 1, 0.25 * piece), np.where(joint, 0.85, dirt)
        case 'brick':
            piece, joint = _rows(rng, 12, 4, 0.09)
            return np.where(joint, 1, 0.45 * piece), np.where(joint, 0.9, 0.85 + 0.2 * _fractal(rng, 8))
        case 'stripes':
            return (u * 6 % 1 < 0.5) * one, dirt
        case 'pinstripes':
            return (u * 16 % 1 < 0.22) * one, dirt
        case 'plaid':
            bands = 0.5 * (u * 4 % 1 < 0.4) + 0.5 * (v * 4 % 1 < 0.4)
            return np.where((u * 4 % 1 - 0.7) ** 2 < 0.002, 1, bands), dirt
        case 'dots':
            offset = (v * 6).astype(int) % 2 * 0.5
            return ((((u * 6 + offset) % 1 - 0.5) ** 2 + (v * 6 % 1 - 0.5) ** 2) < 0.055) * one, dirt
        case 'diamonds':
            return (np.abs(u * 5 % 1 - 0.5) + np.abs(v * 5 % 1 - 0.5) < 0.34) * one, dirt
        case 'parquet':
            across = ((u * 4).astype(int) + (v * 4).astype(int)) % 2 == 0
            strip = np.where(across, u * 16, v * 16)
            piece = rng.random((16, 16))[(u * 16).astype(int), (v * 16).astype(int) // 4 * 4]
            piece = np.where(across, piece, rng.random((16, 16))[(v * 16).astype(int), (u * 16).astype(int) // 4 * 4])
            return piece * one, np.where(np.abs(strip % 1 - 0.5) > 0.44, 0.7, dirt)
        case 'weave':
            return 0.5 + 0.25 * np.sin(2 * np.pi * 24 * u) + 0.25 * np.sin(2 * np.pi * 24 * v), dirt
        case 'marble':
            return np.abs(np.sin(np.pi * (2 * u + 2 * v + 2.4 * _fractal(rng, 3)))) ** 0.35 * one, one
        case 'speckle':
            return (_noise(rng, 48, 48) > 0.68) * one, dirt
        case 'panels':  # a football's dark patches
            offset = (v * 4).astype(int) % 2 * 0.5
            return ((((u * 4 + offset) % 1 - 0.5) ** 2 + (v * 4 % 1 - 0.5) ** 2) < 0.075) * one, dirt
        case 'sky':  # what a window shows: bright above, a darker skyline below
            skyline = 0.3 + 0.22 * _noise(rng, 1, 5)[:1] + 0.05 * _noise(rng, 1, 40)[:1]
            return (v > skyline) * 0.8 + 0.2 * _fractal(rng), 0.85 + 0.15 * v
        case 'screen':
            return (_noise(rng, 4, 5) > 0.52) * 0.6 + 0.4 * _noise(rng, 9, 9), 0.4 + 0.6 * _fractal(rng, 4)
    raise ValueError(f'no pattern {name!r}; there are {PATTERNS}')


@cache
def atlas() -> np.ndarray:
    """(len(PATTERNS) * side, len(BLURS) * side, 2) float32 with side = TILE + 2 * PAD.

    A row per pattern, a column per blur. The same in every process: its seed is fixed.
    """
    rows = []
    for index, name in enumerate(PATTERNS):
        tile = np.stack(_draw(name, np.random.default_rng([20, index])), axis=-1).astype(np.float32)
        row = []
        for blur in BLURS:
            wide = np.pad(tile, ((TILE // 2,) * 2, (TILE // 2,) * 2, (0, 0)), mode='wrap')
            cut = slice(TILE // 2 - PAD, TILE // 2 + TILE + PAD)
            row.append((cv2.GaussianBlur(wide, (0, 0), blur) if blur else wide)[cut, cut])
        rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows, axis=0)


def sample(pattern: np.ndarray, uv: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """Look up mix and tone.

    Args:
        pattern: (N,) indices into PATTERNS.
        uv: (2, N) texture coordinates in periods, any range.
        footprint: (N,) periods that a pixel covers; picks the blur, so that far patterns fade instead of flicker.

    Returns:
        (N, 2) float32 in 0..1.
    """
    side = TILE + 2 * PAD
    level = np.clip(np.log2(np.maximum(footprint * TILE, 1e-3)), 0, len(BLURS) - 1.01)
    xy = (uv - np.floor(uv)) * TILE + (PAD - 0.5)  # the centre of texel 0 is at u = 0.5 / TILE
    map_x = xy[0] + np.rint(level) * side
    map_y = xy[1] + pattern * side
    # cv2.remap takes at most 32767 columns: fold the list of samples into rows
    columns = 4096
    count = len(map_x)
    rows = -(-count // columns)
    padded = np.zeros((2, rows * columns), np.float32)
    padded[0, :count], padded[1, :count] = map_x, map_y
    folded_x, folded_y = padded.reshape(2, rows, columns)
    return cv2.remap(atlas(), folded_x, folded_y, cv2.INTER_LINEAR).reshape(-1, 2)[:count]
