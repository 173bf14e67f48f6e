"""How far DAGAViT's frozen trunk is from the official DINOv3 and DINOv2, in numbers.

    python tools/analysis_tools/parity.py                      # against recorded outputs of the official code
    PYTHONPATH=/path/to/dinov3:/path/to/dinov2 python tools/analysis_tools/parity.py   # and beside the code itself
    python tools/analysis_tools/parity.py --device cuda        # on a GPU

With weights that anybody can rebuild (tests/data/golden/pseudo_weights.py), not with the published ones. Each line is
the largest absolute difference in float32 on this machine: of the maps at all outputs, and of the raw guidance row.
"""

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from daga_mm.backbones import DAGAViT

GOLDEN = Path(__file__).resolve().parents[2] / 'tests/data/golden'
sys.path.append(str(GOLDEN))
from pseudo_weights import pseudo_images, pseudo_state_dict  # noqa: E402  (they lie beside their data)
from record_dinov2 import TINY_GIANT, official_model, official_outputs  # noqa: E402

# The official name -> (package, architecture for DAGAViT, outputs).
TRUNKS = {
    'vits16': ('dinov3', 'dinov3_vits16', None),
    'vitb16': ('dinov3', 'dinov3_vitb16', None),
    'vitl16': ('dinov3', 'dinov3_vitl16', None),
    'vits14': ('dinov2', 'vit_small_patch14_dinov2', None),
    'vits14_reg4': ('dinov2', 'vit_small_patch14_reg4_dinov2', None),
    'vitg14_tiny': ('dinov2', dict(name='vit_giant_patch14_dinov2', **TINY_GIANT), (0, 1)),
}
Outputs = Callable[[Tensor], tuple[Tensor, Tensor]]  # images -> maps (outputs, B, D, h, w), raw guidance row (B, h, w)


def frozen(arch: str | dict, out_indices: tuple[int, ...] | None, checkpoint: Path, device: str, **kwargs) -> Outputs:
    """DAGAViT without DAGA, its trunk loaded from ``checkpoint``, on a device."""
    init_cfg = dict(type='Pretrained', checkpoint=str(checkpoint))
    model = DAGAViT(arch, out_indices=out_indices, adapter=None, init_cfg=init_cfg, **kwargs)
    model.init_weights()
    model.eval().to(device)

    def outputs(images: Tensor) -> tuple[Tensor, Tensor]:
        images = images.to(device)
        with torch.no_grad():
            return torch.stack(model(images)).cpu(), model.guidance_map(images, normalize=False).cpu()

    return outputs


def official_dinov2(name: str, checkpoint: Path, device: str) -> Outputs:
    """The dinov2 package's model, its weights loaded from ``checkpoint``, on a device."""
    model = official_model(name)
    model.load_state_dict(torch.load(checkpoint))
    model.to(device)

    def outputs(images: Tensor) -> tuple[Tensor, Tensor]:
        maps, _, row = official_outputs(model, images.to(device))
        return maps.cpu(), row.cpu()

    return outputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--arch', nargs='+', default=list(TRUNKS), choices=list(TRUNKS), metavar='ARCH')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--tf32', action='store_true', help="cuDNN's convolutions in tf32, as PyTorch has it on a GPU")
    args = parser.parse_args()
    torch.backends.cudnn.allow_tf32 = args.tf32

    print(f'{"trunk":12}{"image":>10}  {"against":22}{"maps":>10}{"guidance":>12}')
    for name in args.arch:
        package, arch, out_indices = TRUNKS[name]
        theirs: Outputs | None = None
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = Path(folder) / f'{name}.pth'
            torch.save(pseudo_state_dict(name, seed=0), checkpoint)
            ours = frozen(arch, out_indices, checkpoint, args.device)
            if importlib.util.find_spec(package) and package == 'dinov3':
                theirs = frozen(arch, out_indices, checkpoint, args.device, source='dinov3')
            elif importlib.util.find_spec(package):
                theirs = official_dinov2(name, checkpoint, args.device)
        golden = np.load(GOLDEN / f'{package}_{name}_seed0.npz')
        for size in dict.fromkeys(key.split('/')[0] for key in golden):
            height, width = map(int, size.split('x'))
            recorded = [torch.from_numpy(golden[f'{size}/{kind}']) for kind in ('patch', 'cls_attn_last')]
            images = pseudo_images(height, width, seed=0)[: len(recorded[1])]
            maps, row = ours(images)
            pairs = [('recorded outputs', recorded, (maps[:, :, ::16, ::3, ::3], row))]
            if theirs is not None:
                pairs.append((f'the {package} package', theirs(images), (maps, row)))
            for against, expected, given in pairs:
                errors = [float((a - b).abs().max()) for a, b in zip(given, expected, strict=True)]
                print(f'{name:12}{f"{height}×{width}":>10}  {against:22}{errors[0]:10.1e}{errors[1]:12.1e}', flush=True)


if __name__ == '__main__':
    main()
