"""Images of users: files, folders, arrays, PIL images."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from rich.progress import track

from ..datasets import IMAGES, image_fault
from ..errors import RunError
from ..io import AtomicBackend

Images = str | Path | np.ndarray | Image.Image | Sequence[Any]
Source = str | np.ndarray  # a file, or (H, W, 3), uint8, BGR: what OpenMMLab's inferencers take


def find_images(path: str | Path) -> list[str]:
    """The image itself, or all images of a folder by name.

    Raises:
        FileNotFoundError: There is none.
        ValueError: The file's format is not supported.
    """
    path = Path(path)
    if path.is_file() and path.suffix.lower() not in IMAGES:
        raise ValueError(f'{path} is not a supported image, expected one of {", ".join(IMAGES)}')
    found = [path] if path.is_file() else sorted(p for p in path.glob('*') if p.suffix.lower() in IMAGES)
    if not found:
        raise FileNotFoundError(f'no image at {path}; folders are searched for {", ".join(IMAGES)}')
    return [str(p) for p in found]


def require_names(images: list[str]) -> None:
    """Refuse images whose pictures would be one file.

    Raises:
        ValueError: Two differ in their suffix only.
    """
    names = [Path(image).stem for image in images]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f'several images have one name, and their pictures would be one: {", ".join(twice[:5])}')


def is_one(images: Images) -> bool:
    """Whether this is one image, rather than a list or a folder of them."""
    return not isinstance(images, list | tuple) and not (isinstance(images, str | Path) and Path(images).is_dir())


def as_list(images: Images) -> list[Any]:
    """One image, a list or a folder of images -> a list of images, as they were given; files must exist.

    Raises:
        FileNotFoundError: No such file, or no image in a folder.
        ValueError: A file's format is not supported, or a list is empty.
    """
    if isinstance(images, str | Path):
        return list(find_images(images))
    if not isinstance(images, list | tuple):
        return [images]
    if not images:
        raise ValueError('found an empty list, expected at least one image')
    return [one for image in images for one in as_list(image)]


def in_batches(images: Sequence[Any], batch_size: int, progress: bool) -> Iterator[Sequence[Any]]:
    """Parts of a list, optionally with a progress bar.

    Raises:
        ValueError: ``batch_size`` is not a positive integer.
    """
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f'batch_size is {batch_size!r}, expected a positive integer')
    for start in track(range(0, len(images), batch_size), 'Inference', disable=not progress):
        yield images[start : start + batch_size]


def as_source(image: str | np.ndarray | Image.Image) -> Source:
    """An image as OpenMMLab's inferencers take it.

    Args:
        image: A file, an array (H, W, 3) of uint8 in RGB, or a PIL image.

    Raises:
        TypeError: It is none of these.
        ValueError: The array has another shape or type.
    """
    if isinstance(image, str):
        return image
    if isinstance(image, Image.Image):
        image = np.asarray(ImageOps.exif_transpose(image).convert('RGB'))  # upright, as files are read
    if not isinstance(image, np.ndarray):
        raise TypeError(
            f'found an image of type {type(image).__name__}, expected a path, an array (H, W, 3) of uint8 in RGB, a '
            'PIL image, or a list of these'
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(
            f'found an array of shape {image.shape} and type {image.dtype}, expected (H, W, 3) of uint8 in RGB'
        )
    return np.ascontiguousarray(image[..., ::-1])


def read_image(source: Source) -> np.ndarray:
    """An image (H, W, 3), uint8, RGB.

    Raises:
        RunError: The file cannot be read as an image.
    """
    import mmcv

    fault = image_fault(source) if isinstance(source, str) else None
    if fault:
        raise RunError(fault)
    return np.ascontiguousarray(mmcv.imread(source)[..., ::-1])


def write_image(path: str | Path, pixels: np.ndarray) -> None:
    """Write an image file atomically, in the format of its suffix.

    Args:
        path: The file; its folder is made.
        pixels: (H, W, 3) of uint8 in RGB, or (H, W) of uint8 or uint16.

    Raises:
        ValueError: The suffix is not one of an image format.
    """
    formats = Image.registered_extensions()
    suffix = Path(path).suffix.lower()
    if suffix not in formats:
        raise ValueError(
            f'{path} has no suffix of an image format, expected .png, .jpg or another of {", ".join(IMAGES)}'
        )
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, formats[suffix])
    AtomicBackend().put(buffer.getvalue(), path)
