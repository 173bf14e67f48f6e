"""How far DAGAViT's frozen trunk is from the official DINOv3, in numbers.

    python tools/analysis_tools/parity.py                      # against recorded outputs of the official code
    PYTHONPATH=/path/to/dinov3 python tools/analysis_tools/parity.py   # and beside the code itself
    python tools/analysis_tools/parity.py --device cuda        # on a GPU

Both with weights that anybody can rebuild (tests/data/golden/pseudo_weights.py), not with the gated ones. Each line is
the largest absolute difference in float32 on this machine: of the maps at all outputs, and of the raw guidance row.
"""

import argparse
import importlib.util
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from daga_mm.backbones import DAGAViT

GOLDEN = Path(__file__).resolve().parents[2] / 'tests/data/golden'
SIZES = ((224, 224), (160, 256))


def outputs(model: DAGAViT, images: Tensor, device: str) -> tuple[Tensor, Tensor]:
    """Maps (outputs, B, D, h, w) and the raw guidance row (B, h, w), computed on a device."""
    images = images.to(device)
    with torch.no_grad():
        return torch.stack(model.to(device)(images)).cpu(), model.guidance_map(images, normalize=False).cpu()


def frozen(arch: str, source: str, checkpoint: Path) -> DAGAViT:
    """A model without DAGA, its trunk loaded from ``checkpoint``."""
    init_cfg = dict(type='Pretrained', checkpoint=str(checkpoint))
    model = DAGAViT(f'dinov3_{arch}', source=source, daga_layers=(), init_cfg=init_cfg)
    model.init_weights()
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--arch', nargs='+', default=['vits16', 'vitb16', 'vitl16'], metavar='ARCH')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--tf32', action='store_true', help="cuDNN's convolutions in tf32, as PyTorch has it on a GPU")
    args = parser.parse_args()
    torch.backends.cudnn.allow_tf32 = args.tf32
    sys.path.append(str(GOLDEN))
    from pseudo_weights import pseudo_images, pseudo_state_dict

    official = importlib.util.find_spec('dinov3') is not None
    print(f'{"trunk":8}{"image":>10}  {"against":22}{"maps":>10}{"guidance":>12}')
    for arch in args.arch:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = Path(folder) / f'{arch}.pth'
            torch.save(pseudo_state_dict(arch, seed=0), checkpoint)
            ours = frozen(arch, 'timm', checkpoint)
            theirs = frozen(arch, 'dinov3', checkpoint) if official else None
        golden = np.load(GOLDEN / f'dinov3_{arch}_seed0.npz')
        for height, width in SIZES:
            images = pseudo_images(height, width, seed=0)
            maps, row = outputs(ours, images, args.device)
            pairs = []
            if f'{height}x{width}/patch' in golden:
                recorded = [torch.from_numpy(golden[f'{height}x{width}/{kind}']) for kind in ('patch', 'cls_attn_last')]
                pairs.append(('recorded outputs', recorded, (maps[:, :, ::16, ::3, ::3], row)))
            if theirs is not None:
                pairs.append(('the dinov3 package', outputs(theirs, images, args.device), (maps, row)))
            for name, expected, given in pairs:
                errors = [float((a - b).abs().max()) for a, b in zip(given, expected, strict=True)]
                print(f'{arch:8}{f"{height}×{width}":>10}  {name:22}{errors[0]:10.1e}{errors[1]:12.1e}', flush=True)


if __name__ == '__main__':
    main()
