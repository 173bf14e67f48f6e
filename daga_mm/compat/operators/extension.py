"""The stand-in for ``mmcv._ext``: same names, same arguments as in mmcv 2.1's ``pybind.cpp``.

Deformable attention is no operator of it: mmcv's module, which has a slow way around the extension, is changed.
It is loaded under the name ``mmcv._ext`` by ``daga_mm.compat.mmcv_ops``, hence the absolute imports. What is
not here, ``__getattr__`` answers for: mmcv asks for every operator when ``mmcv.ops`` is imported, so that the
refusal has to wait for the call.
"""

from collections.abc import Callable
from typing import NoReturn

from daga_mm.compat.operators.boxes import nms, softnms
from daga_mm.compat.operators.deform_attn import replace_deformable_attention
from daga_mm.compat.operators.deform_conv import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from daga_mm.compat.operators.focal_loss import sigmoid_focal_loss_backward, sigmoid_focal_loss_forward
from daga_mm.compat.operators.refusal import not_compiled
from daga_mm.compat.operators.roi_align import roi_align_backward, roi_align_forward

__all__ = [
    'deform_conv_backward_input',
    'deform_conv_backward_parameters',
    'deform_conv_forward',
    'get_compiler_version',
    'get_compiling_cuda_version',
    'modulated_deform_conv_backward',
    'modulated_deform_conv_forward',
    'nms',
    'roi_align_backward',
    'roi_align_forward',
    'sigmoid_focal_loss_backward',
    'sigmoid_focal_loss_forward',
    'softnms',
]


def get_compiler_version() -> str:
    """What ``collect_env`` prints beside "MMCV Compiler"."""
    return 'not compiled (operators of daga_mm.compat)'


def get_compiling_cuda_version() -> str:
    """What ``collect_env`` prints beside "MMCV CUDA Compiler"."""
    return 'not compiled (operators of daga_mm.compat)'


def __getattr__(name: str) -> Callable[..., NoReturn]:
    if name.startswith('__'):  # the import system's own questions
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

    def refused(*args, **kwargs) -> NoReturn:
        raise not_compiled(name)

    return refused


replace_deformable_attention()  # mmcv.ops loads us before anyone can have taken its functions
