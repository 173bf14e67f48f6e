"""Which file is at fault, where a data set's pipeline fails or labels are none of its classes."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dataset import Compose

from ..errors import RunError

FILES = ('img_path', 'seg_map_path', 'depth_map_path')
IMAGES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')


class CheckedPipeline(Compose):
    """A data set's pipeline, which says of which file it did not work.

    Args:
        pipeline: What is to be done, as the data set has it.
        classes: The names of the data set's classes; empty if its labels have none.
        ignore_index: In maps of labels, what stands for no class.

    Raises:
        RunError: A file is absent or no readable image, a map has another size than its image, or labels are none of
            the classes. Other errors are those of the pipeline; the files in question are noted on them.
    """

    def __init__(self, pipeline: Compose, classes: Sequence[str] = (), ignore_index: int = 255) -> None:
        self.transforms = pipeline.transforms
        self.classes = classes
        self.ignore_index = ignore_index

    def __call__(self, data: dict) -> Any:
        """The item that the pipeline makes of a data set's entry."""
        files = [data[key] for key in FILES if data.get(key)]
        try:
            item = self._transform(data, files)
        except RunError:
            raise
        except Exception as error:
            if files:
                error.add_note(f'It happened to {" and ".join(files)}')
            raise
        sample = item.get('data_samples') if isinstance(item, Mapping) else None
        if self.classes and sample is not None:
            self._require_known(sample, files)
        return item

    def _transform(self, data: dict, files: list[str]) -> Any:
        compared = False
        for transform in self.transforms:
            try:
                data = transform(data)
            except Exception as error:
                backend = getattr(transform, 'imdecode_backend', 'cv2')
                fault = next(filter(None, (image_fault(file, backend) for file in files)), None)
                if fault is None:
                    raise
                raise RunError(fault) from error
            if data is None:  # the data set takes another image
                return None
            if not compared and {'gt_seg_map', 'ori_shape'} <= data.keys():
                compared = True
                _require_map(data)
        return data

    def _require_known(self, sample: Any, files: list[str]) -> None:
        for labels in _labels(sample):
            unknown = labels[((labels < 0) | (labels >= len(self.classes))) & (labels != self.ignore_index)]
            if unknown.numel():
                raise RunError(
                    f'{files[-1] if files else "the data set"} has the label {int(unknown[0])}, but the data set has '
                    f'the classes 0 to {len(self.classes) - 1}: correct the labels or the classes (metainfo; for '
                    'maps see reduce_zero_label too)'
                )


def check_pipelines(dataset: Any) -> list[Any]:
    """Let a data set, and those inside of one that repeats, joins or slices, say of which file they do not work.

    Returns:
        The data sets that read files, the same objects, each with a `CheckedPipeline`.
    """
    inner = getattr(dataset, 'datasets', None) or [
        getattr(dataset, name) for name in ('dataset', '_dataset') if hasattr(dataset, name)
    ]
    if inner:
        return [plain for part in inner for plain in check_pipelines(part)]
    pipeline = getattr(dataset, 'pipeline', None)
    if not isinstance(pipeline, Compose):
        return []
    if not isinstance(pipeline, CheckedPipeline):
        dataset.pipeline = CheckedPipeline(pipeline, classes_of(dataset), getattr(dataset, 'ignore_index', 255))
    return [dataset]


def classes_of(dataset: Any) -> Sequence[str]:
    """The names of a data set's classes; empty if its labels have none."""
    if 'depth_map_path' in (getattr(dataset, 'data_prefix', None) or {}):  # their classes are kinds of rooms
        return ()
    return (getattr(dataset, 'metainfo', None) or {}).get('classes') or ()


def _labels(sample: Any) -> Iterator[torch.Tensor]:
    """The labels in what mmseg, mmdet and mmpretrain make of one image."""
    if 'gt_sem_seg' in sample and 'data' in sample.gt_sem_seg:  # mmdet's maps go beside boxes, with labels of their own
        yield sample.gt_sem_seg.data
    if 'gt_instances' in sample and 'labels' in sample.gt_instances:
        yield torch.as_tensor(sample.gt_instances.labels)
    if 'gt_label' in sample:
        yield sample.gt_label


def _require_map(data: dict) -> None:
    """A map has one number for each pixel of its image."""
    path, (*size,) = data['seg_map_path'], data['gt_seg_map'].shape
    if len(size) == 3 and size[2] in (3, 4):
        raise RunError(
            f'{path} is a picture of {size[2]} colour channels, expected one channel with the number of the class of '
            'each pixel: convert its colours to numbers'
        )
    expected = [*data['ori_shape'][:2]]
    if size[:2] != expected:
        found, wanted = ('×'.join(map(str, one)) for one in (size[:2], expected))
        raise RunError(f'{path} has {found} pixels, its image {data["img_path"]} {wanted}')


def image_fault(path: str | Path, backend: str = 'cv2') -> str | None:
    """What is wrong with the file of an image; None if nothing is, or if it is of a kind that is not looked into.

    Args:
        path: The file.
        backend: mmcv's name of the library that decodes it.
    """
    path = Path(path)
    if not path.is_file():
        return f'no file {path}'
    if not path.stat().st_size:
        return f'{path} is empty'
    if path.suffix.lower() in IMAGES and not _is_readable(path, backend):
        return f'{path} cannot be read as an image: it is damaged or of another kind. Download it again or remove it'
    return None


def _is_readable(path: Path, backend: str) -> bool:
    """As mmcv's loaders read it: OpenCV 5 reads the half of a JPEG from a file, and not from bytes."""
    from mmcv import imfrombytes

    try:
        return imfrombytes(path.read_bytes(), flag='unchanged', backend=backend) is not None
    except Exception:  # which type it has is up to the library
        return False
