"""Parameter groups for every task: layer decay, no decay where it harms, DAGA's own rate, nothing frozen."""

from collections import defaultdict
from typing import Any

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from ..backbones import DAGAViT
from ..registry import OPTIM_WRAPPER_CONSTRUCTORS

OPTIONS = {'layer_decay_rate': 1.0, 'daga_lr_mult': 1.0}
# Tables and tokens that act as biases though they have more than one axis.
_BIASES = ('cls_token', 'reg_token', 'storage_tokens', 'pos_embed', 'level_embed', 'relative_position_bias_table')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DAGAOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """One constructor for mmdet, mmseg, mmpretrain and depth: upstream's know only their own backbones.

    ``paramwise_cfg`` takes

    - ``layer_decay_rate`` (1.0): the trunk's learning rate falls by this factor per block from the last one down
      (arXiv:2106.08254); what is not in the trunk keeps the full rate.
    - ``daga_lr_mult`` (1.0): factor on the learning rate of the DAGA modules, which start from the identity.

    Weight decay spares everything with one axis or none (norms, biases, layer scales, DAGA's mixing weights), tokens
    and position tables. Frozen parameters are in no group. A group is what shares rate and decay; its ``name`` says
    what it is.

    Raises:
        ValueError: Unknown options, or nothing to train.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        unknown = set(paramwise_cfg or ()) - set(OPTIONS)
        if unknown:
            raise ValueError(f'paramwise_cfg has no {", ".join(sorted(unknown))}; it takes {", ".join(OPTIONS)}')
        super().__init__(optim_wrapper_cfg, OPTIONS | dict(paramwise_cfg or {}))

    def add_params(self, params: list[dict], module: nn.Module, **kwargs) -> None:
        """Append the groups of a whole model to ``params``."""
        backbones = {name: child for name, child in module.named_modules() if isinstance(child, DAGAViT)}
        groups: dict[str, list[nn.Parameter]] = defaultdict(list)
        rates: dict[str, float] = {}
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            part, factor = self._part_and_factor(name, backbones)
            spared = parameter.ndim <= 1 or name.rpartition('.')[2] in _BIASES
            group = part + ', no weight decay' * spared
            groups[group].append(parameter)
            rates[group] = factor
        if not groups:
            raise ValueError('there is nothing to train: every parameter of the model is frozen')
        for name, members in groups.items():
            options: dict[str, Any] = {'name': name, 'params': members}
            if self.base_lr is not None:
                options['lr'] = self.base_lr * rates[name]
            if name.endswith('no weight decay'):  # also where the optimiser's own default is not 0
                options['weight_decay'] = 0.0
            params.append(options)
            count = sum(parameter.numel() for parameter in members)
            print_log(f'optimiser group {name}: {count:,} parameters, lr × {rates[name]:.4g}', 'current')

    def _part_and_factor(self, name: str, backbones: dict[str, DAGAViT]) -> tuple[str, float]:
        """What a parameter belongs to, and the factor on its learning rate."""
        for prefix, backbone in backbones.items():
            inner = name.removeprefix(f'{prefix}.' if prefix else '')
            if inner == name and prefix:
                continue
            if inner.startswith('adapters.'):
                return 'DAGA', self.paramwise_cfg['daga_lr_mult']
            depth, num_depths = backbone.get_layer_depth(inner)
            decay = self.paramwise_cfg['layer_decay_rate']
            if decay == 1:
                return 'trunk', 1.0
            return f'trunk, depth {depth}', decay ** (num_depths - 1 - depth)
        return 'neck and head', 1.0
