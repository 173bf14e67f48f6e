"""Pictures of attention, features and gates: the trunk alone beside the adapted trunk."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from ..io import AtomicBackend
from .streams import Streams

DPI = 110
FROZEN, ADAPTED = 'frozen trunk', 'adapted'


def draw_attention(image: np.ndarray, streams: Streams, index: int, block: int, patch: int) -> np.ndarray:
    """Where the class token looks in a block: the image, the maps of both streams, their difference, an overlay.

    Maps are means over heads, in multiples of uniform attention: 1 is what a patch has if all tokens have the same.
    Both streams share one scale, which leaves out the greatest 0.5 % of the patches.

    Args:
        image: (H, W, 3), uint8, RGB.
        streams: As `compare_streams` gives them.
        index: Which image of the batch it is.
        block: The block, counted from 0.
        patch: Pixels along one side of a patch.

    Returns:
        (H', W', 3), uint8, RGB.
    """
    frozen, adapted = (
        stream.attention[block][index].mean(dim=0).cpu().numpy() * streams.num_tokens
        for stream in (streams.frozen, streams.adapted)
    )
    two = streams.adapted is not streams.frozen
    scale = dict(cmap='inferno', vmin=0, vmax=_top(frozen, adapted))
    figure, axes = _grid(1, 5 if two else 3, image.shape, bars=1 + two)
    figure.suptitle(f"The class token's attention to the patches in block {block}, 1 = uniform", fontsize=11)
    _show(axes[0], image, 'image')
    if two:
        _show(axes[1], frozen, FROZEN, image, patch, **scale)
        change = adapted - frozen
        span = _top(np.abs(change))
        shown = _show(axes[3], change, 'difference', image, patch, cmap='RdBu_r', vmin=-span, vmax=span)
        _bar(figure, shown, axes[3], extend='both')
    shown = _show(axes[2 if two else 1], adapted, ADAPTED if two else 'attention', image, patch, **scale)
    _bar(figure, shown, axes[2 if two else 1], extend='max')
    _show(axes[-1], image.mean(axis=2), 'overlay', image, cmap='gray', vmin=0, vmax=255)
    _show(axes[-1], adapted, None, image, patch, alpha=0.65, interpolation='bilinear', **scale)
    return _picture(figure)


def draw_blocks(image: np.ndarray, streams: Streams, index: int, patch: int) -> np.ndarray:
    """The same maps of every block, means over heads; arguments and result as of `draw_attention`."""
    pairs = {
        f'block {block}' + ', adapted' * (block in streams.updates): (
            streams.frozen.attention[block][index].mean(dim=0),
            streams.adapted.attention[block][index].mean(dim=0),
        )
        for block in sorted(streams.adapted.attention)
    }
    return _draw_pairs(
        "The class token's attention to the patches, block by block, 1 = uniform", image, streams, pairs, patch
    )


def draw_heads(image: np.ndarray, streams: Streams, index: int, block: int, patch: int) -> np.ndarray:
    """The same maps of every head of a block; arguments and result as of `draw_attention`."""
    frozen, adapted = (stream.attention[block][index] for stream in (streams.frozen, streams.adapted))
    pairs = {f'head {head}': (frozen[head], adapted[head]) for head in range(len(frozen))}
    title = f"The class token's attention to the patches in block {block}, head by head, 1 = uniform"
    return _draw_pairs(title, image, streams, pairs, patch)


def draw_features(image: np.ndarray, streams: Streams, index: int, patch: int) -> np.ndarray:
    """Patch tokens as colours, at every output: red, green and blue are their first three principal components.

    The components are those of both streams' patches together, so that a colour means the same in both; a title
    says how much of the variance they hold.

    Args:
        image: (H, W, 3), uint8, RGB.
        streams: As `compare_streams` gives them.
        index: Which image of the batch it is.
        patch: Pixels along one side of a patch.

    Returns:
        (H', W', 3), uint8, RGB.
    """
    rows = [streams.frozen] if streams.adapted is streams.frozen else [streams.frozen, streams.adapted]
    blocks = sorted(streams.adapted.maps)
    figure, axes = _grid(len(rows), 1 + len(blocks), image.shape)
    title = 'Patch tokens, their three principal components as red, green and blue, and their share of the variance'
    figure.suptitle(title, fontsize=11)
    axes = np.asarray(axes, dtype=object).reshape(len(rows), -1)
    for line, name in zip(axes, (FROZEN, ADAPTED), strict=False):
        _show(line[0], image, None)
        line[0].set_ylabel(name if len(rows) > 1 else '', fontsize=10)
    axes[0, 0].set_title('image', fontsize=10)
    for column, block in enumerate(blocks, start=1):
        maps = torch.stack([row.maps[block][index] for row in rows])  # (rows, D, h, w)
        colours, share = principal_colours(maps)
        for line, values in zip(axes, colours, strict=True):
            _show(line[column], values, None, image, patch)
        axes[0, column].set_title(f'block {block}: {100 * share:.0f} %', fontsize=10)
    return _picture(figure)


def draw_gates(gates: Mapping[int, Tensor], mixing: Mapping[int, float], updates: Mapping[int, Tensor]) -> np.ndarray:
    """What DAGA does after each block: its gates, its mixing weight, and how far it moves the patches.

    Args:
        gates: (…, D) by block, all images together; the box holds half of the values, the whiskers 98 %.
        mixing: By block.
        updates: (images,) by block: the norm of what is added, relative to the patches'; the mean is drawn.

    Returns:
        (H', W', 3), uint8, RGB.

    Raises:
        ValueError: No adapter has gates.
    """
    if not gates:
        raise ValueError('no adapter of this backbone has gates')
    blocks = sorted(gates)
    places = np.arange(len(blocks))
    figure = Figure(figsize=(min(max(9.0, 0.9 * len(blocks)), 10.8), 3.0), dpi=DPI, layout='constrained')
    left, middle, right = figure.subplots(1, 3)
    values = [gates[block].flatten().cpu().numpy() for block in blocks]
    left.boxplot(values, positions=places, whis=(1, 99), showfliers=False, patch_artist=True,
                 boxprops=dict(facecolor='#cfe3f5'), medianprops=dict(color='#d1495b'))  # fmt: skip
    left.axhline(0.5, color='0.6', linewidth=0.8, linestyle=':')
    left.set(title='gates of all channels', ylabel='gate')
    middle.bar(places, [mixing[block] for block in blocks], color='#2e86ab')
    middle.axhline(0, color='0.3', linewidth=0.8)
    middle.set(title='mixing weight')
    middle.set_ylim(bottom=min(0, *(1.05 * value for value in mixing.values())))
    right.bar(places, [100 * float(updates[block].mean()) for block in blocks], color='#5b8c5a')
    right.set(title='change of the patches', ylabel='% of their norm')
    right.set_ylim(bottom=0)
    every = -(-len(blocks) // 12)  # more numbers would run into each other
    for axis in (left, middle, right):
        axis.set_xticks(places[::every], [str(block) for block in blocks[::every]])
        axis.set_xlabel('after block')
        axis.spines[['top', 'right']].set_visible(False)
    return _picture(figure)


def principal_colours(maps: Tensor) -> tuple[np.ndarray, float]:
    """Maps as colours by their first three principal components.

    Args:
        maps: (n, D, h, w) with D ≥ 3.

    Returns:
        (n, h, w, 3), float in [0, 1], each colour stretched from the 1st to the 99th percentile; and the share of the
        variance that the three components hold. A component points where its greatest weight is positive, so that
        the same maps have the same colours.
    """
    patches = maps.movedim(1, -1).flatten(0, 2).double()  # (n·h·w, D)
    patches = patches - patches.mean(dim=0)
    variances, directions = torch.linalg.eigh(patches.T @ patches)  # ascending
    directions = directions[:, -3:].flip(1)  # (D, 3)
    directions = directions * directions.gather(0, directions.abs().argmax(dim=0, keepdim=True)).sign()
    components = patches @ directions
    low, high = torch.quantile(components, torch.tensor([0.01, 0.99]).to(components), dim=0)
    colours = ((components - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    n, _, h, w = maps.shape
    share = (variances[-3:].sum() / variances.sum().clamp(min=1e-12)).item()
    return colours.unflatten(0, (n, h, w)).float().cpu().numpy(), share


def write_picture(path: str | os.PathLike, picture: np.ndarray) -> None:
    """Write (H, W, 3), uint8, RGB as a file of the suffix's kind; it appears under its name only when it is whole."""
    _, data = cv2.imencode(Path(path).suffix, picture[..., ::-1])
    AtomicBackend().put(data.tobytes(), os.fspath(path))


# -- parts of figures --------------------------------------------------------------------------------------------------


def _draw_pairs(
    title: str, image: np.ndarray, streams: Streams, pairs: Mapping[str, tuple[Tensor, Tensor]], patch: int
) -> np.ndarray:
    """Maps of both streams one above the other, the image first, on one scale."""
    two = streams.adapted is not streams.frozen
    values = {
        name: [part.cpu().numpy() * streams.num_tokens for part in both[: 1 + two]] for name, both in pairs.items()
    }
    scale = dict(cmap='inferno', vmin=0, vmax=_top(*(part for both in values.values() for part in both)))
    columns = min(5, 1 + len(pairs))
    lines = -(-(1 + len(pairs)) // columns)
    figure, axes = _grid(lines * (1 + two), columns, image.shape, bars=1)
    figure.suptitle(title, fontsize=11)
    cells = np.asarray(axes, dtype=object).reshape(lines, 1 + two, columns)
    for axis in cells.flat:
        axis.axis('off')
    _show(cells[0, 0, 0], image, 'image')
    shown: Any = None
    for place, (name, both) in enumerate(values.items(), start=1):
        line, column = divmod(place, columns)
        for row, part in enumerate(both):
            axis = cells[line, row, column]
            axis.axis('on')
            shown = _show(axis, part, None if row else name, image, patch, **scale)
            if two and column == (line == 0):
                axis.set_ylabel((FROZEN, ADAPTED)[row], fontsize=9)
    bar = figure.colorbar(shown, ax=list(cells.flat), fraction=0.03, pad=0.01, aspect=30, extend='max')
    bar.ax.tick_params(labelsize=9)
    return _picture(figure)


def _grid(rows: int, columns: int, shape: Sequence[int], bars: int = 0) -> tuple[Figure, Any]:
    """A figure of cells in the images' shape, with room for some colour bars."""
    width = 1.9
    height = min(max(width * shape[0] / shape[1], 0.8), 3.0)
    size = (columns * width + 0.5 * bars + 0.2, rows * (height + 0.1) + 0.65)
    figure = Figure(figsize=size, dpi=DPI, layout='constrained')
    return figure, figure.subplots(rows, columns)


def _show(
    axis: Axes, values: np.ndarray, title: str | None, image: np.ndarray | None = None, patch: int = 1, **options: Any
) -> Any:
    """Show an image, or a map in the place of its image, of which it may cover a padded rim."""
    extent = None
    if image is not None:
        extent = (0, values.shape[1] * patch, values.shape[0] * patch, 0)
    shown = axis.imshow(values, extent=extent, **({'interpolation': 'nearest'} | options))
    if image is not None:
        axis.set(xlim=(0, image.shape[1]), ylim=(image.shape[0], 0))
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    if title:
        axis.set_title(title, fontsize=10)
    return shown


def _bar(figure: Figure, shown: Any, axis: Axes, extend: str) -> None:
    """A colour bar at the right of a panel and, with its ends, as high."""
    bar = figure.colorbar(shown, cax=axis.inset_axes((1.03, 0, 0.05, 1)), extend=extend, extendfrac=0.06)
    bar.ax.tick_params(labelsize=9)


def _top(*maps: np.ndarray) -> float:
    """The end of a scale: all but the greatest 0.5 % of the values; 1 where all are zero."""
    return float(np.quantile(np.concatenate([values.ravel() for values in maps]), 0.995)) or 1.0


def _picture(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
