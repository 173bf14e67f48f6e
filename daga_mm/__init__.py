"""DAGA for OpenMMLab: adapt a frozen vision foundation model with its own attention.

Importing the package loads neither torch nor any OpenMMLab package; ``type='daga_mm.DAGAViT'`` in a config
finds the parts through ``daga_mm.registry``.
"""

__version__ = '0.1.0'
