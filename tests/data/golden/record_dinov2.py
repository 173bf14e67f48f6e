"""Record what the official DINOv2 computes with the weights of pseudo_weights.py, in float32 on the CPU.

    PYTHONPATH=/path/to/dinov2 python tests/data/golden/record_dinov2.py

Writes dinov2_<arch>_seed0.npz and dinov2_state_dict_shapes.json beside this file. For each size HxW of one image, with
h = H / 14 and w = W / 14, L outputs (blocks 2, 5, 8, 11; both blocks of the tiny giant):

    HxW/cls            class token after the final norm, every 8th channel: (L, 1, D/8)
    HxW/patch          patches after it as maps, every 16th channel, every 3rd row and column: (L, 1, D/16, h/3, w/3)
    HxW/cls_attn_last  last block's attention from the class token to the patches, mean over heads: (1, h, w)
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pseudo_weights import pseudo_images, pseudo_state_dict
from torch import Tensor

FOLDER = Path(__file__).parent
SIZES = ((224, 224), (518, 518), (196, 560))
# The giant's gated MLP in a model of 0.2 million parameters.
TINY_GIANT = dict(embed_dim=48, depth=2, num_heads=3)


def official_model(arch: str) -> Any:
    """A model of the dinov2 package; arch: 'vits14', 'vits14_reg4' or 'vitg14_tiny'."""
    if arch == 'vitg14_tiny':
        from dinov2.models.vision_transformer import DinoVisionTransformer

        settings: dict[str, Any] = dict(img_size=518, patch_size=14, init_values=1.0, block_chunks=0)
        return DinoVisionTransformer(ffn_layer='swiglufused', **settings, **TINY_GIANT).eval()
    from dinov2.hub import backbones

    return getattr(backbones, f'dinov2_{arch.replace("reg4", "reg")}')(pretrained=False).eval()


@torch.no_grad()
def official_outputs(model: Any, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Maps (L, B, D, h, w), class tokens (L, B, D) and the last block's attention from the class token (B, h, w)."""
    attn = model.blocks[-1].attn
    caught: list[Tensor] = []
    hook = attn.qkv.register_forward_hook(lambda module, args, output: caught.append(output))
    blocks = (2, 5, 8, 11) if len(model.blocks) == 12 else (0, 1)
    outputs = model.get_intermediate_layers(images, blocks, reshape=True, return_class_token=True)
    hook.remove()
    maps, class_tokens = (torch.stack(part) for part in zip(*outputs, strict=True))
    query, key, _ = caught[0].unflatten(-1, (3, attn.num_heads, -1)).unbind(2)  # (B, N, heads, d)
    scores = torch.einsum('bhd,bnhd->bhn', query[:, 0] * attn.scale, key)
    row = scores.softmax(-1).mean(dim=1)[:, -maps[0, 0, 0].numel() :]
    return maps, class_tokens, row.unflatten(1, maps.shape[-2:])


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    archs = {arch: official_model(arch) for arch in ('vits14', 'vits14_reg4', 'vitg14_tiny')}
    shapes = {arch: {k: list(v.shape) for k, v in model.state_dict().items()} for arch, model in archs.items()}
    (FOLDER / 'dinov2_state_dict_shapes.json').write_text(json.dumps(shapes, separators=(',', ':')) + '\n')
    for arch, model in archs.items():
        model.load_state_dict(pseudo_state_dict(arch, seed=0))
        recorded = {}
        for height, width in SIZES:
            maps, class_tokens, row = official_outputs(model, pseudo_images(height, width, seed=0)[:1])
            recorded[f'{height}x{width}/patch'] = maps[:, :, ::16, ::3, ::3].numpy()
            recorded[f'{height}x{width}/cls'] = class_tokens[:, :, ::8].numpy()
            recorded[f'{height}x{width}/cls_attn_last'] = row.numpy()
        np.savez_compressed(FOLDER / f'dinov2_{arch}_seed0.npz', **recorded)


if __name__ == '__main__':
    main()
