"""Seconds and memory of a whole task's training: trunk with DAGA, neck, head, optimiser, and the data beside them.

    python tools/analysis_tools/task_costs.py configs/mmdet/mask-rcnn_daga-vitb16_vitadapter_8xb2-1x_coco.py
    python tools/analysis_tools/task_costs.py CONFIG --workers 0 2 4 --cfg-options coco_root=data/coco

Steps are made on synthetic images and annotations of the config's training size, by a model with random weights; both
change no time but that of a detector's proposals. The median of the steps after the first counts. Peak memory is the
allocator's on CUDA, and what the process needs above what it held before the model was built on the CPU (Linux).

With --workers the config's own training data are loaded too, with so many processes, and the images they give per
second are put beside those that the model's untouched trunk takes in a forward pass.
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from costs.meter import PeakMemory, seconds
from costs.synthetic import synthetic_batch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from model_report import training_size
from torch import Tensor, nn

from daga_mm.cli.config import load_config
from daga_mm.cli.data import require_data
from daga_mm.cli.errors import one_line_errors
from daga_mm.cli.parser import add_config, make_parser, positive
from daga_mm.engine import AtomicBackend
from daga_mm.errors import RunError, as_run_error


class Stage:
    """A part of a model whose forward and backward passes have clocks of their own.

    What it returns is cut off from the graph, so that the backward pass stops there until `backward` is called.
    """

    def __init__(self, module: nn.Module, device: str) -> None:
        self.device = device
        self.function: Callable[..., Any] = module.forward
        self.seconds = dict(forward=0.0, backward=0.0)
        self.cuts: list[tuple[Tensor, Tensor]] = []
        module.forward = self.forward  # type: ignore[method-assign]

    def forward(self, *args: Any) -> tuple[Tensor, ...]:
        """The module's own forward pass."""
        results: list[Sequence[Tensor]] = []
        self.seconds['forward'] = seconds(lambda: results.append(self.function(*args)), self.device)
        outputs = []
        for output in results[0]:
            if output.requires_grad:
                cut = output.detach().requires_grad_()
                self.cuts.append((output, cut))
                output = cut
            outputs.append(output)
        return tuple(outputs)

    def backward(self) -> None:
        """The module's own backward pass, from the gradients of what follows it."""
        cuts = [(output, cut.grad) for output, cut in self.cuts if cut.grad is not None]
        self.cuts.clear()
        outputs, gradients = [output for output, _ in cuts], [gradient for _, gradient in cuts]
        del cuts
        run = torch.autograd.backward
        self.seconds['backward'] = seconds(lambda: run(outputs, gradients), self.device) if outputs else 0.0


def build(config: Config, size: tuple[int, int], device: str) -> nn.Module:
    """The config's model with random weights, for images of this size."""
    init_default_scope(config.default_scope)
    config.model.backbone.init_cfg = None
    if (config.model.data_preprocessor or {}).get('size'):  # mmseg's pads up to it
        config.model.data_preprocessor.size = size
    model = MODELS.build(config.model)
    return (revert_sync_batchnorm(model) if device == 'cpu' else model).to(device).train()


def measure(config: Config, size: tuple[int, int], batch: int, args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each part of a training step, and the peak of memory."""
    memory = PeakMemory(args.device)
    model: Any = build(config, size, args.device)
    data = synthetic_batch(model, config.default_scope, size, batch)
    optimiser = build_optim_wrapper(model, config.optim_wrapper)
    stages = {'trunk': Stage(model.backbone, args.device)}
    if getattr(model, 'neck', None) is not None:
        stages['neck'] = Stage(model.neck, args.device)
    steps: list[dict[str, dict[str, float]]] = []
    for _ in range(args.iterations + 1):
        losses: list[Tensor] = []

        def forward(losses: list[Tensor] = losses) -> None:
            losses.append(model.parse_losses(model(**model.data_preprocessor(data, True), mode='loss'))[0])

        whole = seconds(forward, args.device)
        head = seconds(losses.pop().backward, args.device)
        for stage in reversed(stages.values()):
            stage.backward()
        found = {name: dict(stage.seconds) for name, stage in stages.items()}
        found['head'] = dict(forward=whole - sum(part['forward'] for part in found.values()), backward=head)
        found['optimiser'] = dict(forward=seconds(optimiser.step, args.device), backward=0.0)
        optimiser.zero_grad()
        steps.append(found)
    parts = {
        name: {kind: statistics.median(step[name][kind] for step in steps[1:]) for kind in ('forward', 'backward')}
        for name in steps[0]
    }
    return dict(
        size=list(size),
        batch=batch,
        parts=parts,
        step_s=sum(sum(part.values()) for part in parts.values()),
        step_peak_mb=memory.mb(),
        trained_params=sum(p.numel() for p in model.parameters() if p.requires_grad),
    )


def measure_loading(config: Config, batch: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Images per second that the config's training data give, for every number of workers."""
    require_data(config, 'train')
    init_default_scope(config.default_scope)
    rows = []
    for workers in args.workers:
        loader = {**config.train_dataloader, 'batch_size': batch, 'num_workers': workers}
        loader['persistent_workers'] = False
        loader.pop('batch_sampler', None)
        loader['sampler'] = dict(type='InfiniteSampler', shuffle=True)  # a small data set serves too
        batches = iter(Runner.build_dataloader(loader, seed=0))
        for _ in range(1 + 2 * workers):  # the processes have started, and what they had ready is gone
            next(batches)
        start = time.perf_counter()
        for _ in range(args.batches):
            next(batches)
        rows.append(dict(workers=workers, images_per_s=batch * args.batches / (time.perf_counter() - start)))
        del batches
    return rows


def frozen_images_per_second(config: Config, size: tuple[int, int], batch: int, args: argparse.Namespace) -> float:
    """How many images the trunk alone takes, in inference."""
    backbone = {**config.model.backbone, 'daga_layers': (), 'init_cfg': None}
    backbone = {name: value for name, value in backbone.items() if name not in ('daga_cfg', 'guidance')}
    trunk = MODELS.build(backbone).to(args.device).eval()
    images = torch.randn(batch, 3, *size, device=args.device)
    with torch.no_grad():
        spent = [seconds(lambda: trunk(images), args.device) for _ in range(args.iterations + 1)]
    return batch / statistics.median(spent[1:])


def text(found: dict[str, Any]) -> str:
    """What was found, as Markdown."""
    height, width = found['size']
    lines = [
        f'{found["config"]}: {found["batch"]} synthetic images of {height}×{width}, {found["device"]}',
        '',
        '| part | forward, s | backward, s | of the step, % |',
        '| --- | --- | --- | --- |',
    ]
    for name, part in found['parts'].items():
        spent = sum(part.values())
        cells = [f'{part["forward"]:.2f}', f'{part["backward"]:.2f}' if part['backward'] else '–']
        lines.append(f'| {name} | {" | ".join(cells)} | {100 * spent / found["step_s"]:.0f} |')
    lines += ['', f'In all {found["step_s"]:.2f} s per step, at most {found["step_peak_mb"]:,.0f} MiB.']
    if found.get('loading'):
        lines += ['', '| loaded with | images per second |', '| --- | --- |']
        lines += [f'| {row["workers"]} workers | {row["images_per_s"]:.1f} |' for row in found['loading']]
        lines.append(f'| taken by the frozen trunk, forward | {found["frozen_images_per_s"]:.1f} |')
    return '\n'.join(lines)


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_config(parser)
    parser.add_argument('--size', type=int, nargs=2, metavar=('HEIGHT', 'WIDTH'), help="(default: the config's)")
    parser.add_argument('--batch', type=positive, help="images of a step (default: the config's)")
    parser.add_argument('--iterations', type=positive, default=2, help='after the first (default: 2)')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--workers', type=int, nargs='+', default=[], help='load data too, with so many processes each')
    parser.add_argument('--batches', type=positive, default=20, help='loaded with each number of workers (default: 20)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures here')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    warnings.filterwarnings('ignore')
    with one_line_errors(args.traceback):
        with as_run_error(OSError, ValueError):
            config = load_config(args.config, args.cfg_options)
        if not config.get('optim_wrapper'):
            raise RunError(f'{args.config} trains nothing')
        size = tuple(args.size) if args.size else training_size(config)
        batch = args.batch or config.train_dataloader.batch_size
        found = dict(config=Path(args.config).stem, **measure(config, size, batch, args))
        found['device'] = (
            torch.cuda.get_device_name() if args.device != 'cpu' else f'cpu, {torch.get_num_threads()} threads'
        )
        if args.workers:
            found['loading'] = measure_loading(config, batch, args)
            found['frozen_images_per_s'] = frozen_images_per_second(config, size, batch, args)
    print(text(found))
    if args.json:
        AtomicBackend().put_text(json.dumps(found, indent=1) + '\n', args.json)


if __name__ == '__main__':
    main()
