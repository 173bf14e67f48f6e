"""The models that are compared: DAGAViT itself, and its rivals around the same trunk."""

from dataclasses import dataclass
from typing import Any

import torch
from rivals import add_bottlenecks, add_lora
from torch import nn

from daga_mm.backbones import DAGAViT

from .two_pass import TwoPassDAGAViT

CASES = {
    'frozen': 'the plain trunk',
    'daga': 'DAGAViT',
    'two_pass': 'the plain two-pass algorithm, with the whole attention matrix',
    'full': 'full fine-tuning',
    'lora': 'LoRA on the attention of every block, of the size of DAGA (needs peft)',
    'bottleneck': 'a bottleneck beside the MLP of every block, as in AdaptFormer, of the size of DAGA',
    'guidance': 'DAGAViT.guidance_map alone',
}


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        name: One of CASES.
        layers: Of DAGA.
        guidance: As on the command line, see `parse_guidance`; '' where there is none.
        with_cp: Recompute activations in the backward pass.
    """

    name: str
    layers: tuple[int, ...] = ()
    guidance: str = ''
    with_cp: bool = False

    def __str__(self) -> str:
        parts = [self.guidance, f'layers {" ".join(map(str, self.layers))}' * bool(self.layers)]
        details = ', '.join(part for part in [*parts, 'with_cp' * self.with_cp] if part)
        return f'{self.name} ({details})' if details else self.name


def parse_guidance(text: str) -> dict[str, Any] | None:
    """'inline', 'frozen', 'frozen:layer=5,scale=0.5' as DAGAViT's argument; 'default' as None.

    Raises:
        ValueError: The text has another form.
    """
    if text == 'default':
        return None
    source, _, options = text.partition(':')
    try:
        pairs = dict(option.split('=') for option in options.split(',')) if options else {}
        found = {name: float(value) if name == 'scale' else int(value) for name, value in pairs.items()}
    except ValueError:
        raise ValueError(f'guidance is like inline, frozen or frozen:layer=5,scale=0.5, not {text!r}') from None
    return dict(source=source, **found)


def describe_guidance(model: DAGAViT) -> str:
    """The inverse of `parse_guidance`, of a model as it was built; the last layer and scale 1 go without saying."""
    if model.guidance_source == 'inline':
        return 'inline'
    options = [
        f'layer={model.guidance_layer}' * (model.guidance_layer != model.num_layers - 1),
        f'scale={model.guidance_scale:g}' * (model.guidance_scale != 1),
    ]
    chosen = ','.join(option for option in options if option)
    return f'frozen:{chosen}' if chosen else 'frozen'


def build(case: Case, arch: str, size_of: tuple[int, ...]) -> DAGAViT:
    """The case's model with random weights; no adapter is the identity any more.

    Args:
        case: Which.
        arch: The trunk's.
        size_of: The DAGA layers whose number of parameters LoRA and bottlenecks have, as nearly as they can.

    Raises:
        ModuleNotFoundError: LoRA without peft.
    """
    torch.manual_seed(0)
    if case.name in ('daga', 'two_pass', 'guidance'):
        settings: dict[str, Any] = dict(daga_layers=case.layers, guidance=parse_guidance(case.guidance))
    else:
        settings = dict(daga_layers=(), frozen=case.name != 'full')
    model = (TwoPassDAGAViT if case.name == 'two_pass' else DAGAViT)(arch=arch, with_cp=case.with_cp, **settings)
    if case.name in ('lora', 'bottleneck'):
        with torch.device('meta'):
            target = sum(p.numel() for p in DAGAViT(arch=arch, daga_layers=size_of).adapters.parameters())
        (add_lora if case.name == 'lora' else add_bottlenecks)(model, target)
    if case.name != 'full':
        for parameter in model.parameters():
            if parameter.requires_grad and not parameter.any():
                nn.init.normal_(parameter, std=0.01)
    return model
