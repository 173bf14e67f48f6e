"""DAGA for OpenMMLab: adapt a frozen vision foundation model with its own attention.

Importing the package loads neither torch nor any OpenMMLab package; ``type='daga_mm.DAGAViT'`` in a config
finds the parts through ``daga_mm.registry``.
"""

from pathlib import Path

__all__ = ['__version__', 'config_path']

__version__ = '0.1.0'


def config_path(name: str) -> str:
    """The file of a config of this package, in a clone and in an installed package.

    For configs elsewhere, since mmengine refuses ``daga_mm::`` and has no imports in ``_base_``::

        _base_ = __import__('daga_mm').config_path('mmdet/mask-rcnn_daga-vits16_vitadapter_8xb2-1x_coco.py')

    Args:
        name: Its path below ``configs``.

    Raises:
        FileNotFoundError: There is no such config.
    """
    path = Path(__file__).parent / '.mim/configs' / name
    if not path.is_file():
        raise FileNotFoundError(f'no config {name} in {path.parents[len(Path(name).parts) - 1]}: mim search daga_mm')
    return str(path)
