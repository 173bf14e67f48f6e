"""Do the operators of daga_mm.compat give what a compiled mmcv gives? Run it in an environment of each kind.

    python tools/analysis_tools/operator_parity.py --out compat.safetensors       # with mmcv-lite
    python tools/analysis_tools/operator_parity.py --against compat.safetensors   # with the mmcv of tools/build_mmcv.sh

Both compute the same things from the same seed: single operators with their gradients, then the losses, their gradients
and the detections of a Mask R-CNN on DAGAViT with random weights. Each line is the largest absolute difference,
and beside it the largest value. An operator that mmcv has not compiled for this device is left out, by name.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from daga_mm.compat import mmcv_kind

CONFIG = Path(__file__).parents[2] / 'configs/mmdet/mask-rcnn_daga-vits16_vitadapter_8xb2-1x_coco.py'


def random(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers, with gradient."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def boxes(count: int, side: float) -> Tensor:
    """``count`` boxes (x1, y1, x2, y2) in a square of ``side`` pixels."""
    corners = torch.rand(count, 4, generator=torch.Generator().manual_seed(1)) * side
    return torch.cat([torch.minimum(corners[:, :2], corners[:, 2:]), torch.maximum(corners[:, :2], corners[:, 2:])], 1)


def with_gradients(output: Tensor, **inputs: Tensor) -> dict[str, Tensor]:
    """An operator's output, and the gradients of its sum, weighted by position, for each input."""
    weights = torch.linspace(-1, 1, output.numel()).view_as(output)
    gradients = torch.autograd.grad((output * weights).sum(), list(inputs.values()))
    return {'output': output.detach()} | {f'gradient of {k}': g for k, g in zip(inputs, gradients, strict=True)}


def nms() -> dict[str, Tensor]:
    from mmcv.ops import batched_nms

    some = boxes(300, 100)
    scores = torch.rand(300, generator=torch.Generator().manual_seed(2))
    kept, indices = batched_nms(some, scores, torch.arange(300) % 5, dict(type='nms', iou_threshold=0.5))
    return {'boxes and scores': kept, 'indices': indices.float()}


def soft_nms() -> dict[str, Tensor]:
    from mmcv.ops import soft_nms

    kept, indices = soft_nms(boxes(100, 60), torch.rand(100, generator=torch.Generator().manual_seed(2)))
    return {'boxes and scores': kept, 'indices': indices.float()}


def roi_align() -> dict[str, Tensor]:
    from mmcv.ops import RoIAlign

    features = random(2, 8, 32, 40)
    rois = torch.cat([(torch.arange(50) % 2)[:, None].float(), boxes(50, 128)], dim=1)
    return with_gradients(RoIAlign(7, 0.25, 0)(features, rois), features=features)


def focal_loss() -> dict[str, Tensor]:
    from mmcv.ops import sigmoid_focal_loss

    scores = random(200, 10)
    return with_gradients(sigmoid_focal_loss(scores, torch.arange(200) % 11, 2.0, 0.25, None, 'none'), scores=scores)


def deform_conv() -> dict[str, Tensor]:
    from mmcv.ops import deform_conv2d

    features, offsets, weight = random(2, 8, 12, 16), random(2, 18, 12, 16, seed=1), random(6, 8, 3, 3, seed=2)
    output = deform_conv2d(features, offsets, weight, 1, 1)
    return with_gradients(output, features=features, offsets=offsets, weight=weight)


def modulated_deform_conv() -> dict[str, Tensor]:
    from mmcv.ops import modulated_deform_conv2d

    features, offsets, weight = random(2, 8, 12, 16), random(2, 18, 12, 16, seed=1), random(6, 8, 3, 3, seed=2)
    mask = random(2, 9, 12, 16, seed=3)
    output = modulated_deform_conv2d(features, offsets, mask.sigmoid(), weight, None, 1, 1)
    return with_gradients(output, features=features, offsets=offsets, mask=mask, weight=weight)


def mask_rcnn() -> dict[str, Tensor]:
    from mmdet.testing import demo_mm_inputs
    from mmengine.registry import MODELS, init_default_scope

    from daga_mm.cli.config import load_config

    config = load_config(CONFIG)
    config.model.backbone.init_cfg = None  # random weights, the same in both environments
    config.model.test_cfg.rcnn.score_thr = 0.0  # a random head is sure of nothing
    init_default_scope('mmdet')
    torch.manual_seed(1)  # with 0 two of 1000 proposals share a score, and their order, so the samplers' draw, is free
    model = MODELS.build(config.model)
    model.eval()
    images = [[3, 224, 288]]
    samples = demo_mm_inputs(1, images, num_items=[6], num_classes=80, with_mask=True)
    batch = model.data_preprocessor(samples, False)
    torch.manual_seed(0)  # of the samplers
    losses = model.loss(batch['inputs'], batch['data_samples'])
    results = {
        name: torch.stack([t.detach() for t in value] if isinstance(value, list) else [value.detach()])
        for name, value in losses.items()
    }
    total, _ = model.parse_losses(losses)
    total.backward()
    trained = {name: p.grad.norm() for name, p in model.named_parameters() if p.grad is not None}
    results['gradient norms'] = torch.stack([trained[name] for name in sorted(trained)])
    with torch.no_grad():
        found = model.predict(batch['inputs'], batch['data_samples'], rescale=False)[0].pred_instances
    results['detected boxes'], results['their scores'] = found.bboxes, found.scores
    results['their labels'], results['their masks'] = found.labels.float(), found.masks.float().mean(dim=(1, 2))
    return results


CASES = (nms, soft_nms, roi_align, focal_loss, deform_conv, modulated_deform_conv, mask_rcnn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, metavar='FILE', help='write the results here')
    parser.add_argument('--against', type=Path, metavar='FILE', help='compare with the results in here')
    args = parser.parse_args()
    print(f'operators: {"compiled mmcv" if mmcv_kind() == "compiled" else "daga_mm.compat"}, torch {torch.__version__}')
    results = {}
    for case in CASES:
        try:
            found = case()
        except (NotImplementedError, RuntimeError) as error:
            reasons = ('not implemented', 'not compiled', 'implementation for device')
            if not any(reason in str(error) for reason in reasons):
                raise
            print(f'{case.__name__}: left out, {str(error).splitlines()[0]}')
            continue
        results |= {f'{case.__name__}: {name}': value.contiguous() for name, value in found.items()}
    if args.out:
        part = args.out.with_name(args.out.name + '.part')
        save_file(results, part)
        part.replace(args.out)
        print(f'{len(results)} results in {args.out}')
    if args.against:
        other = load_file(args.against)
        for name in sorted(set(results) | set(other)):
            if name not in results or name not in other:
                print(f'{name:48} only {"here" if name in results else f"in {args.against}"}')
            elif results[name].shape != other[name].shape:
                print(f'{name:48} shapes {tuple(results[name].shape)} and {tuple(other[name].shape)}')
            else:
                error = (results[name] - other[name]).abs().max()
                print(f'{name:48} {error:10.2e} of {other[name].abs().max():10.4g}')


if __name__ == '__main__':
    main()
