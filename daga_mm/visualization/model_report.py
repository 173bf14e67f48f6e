"""Parameters, FLOPs, shapes and memory of a config's model, which runs on tensors without content (device 'meta')."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from inspect import signature
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from ..engine import build_on_meta, count_parameters

STATES = {'AdamW': 2, 'Adam': 2, 'SGD': 1}  # tensors that an optimiser keeps per parameter; SGD with momentum


def training_size(config: Config) -> tuple[int, int]:
    """Height and width of the images that the config trains on, or else measures.

    Raises:
        ValueError: The config does not say.
    """
    preprocessor = config.model.get('data_preprocessor') or config.get('data_preprocessor') or {}
    sizes = [_size_of(preprocessor.get('size'))]
    for loader in (config.get('train_dataloader'), config.get('test_dataloader')):  # training may have many sizes
        dataset = (loader or {}).get('dataset', {})
        while 'dataset' in dataset:  # one around another, which repeats it
            dataset = dataset.dataset
        sizes.append(_last_size(dataset.get('pipeline', ())))
    height, width = next(filter(None, sizes), (0, 0))
    if not height:
        raise ValueError('the pipeline names no size of images: give --size HEIGHT WIDTH')
    divisor = preprocessor.get('pad_size_divisor') or 1
    return math.ceil(height / divisor) * divisor, math.ceil(width / divisor) * divisor


def _last_size(pipeline: Any) -> tuple[int, int] | None:
    for step in reversed(pipeline):
        if 'crop_size' in step:
            return _size_of(step['crop_size'])
        if 'scale' in step and step['type'] != 'RandomResize':
            size = _size_of(step['scale'])
            return size and size[::-1]  # mmcv's scales are widths and heights
    return None


def _size_of(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    return (size, size) if isinstance(size, int) else (size[0], size[1])


class FusedAttention(TorchFunctionMode):
    """Attention as a GPU's kernels compute it: without keeping the N×N matrix, which tensors of no device would."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.scaled_dot_product_attention:
            return torch.ops.aten._scaled_dot_product_flash_attention(*args[:3])[0]
        return func(*args, **(kwargs or {}))


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """Run on tensors of no device what would run on a GPU's."""
    with FusedAttention(), mock.patch.object(torch, 'autocast', lambda *args, **kwargs: nullcontext()):
        yield


class Sampled(torch.autograd.Function):
    """What deformable attention reads at sampled points, with what its kernel keeps for the backward pass."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(value, locations, weights)
        return value.new_empty(*locations.shape[:2], value.shape[-1])


def sample_without_places(module: Any) -> None:
    """Let mmcv's deformable attention run where its points have no places."""

    def forward(query: Tensor, value: Tensor, identity: Tensor, **places: Any) -> Tensor:
        weights = module.attention_weights(query).softmax(-1)
        sampled = Sampled.apply(module.value_proj(value), module.sampling_offsets(query), weights)
        return module.output_proj(sampled) + identity

    module.forward = forward


def build(config: Config) -> nn.Module:
    """The config's model without memory, ready to run."""
    model = revert_sync_batchnorm(build_on_meta(config))
    for module in model.modules():
        if type(module).__name__ == 'DeformableAttention':
            sample_without_places(module)
    return model


def run(model: Any, images: Tensor, training: bool) -> Iterator[tuple[str, Any]]:
    """Run the parts of a model one after the other; yields the name and the result of each."""
    maps = model.backbone(images)
    yield 'backbone', maps
    if getattr(model, 'neck', None) is not None:
        maps = model.neck(maps)
        yield 'neck', maps
    for name in ('decode_head', 'auxiliary_head', 'rpn_head', 'head', 'probes'):
        head = getattr(model, name, None)
        if head is not None and _takes_maps_alone(head) and (training or name != 'auxiliary_head'):
            scores = head(maps[-1] if name == 'probes' else maps)
            if training and name in ('decode_head', 'auxiliary_head') and scores.shape[1] > 1:
                # mmseg enlarges the scores to the labels' size.
                labels = torch.zeros(len(images), *images.shape[2:], dtype=torch.long, device='meta')
                scores = F.cross_entropy(F.interpolate(scores, images.shape[2:], mode='bilinear'), labels)
            yield name, scores
    if getattr(model, 'roi_head', None) is not None:
        yield 'roi_head', list(_regions(model, maps, len(images), training))


def _takes_maps_alone(head: nn.Module) -> bool:
    """Whether it runs on what the neck gives: Mask2Former's wants samples too, and looks at values."""
    parameters = signature(head.forward).parameters.values()
    return sum(p.default is p.empty and p.kind is not p.VAR_KEYWORD for p in parameters) <= 1


def _regions(model: Any, maps: Any, batch: int, training: bool) -> Iterator[Any]:
    """The scores of the heads on regions, at every stage of a cascade."""
    roi = model.roi_head
    for kind in ('bbox', 'mask'):
        heads, extractors = getattr(roi, f'{kind}_head', None), getattr(roi, f'{kind}_roi_extractor', None)
        for stage, head in enumerate(heads if isinstance(heads, nn.ModuleList) else [heads] if heads else []):
            extractor: Any = extractors[stage] if isinstance(extractors, nn.ModuleList) else extractors
            if training:
                settings = roi.train_cfg[stage] if isinstance(roi.train_cfg, list) else roi.train_cfg
                count = int(settings.sampler.num * (settings.sampler.pos_fraction if kind == 'mask' else 1))
            else:
                count = model.test_cfg.rpn.max_per_img if kind == 'bbox' else model.test_cfg.rcnn.max_per_img
            side = extractor.roi_layers[0].output_size[0]
            yield head(maps[0].new_empty(batch * count, extractor.out_channels, side, side).requires_grad_(training))


def count_flops(model: nn.Module, size: tuple[int, int]) -> tuple[dict[str, int], dict[str, Any]]:
    """FLOPs of every part for one image, and the shapes that backbone and neck give."""
    model.eval()
    flops: dict[str, int] = {}
    shapes: dict[str, Any] = {}
    images = torch.empty(1, 3, *size, device='meta')
    with torch.no_grad(), as_on_a_gpu():
        parts = run(model, images, training=False)
        while True:
            with FlopCounterMode(display=False) as counter:
                name, result = next(parts, ('', ()))
            if not name:
                return flops, shapes
            flops[name] = counter.get_total_flops()
            if name in ('backbone', 'neck'):
                outputs = [output for output in result if not (name == 'backbone' and output is images)]
                shapes[name] = [
                    dict(shape=list(output.shape[1:]), stride=round(size[0] / output.shape[2]))
                    if output.ndim == 4
                    else dict(shape=list(output.shape[1:]), stride=None)
                    for output in outputs
                ]


@contextmanager
def kept_for_backward(model: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the tensors that autograd keeps, once each, parameters left out."""
    parameters = {p.untyped_storage()._cdata for p in model.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()._cdata
        if storage not in parameters:
            kept.setdefault(storage, tensor)
        return tensor

    found: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield found
    found.extend(kept.values())


def estimate_memory(model: nn.Module, config: Config, size: tuple[int, int]) -> dict[str, int]:
    """Bytes of a training step at the config's batch size, by what they are for."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()  # keeps as much, and does not mind a batch of one
    batch = config.train_dataloader.batch_size
    images = torch.empty(batch, 3, *size, device='meta')
    with kept_for_backward(model) as kept, as_on_a_gpu():
        results = list(run(model, images, training=True))
    activations = sum({t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in kept}.values())
    del results
    counts = count_parameters(model)
    states = STATES.get(config.optim_wrapper.optimizer.type, 0)
    return dict(
        batch=batch,
        weights=4 * counts['total'],
        gradients=4 * counts['trained'],
        optimizer=4 * states * counts['trained'],
        activations=activations,
        total=4 * (counts['total'] + (1 + states) * counts['trained']) + activations,
    )


def describe_adapters(backbone: Any) -> dict[str, dict[str, Any]]:
    """By adapter: the blocks at which it works, and the parameters that it trains, the trunk's own included."""
    return {
        name: dict(
            layers=list(adapter.layers),
            trained=sum(p.numel() for p in adapter.parameters())
            + sum(p.numel() for key, p in backbone.trunk.named_parameters() if p.requires_grad and adapter.trains(key)),
        )
        for name, adapter in backbone.adapters.items()
    }


def report(config: Config, size: tuple[int, int]) -> dict[str, Any]:
    """Everything that is known of a config's model for images of (height, width), as plain numbers and words."""
    model = build(config)
    backbone: Any = model.backbone
    flops, shapes = count_flops(model, size)
    parts = {'trunk': backbone.trunk, 'adapters': backbone.adapters}
    parts |= {name: child for name, child in model.named_children() if name not in ('backbone', 'data_preprocessor')}
    parts |= {name: nn.ParameterList([p]) for name, p in model.named_parameters(recurse=False)}
    parts = {name: part for name, part in parts.items() if any(True for _ in part.parameters())}
    counts = count_parameters(model)
    found = dict(
        config=None if config.filename is None else os.path.relpath(config.filename),
        model=type(model).__name__,
        arch=backbone.arch,
        size=list(size),
        dtype='float32',
        parameters=counts,
        percent={name: 100 * counts[name] / counts['total'] for name in ('trained', 'frozen', 'added')},
        parts={name: count_parameters(part) for name, part in parts.items()},
        flops=flops,
        flops_total=sum(flops.values()),
        flops_trunk_alone=None,
        not_run=[name for name in parts if name not in ('trunk', 'adapters', 'auxiliary_head', *flops)],
        shapes=shapes,
        adapters=describe_adapters(backbone),
        memory=None,
    )
    if backbone.adapters:
        with torch.no_grad(), as_on_a_gpu(), backbone.without_adapters(), FlopCounterMode(display=False) as counter:
            backbone(torch.empty(1, 3, *size, device='meta'))
        found['flops_trunk_alone'] = counter.get_total_flops()
    if config.get('train_cfg') and found['parameters']['trained']:
        found['memory'] = estimate_memory(model, config, size)
    return found


def text(found: dict[str, Any]) -> str:
    """The report to read."""
    counts, flops, percent = found['parameters'], found['flops'], found['percent']
    lines = [
        f'{found["model"]} on {found["arch"]}, images of {found["size"][0]}×{found["size"][1]} (height × width)',
        '',
    ]
    lines += [f'{"parameters":16}{"all":>14}{"trained":>14}{"frozen":>14}{"trained, %":>12}']
    rows = {**found['parts'], 'in all': counts}
    for name, row in rows.items():
        numbers = ''.join(f'{row[kind]:14,}' for kind in ('total', 'trained', 'frozen'))
        lines.append(f'  {name:14}{numbers}{100 * row["trained"] / row["total"]:12.2f}')
    lines.append(f'  of the model, {percent["trained"]:.2f} % are trained, {percent["frozen"]:.2f} % frozen')
    if counts['added']:
        trunk = found['parts']['trunk']['total']
        lines.append(
            f'  adapters add {counts["added"]:,}: {100 * counts["added"] / trunk:.2f} % of the trunk, '
            f'{percent["added"]:.2f} % of the model'
        )
    lines += ['', f'{"GFLOPs per image":30}']
    parts = {**flops, 'in all': found['flops_total']}
    lines += [f'  {name:14}{value / 1e9:14,.1f}' for name, value in parts.items()]
    if alone := found['flops_trunk_alone']:
        more = 100 * (flops['backbone'] / alone - 1)
        lines.append(f'  of the backbone, {alone / 1e9:,.1f} are the trunk; adapters add {more:.1f} %')
    if found['not_run']:
        names = ', '.join(found['not_run'])
        lines.append(f'  not counted, nor in the memory below, since they need values to run: {names}')
    lines += ['', 'outputs']
    for name, outputs in found['shapes'].items():
        for output in outputs:
            stride = f'stride {output["stride"]}' if output['stride'] else 'one vector'
            lines.append(f'  {name:14}{" × ".join(map(str, output["shape"])):>20}   {stride}')
    lines += ['', 'adapters', *(f'  {line}' for line in describe(found['adapters']))]
    lines += ['', *memory_lines(found['memory'])]
    return '\n'.join(lines)


def describe(adapters: dict[str, dict[str, Any]]) -> list[str]:
    """A line for each adapter."""
    return [
        f'{name:14}{one["trained"]:14,} parameters trained, blocks {" ".join(map(str, one["layers"]))} counted from 0'
        for name, one in adapters.items()
    ] or ['none: the plain trunk']


def memory_lines(memory: dict[str, int] | None) -> list[str]:
    """The estimate as aligned text."""
    if memory is None:
        return ['memory: nothing is trained by gradients here']
    lines = [f'GiB of a training step, batch {memory["batch"]}, float32 (estimated)']
    names = {'optimizer': "optimiser's", 'activations': 'for backward', 'total': 'in all'}
    return lines + [
        f'  {names.get(name, name):14}{value / 2**30:14.2f}' for name, value in memory.items() if name != 'batch'
    ]
