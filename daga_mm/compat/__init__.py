"""What today's torch needs from yesterday's mm packages. Importing this package installs it.

Configs carry ``custom_imports = dict(imports=['daga_mm.compat'], allow_failed_imports=False)``, so that it
acts with our tools, with mim, and with upstream's own ``tools/train.py`` alike. It does three things:

- ``mmcv_ops``: the compiled operators of mmcv that dense prediction needs run on torchvision where mmcv has
  been installed without a compiler. A compiled mmcv is left alone.
- ``safe_load``: mmengine loads checkpoints, its own and safetensors, without running what may be in them.
- ``multimodal``: mmpretrain leaves out its multimodal models where transformers is too new for them.

The import takes effect once, prints nothing, and imports neither mmcv nor torchvision.
"""

from ..io import allow_mmengine_checkpoints
from .mmcv_ops import install_operators, mmcv_kind
from .multimodal import spare_multimodal
from .safe_load import install_loaders

__all__ = [
    'install_loaders',
    'install_operators',
    'mmcv_kind',
    'spare_multimodal',
]

install_operators()
allow_mmengine_checkpoints()
install_loaders()
spare_multimodal()
