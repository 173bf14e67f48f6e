"""A trained model as a file that runs without this package: an ONNX graph, or an exported program of PyTorch."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import cv2
import numpy as np
import torch
from matplotlib import cbook
from PIL.Image import Image
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ..adapters import LoRA
from ..backbones import DAGAViT
from ..errors import RunError
from .adaptive_pool import AdaptivePool
from .deployed import Deployed
from .images import as_list, as_source, read_image
from .inferencers import Size
from .known_sizes import KnownSizes
from .model import Model, checked_size

Format = Literal['onnx', 'pt2']
Run = Callable[[Tensor], list[Tensor]]
TOLERANCE = 1e-4


def export(
    model: Model,
    path: str | Path,
    format: Format = 'onnx',
    size: Size | None = None,
    dynamic: bool = False,
    image: str | Path | np.ndarray | Image | None = None,
) -> dict[str, float]:
    """Write a model with its preprocessing as one graph, and check the file against the model.

    The graph takes ``images``, (N, H, W, 3), uint8, RGB, at the size at which the model shall see them, and has the
    outputs that `Deployed` documents. LoRA is merged into the trunk's weights. A file that fails its
    check is not written. Weights beyond 2 GB go to a second file of ONNX's, ``path`` with ``.data`` behind it.

    Args:
        model: As `load` returns it.
        path: The file.
        format: 'onnx' for onnxruntime and other runtimes, 'pt2' for ``torch.export.load``.
        size: (height, width) of images; None: that to which the config's test pipeline brings ``image``.
        dynamic: Let images be of any size, and any number at once; else they are one image of ``size``.
        image: A photograph on which the file is checked: a file, an array (H, W, 3) of uint8 in RGB, or a PIL image;
            None: one that matplotlib brings.

    Returns:
        The largest deviation of each output from the model's own, over images of ``size`` and, if ``dynamic``, another
        size and number; relative to the largest value where that is above 1. A class of a pixel deviates by as much
        as the model's logits are against it.

    Raises:
        ImportError: onnx, onnxscript or onnxruntime are not installed.
        RunError: The file does not give what the model gives.
        ValueError: An argument does not fit; the model is of a task that cannot be exported; or ``dynamic`` is asked of
            a head with deformable attention (Mask2Former, DINO), whose sizes are constants of the graph.
    """
    path = Path(path)
    if format not in FORMATS:
        raise ValueError(f'format is {format!r}, expected one of {", ".join(FORMATS)}')
    if format == 'onnx':
        _require_onnx()
    if dynamic:
        _require_dynamic(model)
    if image is None:
        image = cbook.get_sample_data('grace_hopper.jpg', asfileobj=False)
    pixels = read_image(as_source(*as_list(image)))
    height, width = checked_size(size) or _test_size(model, pixels)
    checked = [_batch(pixels, height, width, 1)]
    traced = checked[0]
    if dynamic:  # no multiples of a patch; a batch of one would be taken for a constant
        checked.append(_batch(pixels, height + 13, width - 9, 3))
        traced = _batch(pixels, height + 3, width + 7, 2)
    deployed = Deployed(_float_copy(model), model.config)
    with torch.no_grad():
        expected = [deployed.upstream(images) for images in checked]
        _merge_adapters(deployed.model.backbone)
        _replace_pooling(deployed)
        shapes = (dict.fromkeys(range(3), Dim.DYNAMIC),) if dynamic else None
        with KnownSizes():
            program = torch.export.export(deployed, (traced,), dynamic_shapes=shapes)
    about = {'task': model.task, 'classes': json.dumps(model.classes), 'config': Path(model.config.filename or '').stem}
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent) as folder:
        unfinished = Path(folder) / path.name
        run = FORMATS[format](program, unfinished, list(expected[0]), about)
        with torch.no_grad():
            found = [run(images) for images in checked]
        deviations = _deviations(expected, found)
        if wrong := {name: value for name, value in deviations.items() if not value <= TOLERANCE}:
            by = ', '.join(f'{name} {value:.1e}' for name, value in wrong.items())
            raise RunError(
                f'{path} is not written: found deviations from the model of {by}, expected {TOLERANCE:.0e} at most'
            )
        for file in sorted(Path(folder).iterdir(), reverse=True):  # the graph after its weights
            file.replace(path.parent / file.name)
    return deviations


def _require_onnx() -> None:
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(f"{error}: pip install 'daga_mm[export]', or export to pt2") from error


def _require_dynamic(model: Model) -> None:
    from mmcv.ops import MultiScaleDeformableAttention

    parts = {
        name.partition('.')[0]
        for name, module in model.model.named_modules()
        if isinstance(module, MultiScaleDeformableAttention)
    }
    if parts - {'neck'}:  # ViTAdapterNeck has it for maps whose sizes are no tensors
        raise ValueError(
            f'{type(model.model).__name__} has deformable attention in its head, which is exported for one size of '
            'images: leave out dynamic'
        )


def _test_size(model: Model, image: np.ndarray) -> Size:
    """The size to which the test pipeline brings an image, without padding."""
    (_, batch), *_ = model._batches(image, 1, None, False)
    height, width = batch['inputs'][0].shape[-2:]
    return height, width


def _float_copy(model: Model) -> Any:
    copy = deepcopy(model.model).cpu().float()
    copy.backbone.trunk_dtype = None
    return copy


def _merge_adapters(backbone: DAGAViT) -> None:
    for name, adapter in list(backbone.adapters.items()):
        if isinstance(adapter, LoRA):
            if not adapter.merged:
                adapter.merge(backbone.trunk)
            del backbone.adapters[name]


def _replace_pooling(model: nn.Module) -> None:
    for name, module in list(model.named_modules()):
        if type(module) is nn.AdaptiveAvgPool2d:
            model.set_submodule(name, AdaptivePool(module))


def _batch(image: np.ndarray, height: int, width: int, number: int) -> Tensor:
    """The image and its mirror images by turns: (number, height, width, 3)."""
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(np.stack([resized[:, :: -1 if turn % 2 else 1] for turn in range(number)]))


def _deviations(expected: list[dict[str, Tensor]], found: list[list[Tensor]]) -> dict[str, float]:
    """The largest deviation of each output, relative to the largest value where that is above 1.

    A pixel's class is wrong by as much as the model's own logits are against it. Objects are compared if no other has
    nearly their score: the order of equal scores is arbitrary.
    """
    worst: dict[str, float] = {}
    for references, outputs in zip(expected, found, strict=True):
        for (name, reference), value in zip(references.items(), outputs, strict=True):
            if value.shape != reference.shape:
                raise RunError(f'{name} has shape {tuple(value.shape)}, expected {tuple(reference.shape)}')
            scale = reference
            if name == 'labels' and 'logits' in references:
                scale = references['logits']  # (N, C, H, W)
                difference = scale.amax(dim=1) - scale.gather(1, value[:, None])[:, 0]
            else:
                difference = (value - reference).abs()
                if 'scores' in references and name != 'scores':
                    difference = difference[_apart(references['scores'])]
            deviation = float(difference.max() / scale.abs().max().clamp(min=1)) if difference.numel() else 0.0
            worst[name] = float(np.maximum(worst.get(name, 0.0), deviation))  # which keeps NaN, as max() does not
    return worst


def _apart(scores: Tensor) -> Tensor:
    """Which of the descending scores (N, K) differ from both neighbours by more than rounding: (N, K), bool."""
    gaps = -scores.diff(dim=1) > 10 * TOLERANCE
    edge = gaps.new_ones(len(scores), 1)
    return torch.cat([edge, gaps], dim=1) & torch.cat([gaps, ~edge], dim=1)


def _as_onnx(program: ExportedProgram, path: Path, outputs: list[str], about: dict[str, str]) -> Run:
    """Write the graph; returns what runs the file."""
    import onnxruntime

    graph = torch.onnx.export(program, dynamo=True, verbose=False, input_names=['images'], output_names=outputs)
    assert graph is not None
    graph.model.metadata_props.update(about)
    graph.save(path)
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    return lambda images: [torch.from_numpy(found) for found in session.run(None, {'images': images.numpy()})]


def _as_pt2(program: ExportedProgram, path: Path, outputs: list[str], about: dict[str, str]) -> Run:
    torch.export.save(program, path, extra_files=about)
    module = torch.export.load(path).module()
    return lambda images: list(module(images).values())


FORMATS = {'onnx': _as_onnx, 'pt2': _as_pt2}
