"""Other ways to adapt a frozen trunk, beside which DAGA is put: of any size, the identity until they are trained.

Each function changes a DAGAViT that has no DAGA layers, and leaves trained what the method trains.
"""

import importlib

import torch
from torch import Tensor, nn

from daga_mm.backbones import DAGAViT


def add_lora(model: DAGAViT, target: int) -> None:
    """Low-rank updates (arXiv:2106.09685) of the projections before and after attention, ``target`` parameters.

    Raises:
        ModuleNotFoundError: peft is not installed.
    """
    try:
        peft = importlib.import_module('peft')
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("the case 'lora' needs peft: pip install peft, or leave it out") from error
    blocks = model.trunk.model.blocks
    for block in blocks:
        if getattr(block.attn, 'q_bias', None) is not None:
            # Else timm takes qkv's weight only, and never calls what peft puts there.
            block.attn.qkv_bias_separate = True
    ends = [block.attn.get_submodule(name) for block in blocks for name in ('qkv', 'proj')]
    rank = max(1, round(target / sum(end.in_features + end.out_features for end in ends)))
    targets = r'.*blocks\.\d+\.attn\.(qkv|proj)'  # the patch embedding has a `proj` too, a convolution
    peft.inject_adapter_in_model(peft.LoraConfig(r=rank, lora_alpha=rank, target_modules=targets), model.trunk)


def add_bottlenecks(model: DAGAViT, target: int) -> None:
    """Bottlenecks beside every MLP, after AdaptFormer (arXiv:2205.13535), with ``target`` parameters in all."""
    blocks, dims = model.trunk.model.blocks, model.embed_dims
    hidden = max(1, round((target / len(blocks) - dims) / (2 * dims + 1)))
    for block in blocks:
        block.mlp = BesideBottleneck(block.mlp, dims, hidden)


class BesideBottleneck(nn.Module):
    """A frozen MLP with a trained bottleneck beside it."""

    def __init__(self, mlp: nn.Module, embed_dims: int, hidden: int, scale: float = 0.1) -> None:
        super().__init__()
        self.mlp = mlp
        self.scale = scale
        self.down = nn.Linear(embed_dims, hidden)
        self.up = nn.Linear(hidden, embed_dims)
        nn.init.kaiming_uniform_(self.down.weight, a=5**0.5)
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, D) -> (B, N, D)."""
        return self.mlp(x) + self.scale * self.up(self.down(x).relu())


def train_biases(model: DAGAViT) -> None:
    """Train the trunk's biases and nothing else of it, as BitFit does (arXiv:2106.10199)."""
    unused = model.trunk.unused_prefixes()
    for name, parameter in model.trunk.named_parameters():
        parameter.requires_grad_(name.endswith('bias') and not name.startswith(unused))


def add_prompts(model: DAGAViT, count: int) -> None:
    """``count`` trained tokens in front of every block's patches, as in deep visual prompt tuning (arXiv:2203.12119).

    What a block makes of them is dropped. They have no positions, like the trunk's other prefix tokens.
    """
    trunk = model.trunk
    blocks, start = trunk.model.blocks, trunk.num_prefix_tokens
    prompts = nn.Parameter(torch.empty(len(blocks), count, model.embed_dims))
    nn.init.normal_(prompts, std=0.02)
    trunk.prompts = prompts

    def insert(module: nn.Module, inputs: tuple, tokens: Tensor) -> Tensor:
        own = prompts[:1].expand(len(tokens), -1, -1)
        return torch.cat([tokens[:, :start], own, tokens[:, start:]], dim=1)

    def renew(index: int):
        def before(module: nn.Module, inputs: tuple) -> tuple:
            tokens = inputs[0]
            own = prompts[index].expand(len(tokens), -1, -1)
            return (torch.cat([tokens[:, :start], own, tokens[:, start + count :]], dim=1), *inputs[1:])

        return before

    trunk.model.norm_pre.register_forward_hook(insert)
    trunk.num_prefix_tokens += count
    for index, block in enumerate(blocks):
        block.attn.num_prefix_tokens += count
        if index:
            block.register_forward_pre_hook(renew(index))
