"""The inferencers of mmdet, mmseg and mmpretrain in one form."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from ..engine import panoptic_errors, require_fit, warn_of_normalization
from ..io import AtomicBackend
from .drawing import draw_instances, draw_segmentation
from .images import Source, write_image
from .tiling import Predict, as_dict, detect_in_tiles, encode_instances, segment_in_tiles

Size = tuple[int, int]  # height, width
GEOMETRY = ('CenterCrop', 'Pad', 'Resize', 'ResizeEdge', 'ResizeShortestEdge')  # steps that `size` replaces


class Inferencer(ABC):
    """An inferencer of a task package.

    Args:
        config: Config of the model.
        checkpoint: Its weights; None: the trunk alone, from the backbone's ``init_cfg``.
        device: Device of the computation.

    Attributes:
        task: 'detection', 'segmentation', 'depth' or 'classification'.
        suffix: Suffix of the files that `write` makes.
        upstream: The package's own inferencer.

    Raises:
        ImportError: The task package is not installed.
        ValueError: The checkpoint does not fit the config.
    """

    task: ClassVar[str]
    scope: ClassVar[str]
    suffix: ClassVar[str]
    upstream: Any

    def __init__(self, config: Config, checkpoint: str | None, device: str) -> None:
        self.config = self._prepared(config)
        with self.registries():
            self.upstream = self._build(deepcopy(self.config), checkpoint, device)
        self.model: Any = self.upstream.model
        self._pipelines: dict[Size | None, Any] = {None: self.upstream.pipeline}
        if checkpoint is None:
            self.model.backbone.init_weights()
        else:
            require_fit(self.model, checkpoint)
        warn_of_normalization(self.model)

    def _prepared(self, config: Config) -> Config:
        config = deepcopy(config)
        if 'visualizer' in config:
            config.visualizer.vis_backends = None  # nothing is logged to where runs are compared
        return config

    @abstractmethod
    def _build(self, config: Config, checkpoint: str | None, device: str) -> Any: ...

    def registries(self) -> Any:
        """A context in which names resolve as in the task package."""
        return DefaultScope.overwrite_default_scope(self.scope)

    def batches(self, sources: Sequence[Source], batch_size: int, size: Size | None) -> Iterator[dict]:
        """Inputs of the model's ``test_step``, ``batch_size`` images at once.

        Args:
            sources: Images.
            batch_size: Images in a batch.
            size: (height, width) to which images are resized; None: as the config's test pipeline does.
        """
        if size is not None and size not in self._pipelines:
            config = deepcopy(self.config)
            dataset = config.test_dataloader.dataset
            dataset.pipeline = _resized(dataset.pipeline, size)
            with self.registries():
                self._pipelines[size] = self.upstream._init_pipeline(config)
        self.upstream.pipeline = self._pipelines[size]
        return self.upstream.preprocess(sources, batch_size)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, as the checkpoint has them."""
        return tuple(self.model.dataset_meta['classes'] or ())

    def predict_tiles(self, predict: Predict, image: np.ndarray, size: int, overlap: int) -> Any:
        """The data sample of an image (H, W, 3) that is predicted in tiles; see `tiling`.

        Raises:
            ValueError: Predictions of the task cannot be merged, or ``overlap`` is not in [0, size).
        """
        raise ValueError(f'this model is for {self.task}, expected detection or segmentation to predict in tiles')

    @abstractmethod
    def draw(self, image: np.ndarray, sample: Any, score: float) -> np.ndarray:
        """The image (H, W, 3) with the prediction, uint8, RGB."""

    @abstractmethod
    def write(self, path: Path, sample: Any) -> None:
        """Write the prediction as a file."""


class Detection(Inferencer):
    """Boxes, masks and labels of mmdet as JSON, with masks in COCO's run lengths; panoptic segments also as PNG."""

    task, scope, suffix = 'detection', 'mmdet', '.json'

    def _build(self, config: Config, checkpoint: str | None, device: str) -> Any:
        from mmdet.apis import DetInferencer

        with panoptic_errors():
            return DetInferencer(config, checkpoint, device, show_progress=False)

    def batches(self, sources: Sequence[Source], batch_size: int, size: Size | None) -> Iterator[dict]:
        return (batch for _, batch in super().batches(sources, batch_size, size))

    def draw(self, image: np.ndarray, sample: Any, score: float) -> np.ndarray:
        if 'pred_panoptic_seg' in sample:
            return self.upstream.visualize([image], [sample], return_vis=True, pred_score_thr=score)[0]
        from mmdet.visualization import get_palette

        palette = get_palette(self.model.dataset_meta.get('palette', 'random'), len(self.classes))
        found = _encoded(sample)
        return draw_instances(image, found[found.scores >= score], self.classes, palette)

    def predict_tiles(self, predict: Predict, image: np.ndarray, size: int, overlap: int) -> Any:
        from mmdet.structures import DetDataSample

        found = detect_in_tiles(predict, image, size, overlap)
        return DetDataSample(metainfo=dict(ori_shape=image.shape[:2]), pred_instances=found)

    def write(self, path: Path, sample: Any) -> None:
        if 'pred_panoptic_seg' not in sample:
            return _write_json(path, as_dict(_encoded(sample)))
        path.parent.mkdir(parents=True, exist_ok=True)
        with panoptic_errors(), TemporaryDirectory(dir=path.parent) as folder:
            found = self.upstream.pred2dict(sample, folder)  # writes the segments of panoptic maps itself
            segments = path.with_name(f'{path.stem}_panoptic_seg.png')
            Path(found['panoptic_seg_path']).replace(segments)
        return _write_json(path, found | {'panoptic_seg_path': str(segments)})


class Segmentation(Inferencer):
    """Label maps of mmseg, drawn in colours over the image, written as PNG with one class number per pixel."""

    task, scope, suffix = 'segmentation', 'mmseg', '.png'

    def _build(self, config: Config, checkpoint: str | None, device: str) -> Any:
        from mmseg.apis import MMSegInferencer

        return MMSegInferencer(config, checkpoint, device=device)

    def batches(self, sources: Sequence[Source], batch_size: int, size: Size | None) -> Iterator[dict]:
        for batch in super().batches(sources, batch_size, size):
            sizes = {tuple(image.shape[1:]) for image in batch['inputs']}
            if len(sizes) > 1:
                found = ', '.join(f'{height}×{width}' for height, width in sorted(sizes))
                raise ValueError(
                    f'found images of {found} in one batch, expected one size: batch_size=1, or size=(H, W)'
                )
            yield batch

    def draw(self, image: np.ndarray, sample: Any, score: float) -> np.ndarray:
        self.upstream.visualizer.set_dataset_meta(**self.model.dataset_meta)
        meta = self.upstream.visualizer.dataset_meta  # with a palette, where the data set has none
        return draw_segmentation(image, sample.pred_sem_seg.data[0].numpy(), meta['classes'], meta['palette'])

    def predict_tiles(self, predict: Predict, image: np.ndarray, size: int, overlap: int) -> Any:
        from mmseg.structures import SegDataSample

        threshold = getattr(self.model.decode_head, 'threshold', None)
        labels = torch.from_numpy(segment_in_tiles(predict, image, size, overlap, threshold).astype(np.int32))
        return SegDataSample(pred_sem_seg=PixelData(data=labels[None]))

    def write(self, path: Path, sample: Any) -> None:
        labels = sample.pred_sem_seg.data[0].numpy()
        write_image(path, labels.astype(np.uint8 if labels.max() < 256 else np.uint16))


class Depth(Segmentation):
    """Depth of mmseg's depth estimators, drawn in colours beside the image, with a bar in metres.

    Written as 16-bit PNG: millimetres, or steps of 1/256 m for models with a range above 65 m.
    """

    task, classes = 'depth', ()
    predict_tiles = Inferencer.predict_tiles

    def _prepared(self, config: Config) -> Config:
        config = super()._prepared(config)
        dataset = (
            config.test_dataloader.dataset
        )  # mmseg removes loaders of annotations by name, but not those of daga_mm
        dataset.pipeline = [step for step in dataset.pipeline if 'Annotation' not in step['type']]
        return config

    def draw(self, image: np.ndarray, sample: Any, score: float) -> np.ndarray:
        from ..depth import draw_depth

        return draw_depth(image, sample.pred_depth_map.data[0].numpy())

    def write(self, path: Path, sample: Any) -> None:
        from ..depth import write_depth_png

        path.parent.mkdir(parents=True, exist_ok=True)
        scale = 1000 if self.model.decode_head.to_depth.max_depth <= 65 else 256  # steps per metre: NYU's and KITTI's
        write_depth_png(path, sample.pred_depth_map.data[0].numpy(), scale)


class Classification(Inferencer):
    """Class and score of mmpretrain's classifiers, drawn on the image, written as JSON."""

    task, scope, suffix = 'classification', 'mmpretrain', '.json'

    def _build(self, config: Config, checkpoint: str | None, device: str) -> Any:
        from mmpretrain import ImageClassificationInferencer

        return ImageClassificationInferencer(config, checkpoint or False, device)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.upstream.classes or ())

    def draw(self, image: np.ndarray, sample: Any, score: float) -> np.ndarray:
        from mmpretrain.visualization import UniversalVisualizer

        return UniversalVisualizer().visualize_cls(image, sample, classes=self.upstream.classes, draw_gt=False)

    def write(self, path: Path, sample: Any) -> None:
        (found,) = self.upstream.postprocess([sample], [])
        names = ('pred_label', 'pred_score', 'pred_class')
        _write_json(path, {name: found[name] for name in names if name in found})


KINDS: dict[str, type[Inferencer]] = {
    'mmdet': Detection,
    'mmseg': Segmentation,
    'depth': Depth,
    'mmpretrain': Classification,
}


def kind_of(config: Config) -> type[Inferencer]:
    """The class of inferencer that a config's task needs.

    Raises:
        ValueError: There is none.
    """
    scope = 'depth' if config.model.type.endswith('DepthEstimator') else config.get('default_scope')
    if scope not in KINDS:
        raise ValueError(f'found a config of {scope}, expected one of {", ".join(KINDS)}')
    return KINDS[scope]


def plain(element: Any) -> Any:
    """A data sample with its tensors on the CPU, half precision converted to float32."""
    found = element.new()
    for name, value in element.items():
        if isinstance(value, Tensor):
            value = value.cpu()
            value = value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
        elif hasattr(value, 'new') and hasattr(value, 'items'):  # an element in this one: instances, pixels
            value = plain(value)
        found.set_data({name: value})
    return found


def _resized(pipeline: Sequence[dict], size: Size) -> list[dict]:
    """A test pipeline whose only resizing is to exactly this size, after reading the image."""
    steps = [step for step in pipeline if step['type'].rpartition('.')[2] not in GEOMETRY]
    after = 1 + [step['type'].rpartition('.')[2] for step in steps].index('LoadImageFromFile')
    return [*steps[:after], dict(type='Resize', scale=(size[1], size[0]), keep_ratio=False), *steps[after:]]


def _encoded(sample: Any) -> InstanceData:
    """The instances of a sample, with masks as run lengths, which those of tiles already have."""
    found = sample.pred_instances
    masks = found.get('masks')
    return found if isinstance(masks, list) else encode_instances(found, sample.ori_shape[:2])


def _write_json(path: Path, content: Any) -> None:
    AtomicBackend().put_text(json.dumps(content, indent=1) + '\n', path)
