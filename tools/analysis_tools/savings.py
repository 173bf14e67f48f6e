"""What each way to save time brings: the same step with it and without it, kept or not.

    python tools/analysis_tools/savings.py --threads 1 --size 224 512 --json docs/costs/savings.json
    python tools/analysis_tools/savings.py --only compiled channels_last

A row per saving and size: seconds of a training step (forward, backward, AdamW) without and with it, medians of
interleaved runs, and the median of the rounds' ratios. Weights and images are random; batches are of one image.

savings:
"""

import argparse
import functools
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from costs.meter import seconds
from costs.two_pass import TwoPassDAGAViT
from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch
from torch import Tensor, nn

from daga_mm.backbones import DAGAViT
from daga_mm.engine import AtomicBackend, one_line_errors, positive
from daga_mm.necks import ViTAdapterNeck, deformable_attention

Step = Callable[[], float]
FROZEN = dict(source='frozen')
LATE = (-2, -1)


@dataclass(frozen=True)
class Saving:
    """Two ways to do a training step.

    Attributes:
        what: What is saved.
        without: Makes the step that does without, from an arch and a size.
        saving: Makes the step that saves.
        kept: Whether the package does it.
        exact: Both come to the same result, but for rounding.
    """

    what: str
    without: Callable[[str, int], Step]
    saving: Callable[[str, int], Step]
    kept: bool
    exact: bool = True


def training_step(model: nn.Module, inputs: Any, change: Callable[[Any], Any] | None) -> Step:
    """Forward, backward and AdamW; a step returns the loss.

    Args:
        model: All that it trains now is trained.
        inputs: Its argument.
        change: Done to the model then; if it returns something, that runs.
    """
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    changed = change(model) if change else None
    run = model if changed is None else changed
    model.train()

    def step() -> float:
        loss = sum(output.abs().mean() for output in run(inputs))
        loss.backward()
        optimiser.step()
        model.zero_grad()
        return loss.item()

    return step


def backbone(change: Callable[[Any], Any] | None = None, cls: type[DAGAViT] = DAGAViT, **settings: Any) -> Any:
    """Makes a training step of a backbone.

    Args:
        change: See `training_step`.
        cls: Its class.
        **settings: Its arguments.
    """

    def make(arch: str, size: int) -> Step:
        torch.manual_seed(0)
        model = cls(arch=arch, **settings)
        for parameter in model.parameters():
            if parameter.requires_grad and not parameter.any():
                nn.init.normal_(parameter, std=0.01)
        return training_step(model, torch.randn(1, 3, size, size), change)

    return make


def neck(change: Callable[[ViTAdapterNeck], Any] | None = None, layout: torch.memory_format | None = None) -> Any:
    """Makes a training step of ViTAdapterNeck on maps of the trunk's width."""

    def make(arch: str, size: int) -> Step:
        torch.manual_seed(0)
        with torch.device('meta'):
            width = DAGAViT(arch=arch, daga_layers=()).embed_dims
        model = ViTAdapterNeck(width, norm_cfg=dict(type='BN'))
        maps = [torch.randn(1, 3, size, size), *(torch.randn(1, width, size // 16, size // 16) for _ in range(4))]
        if layout:
            model.to(memory_format=layout)
            maps = [each.contiguous(memory_format=layout) for each in maps]
        return training_step(model, maps, change)

    return make


def with_graph_from_the_image(model: DAGAViT) -> None:
    """Let the graph begin at the patch embedding, as it does where frozen means a learning rate of 0."""
    embed = model.trunk.embed

    def embed_in_graph(images: Tensor) -> tuple[Tensor, Any]:
        tokens, positions = embed(images)
        return tokens.detach().requires_grad_(), positions

    model.trunk.embed = embed_in_graph  # type: ignore[method-assign]


def with_frozen_gradients(model: DAGAViT) -> None:
    """Compute the gradients of weights that no optimiser has."""
    model.trunk.requires_grad_()


def with_positions_kept(model: DAGAViT) -> None:
    """Compute rotary positions once per size."""
    rope: Any = getattr(model.trunk.model, 'rope', None)
    if rope is None:
        raise ValueError(f'{model.arch} has no rotary positions to keep: leave out positions')
    compute = rope.get_embed
    kept = functools.cache(lambda shape, dtype: compute(list(shape), dtype=dtype))
    rope.get_embed = lambda shape, dtype=None: kept(tuple(shape), dtype)


def with_compiled_adapters(model: DAGAViT) -> None:
    """Norm, down, GELU, up, gate and sum in few kernels."""
    for daga in model.adapters['layers'].values():
        daga.compile(dynamic=True)


def compiled(model: DAGAViT) -> Any:
    return torch.compile(model, dynamic=True)


def with_grid_sample(model: ViTAdapterNeck) -> Callable[[Any], Any]:
    """Read the points as mmcv does without its kernel: keep what each one reads, then sum."""

    upstream = getattr(multi_scale_deformable_attn_pytorch, '__wrapped__', multi_scale_deformable_attn_pytorch)

    def run(maps: list[Tensor]) -> Any:
        with mock.patch.object(deformable_attention, 'sample_deformably', upstream):
            return model(maps)

    return run


SAVINGS = {
    'prefix': Saving(
        'one pass up to the first DAGA, and one row of the attention, in place of two passes and a matrix',
        backbone(cls=TwoPassDAGAViT, daga_layers=LATE, guidance=FROZEN),
        backbone(daga_layers=LATE, guidance=FROZEN),
        True,
    ),
    'inline': Saving(
        "each DAGA reads its own block's attention, in place of the last block's of the untouched trunk",
        backbone(guidance=FROZEN),
        backbone(),
        True,
        exact=False,
    ),
    'half': Saving(
        "the untouched trunk's attention at half resolution, in place of full",
        backbone(guidance=FROZEN),
        backbone(guidance=dict(source='frozen', scale=0.5)),
        False,
        exact=False,
    ),
    'graph': Saving(
        'no graph in front of the first DAGA (layers 10 11)',
        backbone(with_graph_from_the_image, daga_layers=LATE),
        backbone(daga_layers=LATE),
        True,
    ),
    'weights': Saving('no gradients of frozen weights', backbone(with_frozen_gradients), backbone(), True),
    'encoder': Saving(
        'one encoder for all layers, of frozen guidance',
        backbone(guidance=FROZEN),
        backbone(guidance=FROZEN, daga_cfg=dict(share_encoder=True)),
        False,
        exact=False,
    ),
    'fused': Saving(
        'norm, down, GELU, up, gate and sum fused by torch.compile', backbone(), backbone(with_compiled_adapters), False
    ),
    'compiled': Saving('torch.compile of the whole backbone, dynamic sizes', backbone(), backbone(compiled), False),
    'positions': Saving('rotary positions kept per size', backbone(), backbone(with_positions_kept), False),
    'channels_last': Saving('ViTAdapterNeck in channels-last memory', neck(), neck(layout=torch.channels_last), False),
    'sum_of_rows': Saving(
        "ViTAdapterNeck's deformable attention as a weighted sum of rows, in place of grid_sample",
        neck(with_grid_sample),
        neck(),
        True,
    ),
}


def measure(name: str, arch: str, size: int, repeats: int) -> dict[str, Any]:
    """A row."""
    saving = SAVINGS[name]
    steps = saving.without(arch, size), saving.saving(arch, size)
    times = [[seconds(step, 'cpu') for step in steps] for _ in range(repeats + 1)][1:]  # the first is a warm-up
    return dict(
        saving=name,
        what=saving.what,
        kept=saving.kept,
        arch=arch,
        size=size,
        without_s=statistics.median(without for without, _ in times),
        with_s=statistics.median(saved for _, saved in times),
        ratio=statistics.median(saved / without for without, saved in times),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
    )


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown, sizes side by side."""
    sizes = sorted({row['size'] for row in rows})
    head = ['saving', *(f'step, ms, {size}² | ratio' for size in sizes), 'kept']
    lines = [f'| {" | ".join(head)} |', f'|{" --- |" * (2 + 2 * len(sizes))}']
    for name in dict.fromkeys(row['saving'] for row in rows):
        own = {row['size']: row for row in rows if row['saving'] == name}
        cells = [
            f'{1e3 * row["without_s"]:,.0f} → {1e3 * row["with_s"]:,.0f} | {row["ratio"]:.2f}'
            if (row := own.get(size))
            else '– | –'
            for size in sizes
        ]
        first = next(iter(own.values()))
        lines.append(f'| {first["what"]} | {" | ".join(cells)} | {"yes" if first["kept"] else "no"} |')
    return '\n'.join(lines)


def parse_args() -> argparse.Namespace:
    description = (__doc__ or '') + '\n'.join(f'  {name:16}{saving.what}' for name, saving in SAVINGS.items())
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--arch', default='dinov3_vits16')
    parser.add_argument('--size', type=positive, nargs='+', default=[224], help='pixels along one side (default: 224)')
    parser.add_argument('--only', nargs='+', choices=SAVINGS, default=list(SAVINGS), help='(default: all)')
    parser.add_argument('--repeats', type=positive, default=5, help='rounds after the first (default: 5)')
    parser.add_argument('--threads', type=positive, help='of the CPU (default: what PyTorch takes)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the rows here')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    rows: list[dict[str, Any]] = []
    with one_line_errors(RuntimeError, ValueError):
        for name in args.only:
            for size in args.size:
                print(f'{name}, {size}²', file=sys.stderr, flush=True)
                rows.append(measure(name, args.arch, size, args.repeats))
                if args.json:  # after each row: a later one may fail
                    AtomicBackend().put_text(json.dumps(rows, indent=1) + '\n', args.json)
    print(table(rows))


if __name__ == '__main__':
    main()
