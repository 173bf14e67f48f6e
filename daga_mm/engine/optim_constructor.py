"""Parameter groups for every task: upstream's options, layer decay, a rate for adapters, nothing frozen."""

from typing import Any

from mmengine.logging import MMLogger, print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from ..backbones import DAGAViT, find_backbones
from ..registry import OPTIM_WRAPPER_CONSTRUCTORS

OWN_OPTIONS = {'layer_decay_rate': 1.0, 'adapter_lr_mult': None}
UPSTREAM_OPTIONS = (
    'custom_keys',
    'bias_lr_mult',
    'bias_decay_mult',
    'norm_decay_mult',
    'flat_decay_mult',
    'dwconv_decay_mult',
    'dcn_offset_lr_mult',
    'bypass_duplicate',
)
# Tokens and tables that are added to features, as biases are, though they have more than one axis.
_ADDED = {'cls_token', 'reg_token', 'storage_tokens', 'pos_embed', 'level_embed', 'relative_position_bias_table'}


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DAGAOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """One constructor for mmdet, mmseg, mmpretrain and depth: upstream's know only their own backbones.

    ``paramwise_cfg`` takes the options of DefaultOptimWrapperConstructor with their meaning there
    (``custom_keys``, ``bias_lr_mult``, ``bias_decay_mult``, ``norm_decay_mult``, ``flat_decay_mult``,
    ``dwconv_decay_mult``, ``dcn_offset_lr_mult``, ``bypass_duplicate``, here True by default), and

    - ``layer_decay_rate`` (1.0): the trunk's learning rate falls by this factor per block from the last one down
      (arXiv:2106.08254); what is not in the trunk keeps the full rate.
    - ``adapter_lr_mult`` (None): factor on the learning rate of what the backbone's adapters train, in the trunk too;
      a dict has factors by adapter, ``dict(daga=0.5)``. None, or an adapter that is not in it: its own ``lr_mult``.

    These two multiply the rate that upstream's options give. Where none of upstream's options sets a weight decay,
    that of an adapter's modules is multiplied by its ``decay_mult``, and there is none on parameters with one axis or
    none (norms, biases, layer scales, mixing weights), embeddings, tokens and position tables. Frozen parameters are in
    no group. Parameters that share all settings are one group, whose ``name`` says what it is.

    Raises:
        ValueError: Unknown options, or nothing to train.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        options = {**OWN_OPTIONS, 'bypass_duplicate': True, **(paramwise_cfg or {})}
        unknown = options.keys() - OWN_OPTIONS.keys() - set(UPSTREAM_OPTIONS)
        if unknown:
            raise ValueError(
                f'paramwise_cfg has no {", ".join(sorted(unknown))}; it takes '
                + ', '.join((*OWN_OPTIONS, *UPSTREAM_OPTIONS))
            )
        super().__init__(optim_wrapper_cfg, options)
        self._upstream = DefaultOptimWrapperConstructor(
            optim_wrapper_cfg, {name: value for name, value in options.items() if name in UPSTREAM_OPTIONS}
        )

    def add_params(self, params: list[dict], module: nn.Module, **kwargs) -> None:
        """Append the groups of a whole model to ``params``."""
        names = {parameter: name for name, parameter in module.named_parameters()}
        backbones = find_backbones(module)
        embeddings = {child.weight for child in module.modules() if isinstance(child, nn.Embedding)}
        groups: dict[str, dict[str, Any]] = {}
        for options in self._upstream_groups(module):
            (parameter,) = options.pop('params')
            for applied in ('lr_mult', 'decay_mult'):  # of a custom key, which upstream leaves beside the result
                options.pop(applied, None)
            name = names[parameter]
            part, factor, decay = self._part(name, backbones)
            if self.base_lr is not None:
                options.setdefault('lr', self.base_lr)
                options['lr'] *= factor
            if parameter.ndim <= 1 or parameter in embeddings or name.rpartition('.')[2] in _ADDED:
                options.setdefault('weight_decay', 0.0)  # explicit: the optimiser's own default may differ
            elif decay != 1:
                options.setdefault('weight_decay', decay * (self.base_wd or 0.0))
            if options.get('weight_decay') == 0:
                part += ', no weight decay'
            key = f'{part} {sorted(options.items())}'
            groups.setdefault(key, {'name': part, 'params': [], **options})['params'].append(parameter)
        if not groups:
            raise ValueError('there is nothing to train: every parameter of the model is frozen')
        for group in groups.values():
            params.append(group)
            count = sum(parameter.numel() for parameter in group['params'])
            rate = f', lr × {group["lr"] / self.base_lr:.4g}' if self.base_lr else ''
            print_log(f'optimiser group {group["name"]}: {count:,} parameters{rate}', 'current')

    def _upstream_groups(self, module: nn.Module) -> list[dict]:
        """A group for each trained parameter, with the settings that upstream's options give it."""
        groups: list[dict] = []
        logger = MMLogger.get_current_instance()
        logger.disabled = True  # it writes lines for each parameter, for frozen ones a warning
        try:
            self._upstream.add_params(groups, module)
        finally:
            logger.disabled = False
        return groups

    def _part(self, name: str, backbones: dict[str, DAGAViT]) -> tuple[str, float, float]:
        """What a parameter belongs to, and the factors on its learning rate and weight decay."""
        for prefix, backbone in backbones.items():
            inner = name.removeprefix(f'{prefix}.' if prefix else '')
            if inner == name and prefix:
                continue
            adapters: Any = backbone.adapters
            for key, adapter in adapters.items():
                own = inner.startswith(f'adapters.{key}.')
                if own or (inner.startswith('trunk.') and adapter.trains(inner.removeprefix('trunk.'))):
                    given = self.paramwise_cfg['adapter_lr_mult']
                    given = given.get(key) if isinstance(given, dict) else given
                    return key, adapter.lr_mult if given is None else given, adapter.decay_mult if own else 1.0
            decay = self.paramwise_cfg['layer_decay_rate']
            if decay == 1:
                return 'trunk', 1.0, 1.0
            depth, num_depths = backbone.get_layer_depth(inner)
            return f'trunk, depth {depth}', decay ** (num_depths - 1 - depth), 1.0
        return 'neck and head', 1.0, 1.0
