"""A model that predicts, with its config, weights and class names."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..cli.config import load_config, require_checkpoint, variable_environment
from ..cli.runs import chosen_device
from ..datasets import image_fault
from ..errors import RunError
from .images import Images, Source, as_list, as_source, in_batches, is_one, read_image, write_image
from .inferencers import Inferencer, Size, kind_of, plain
from .published import find_published


class Result:
    """The prediction for an image: upstream's data sample, which can be drawn and saved.

    The sample's fields are attributes of the result too: ``result.pred_instances`` (mmdet), ``result.pred_sem_seg``
    (mmseg), ``result.pred_depth_map`` (metres), ``result.pred_score`` (mmpretrain). Tensors are on the CPU.

    Attributes:
        sample: Upstream's data sample.
        path: The image's file; None for arrays and PIL images.
    """

    def __init__(self, sample: Any, source: Source, inferencer: Inferencer) -> None:
        self.sample = sample
        self.path = source if isinstance(source, str) else None
        self._source = source
        self._inferencer = inferencer

    def __getattr__(self, name: str) -> Any:
        if name.startswith('_') or name == 'sample':  # of a result that is being copied and has no sample yet
            raise AttributeError(name)
        return getattr(self.sample, name)

    @property
    def image(self) -> np.ndarray:
        """The image, (H, W, 3), uint8, RGB."""
        return read_image(self._source)

    def draw(self, path: str | Path | None = None, score: float = 0.3) -> np.ndarray:
        """Draw the prediction: boxes and masks, classes of pixels in colours, depth with a bar in metres, or the class.

        Args:
            path: File for the picture, in the format of its suffix; None: it is only returned.
            score: Detection: the least score to draw.

        Returns:
            The picture, (H, W, 3), uint8, RGB.
        """
        picture = self._inferencer.draw(self.image, self.sample, score)
        if path is not None:
            write_image(path, picture)
        return picture

    def save(self, path: str | Path) -> Path:
        """Write the prediction: detections and classes as ``.json``, label maps and depth as ``.png``.

        Depth has 16 bits, in millimetres, or in steps of 1/256 m for models with a range above 65 m.

        Args:
            path: The file without its suffix.

        Returns:
            The file.
        """
        file = Path(f'{path}{self._inferencer.suffix}')
        self._inferencer.write(file, self.sample)
        return file


class Model:
    """A trained model of any task, as `load` returns it.

    Attributes:
        task: 'detection', 'segmentation', 'depth' or 'classification'.
        classes: The names of the classes; empty for depth.
        config: The config, changed by the options.
        model: Upstream's model; ``model.backbone`` is the `DAGAViT`.
    """

    def __init__(self, inferencer: Inferencer, can_predict: bool, dtype: torch.dtype | None) -> None:
        self.task = inferencer.task
        self.classes = inferencer.classes
        self.config = inferencer.config
        self.model = inferencer.model
        self._inferencer = inferencer
        self._can_predict = can_predict
        self._dtype = dtype

    def predict(
        self,
        images: Images,
        *,
        batch_size: int = 1,
        size: Size | None = None,
        tile: int | None = None,
        overlap: int | None = None,
        progress: bool = True,
    ) -> Result | list[Result]:
        """Predict one image, or several.

        Args:
            images: A file, an array (H, W, 3) of uint8 in RGB, a PIL image; a list of these, or a folder.
            batch_size: Images at once.
            size: (height, width) to which images are resized, whatever their aspect ratio; None: as the config's test
                pipeline does. Results have the images' own sizes.
            tile: Detection and segmentation: predict images in tiles of ``tile`` × ``tile`` pixels, ``batch_size`` of
                them at once, and merge the predictions; see `detect_in_tiles` and `segment_in_tiles` in ``tiling``.
            overlap: Pixels that tiles have in common; None: a quarter of ``tile``.
            progress: Show a bar for several images.

        Returns:
            A result, or a list of results for a list or a folder.

        Raises:
            OSError: There is no such file.
            TypeError: It is no image.
            ValueError: An argument does not fit.
            RunError: A file cannot be read as an image, or the model has no trained head.
        """
        several = progress and not is_one(images)
        found = list(
            self.stream(images, batch_size=batch_size, size=size, tile=tile, overlap=overlap, progress=several)
        )
        return found[0] if is_one(images) else found

    def stream(
        self,
        images: Images,
        *,
        batch_size: int = 1,
        size: Size | None = None,
        tile: int | None = None,
        overlap: int | None = None,
        progress: bool = False,
    ) -> Iterator[Result]:
        """Yield the same results one by one, for folders whose results do not fit into memory."""
        if not self._can_predict:
            raise RunError(
                f'this {self.task} model has no trained head, since it was loaded without a checkpoint, or its config '
                'has no head: give load() the checkpoint of a run. features() needs no head'
            )
        if tile is not None:
            overlap = tile // 4 if overlap is None else overlap
            for (source,) in in_batches([as_source(image) for image in as_list(images)], 1, progress):
                predict = partial(self._samples, batch_size=batch_size)
                sample = self._inferencer.predict_tiles(predict, read_image(source), tile, overlap)
                yield Result(sample, source, self._inferencer)
            return
        for sources, batch in self._batches(images, batch_size, size, progress):
            for source, sample in zip(sources, self._predicted(batch), strict=True):
                yield Result(sample, source, self._inferencer)

    def _predicted(self, batch: dict) -> list[Any]:
        with self._inference():
            return [plain(sample) for sample in self.model.test_step(batch)]

    def _samples(self, images: Sequence[np.ndarray], batch_size: int) -> Iterator[Any]:
        for _, batch in self._batches(images, batch_size, None, False):
            samples = self._predicted(batch)
            while samples:  # none is kept once it has been used
                yield samples.pop(0)

    def features(
        self, images: Images, *, batch_size: int = 1, size: Size | None = None, progress: bool = False
    ) -> tuple[Tensor, ...] | list[tuple[Tensor, ...]]:
        """The outputs of the backbone, the inputs of the neck, for whole images.

        Args:
            images: As for `predict`.
            batch_size: Images at once; detectors pad them to the largest.
            size: As for `predict`.
            progress: Show a bar.

        Returns:
            A tuple with one entry per out_index, (D, h, w) or (D,), in float32 on the CPU; with ``with_image`` the
            preprocessed image (3, H, W) comes first. A list of such tuples for a list or a folder.

        Raises:
            RunError: A file cannot be read as an image. No head is needed; other errors are those of `predict`.
        """
        found: list[tuple[Tensor, ...]] = []
        for sources, batch in self._batches(images, batch_size, size, progress):
            with self._inference():
                maps = self.model.backbone(self.model.data_preprocessor(batch, False)['inputs'])
            found += [tuple(one[number].float().cpu() for one in maps) for number in range(len(sources))]
        return found[0] if is_one(images) else found

    @contextmanager
    def _inference(self) -> Iterator[None]:
        device = next(self.model.parameters()).device.type
        with (
            self._inferencer.registries(),
            torch.no_grad(),
            torch.autocast(device, self._dtype) if self._dtype else nullcontext(),
        ):
            yield

    def _batches(
        self, images: Images, batch_size: int, size: Size | None, progress: bool
    ) -> Iterator[tuple[Sequence[Source], dict]]:
        """The images of each batch, and the inputs of ``test_step`` for them."""
        sources = [as_source(image) for image in as_list(images)]
        batches = self._inferencer.batches(sources, batch_size, checked_size(size))
        for chunk in in_batches(sources, batch_size, progress):
            try:
                with self._inferencer.registries():
                    batch = next(batches)
            except Exception as error:  # the decoding library may raise anything
                faults = [fault for file in chunk if isinstance(file, str) and (fault := image_fault(file))]
                if not faults:
                    raise
                raise RunError('\n'.join(faults)) from error
            yield chunk, batch


def load(
    config: str | Path,
    checkpoint: str | Path | None = None,
    device: str | None = None,
    dtype: Literal['float16', 'bfloat16'] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Model:
    """Load a model of any task.

    Args:
        config: A config file; the name of a config as ``tools/list_configs.py`` shows it; or, without a checkpoint, the
            folder of a published model, which ``tools/publish_model.py`` wrote.
        checkpoint: Its weights, with or without the trunk. A trunk that it does not contain is read from its file in
            training, or from the folder DINOV3_CHECKPOINTS. None: the trunk alone, for `Model.features`.
        device: 'cpu', 'cuda:0', …; None: a GPU if there is one.
        dtype: Type for mixed precision (autocast); None: float32.
        options: Changes to the config by dotted names, as ``--cfg-options`` takes them.

    Raises:
        FileNotFoundError: There is no such config or checkpoint, or the trunk is missing.
        ImportError: The task package of the config is not installed.
        ValueError: It is not a config of a known task, the checkpoint does not fit it, or an argument does not exist.
    """
    if checkpoint is None and Path(config).is_dir():
        config, checkpoint = find_published(Path(config))
    read = load_config(config, options)
    file = None if checkpoint is None else str(checkpoint)
    if file is not None:
        require_checkpoint(file)
    if dtype not in (None, 'float16', 'bfloat16'):
        raise ValueError(f"dtype is {dtype!r}, expected 'float16', 'bfloat16' or None")
    device = chosen_device(device)
    with variable_environment(options):  # where the trunk of a checkpoint without it is looked for
        inferencer = kind_of(read)(read, file, device)
    has_head = inferencer.task != 'classification' or inferencer.model.with_head
    return Model(inferencer, file is not None and has_head, dtype and getattr(torch, dtype))


def checked_size(size: Any) -> Size | None:
    """(height, width), or None.

    Raises:
        ValueError: It is neither.
    """
    if size is None:
        return None
    if not isinstance(size, tuple | list) or len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
        raise ValueError(f'size is {size!r}, expected (height, width) in pixels')
    return size[0], size[1]
