"""Make any config of the repository small enough for a test, without changing what it is."""

from typing import Any

from mmengine.config import Config

from ..conftest import TINY

DIMS = {'dinov3_vits16': 384, 'dinov3_vitb16': 768, 'dinov3_vitl16': 1024}
WIDTHS = {512: 32, 256: 32, 128: 16}  # of heads, and of positions in them


def arch_of(config: Config) -> dict[str, Any]:
    """The trunk's name, and what the config changes of it."""
    arch = config.model.backbone.arch
    return dict(name=arch) if isinstance(arch, str) else arch.to_dict()


def shrink(config: Config, checkpoint: str | None = None, trunk: dict[str, Any] = TINY) -> Config:
    """A small ``trunk`` in place of the config's, random or from ``checkpoint``; heads with few channels.

    What depends on the trunk's width follows it, so that a width that a config forgot to set is still an error.
    """
    arch = arch_of(config)
    dims = DIMS[arch['name']]
    config.model.setdefault('data_preprocessor', config.get('data_preprocessor', {}))  # where mmpretrain has it
    widths = {} if config.model.type == 'DINO' else WIDTHS  # its decoder encodes places in 256 channels
    kept = ('data_preprocessor', 'train_cfg', 'test_cfg')
    model = {
        key: value if key in kept else _narrow(value, dims, widths, trunk)
        for key, value in config.model.to_dict().items()
    }
    if 'pad_size_divisor' in model['data_preprocessor']:
        model['data_preprocessor']['pad_size_divisor'] = 32  # and no megapixel
    if model['type'] == 'DINO':
        model['num_queries'] = 100  # a small image has not 900 places
        for part in ('encoder', 'decoder'):
            model[part]['num_layers'] = 2
            model[part]['layer_cfg']['ffn_cfg']['feedforward_channels'] = 64
    model['backbone']['arch'] = {**arch, **TINY, **trunk}
    model['backbone']['init_cfg'] = checkpoint and dict(type='Pretrained', checkpoint=str(checkpoint))
    config.model = model
    return config


def _narrow(value: Any, dims: int, widths: dict[int, int], trunk: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        narrow = {key: _narrow(inner, dims, widths, trunk) for key, inner in value.items()}
        return narrow | {'patch_size': trunk['patch_size']} if {'patch_size'} <= trunk.keys() & value.keys() else narrow
    if isinstance(value, list | tuple):
        return type(value)(_narrow(inner, dims, widths, trunk) for inner in value)
    if isinstance(value, int) and not isinstance(value, bool):
        if value in (dims, 2 * dims, 4 * dims):  # a map, the class token beside the mean patch, or four maps
            return trunk['embed_dim'] * value // dims
        return widths.get(value, value)
    return value
