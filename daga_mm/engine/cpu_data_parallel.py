"""DDP on the CPU: without devices, with plain batch norm."""

from typing import Any

from mmengine.logging import print_log
from mmengine.model import MMDistributedDataParallel, revert_sync_batchnorm
from torch import nn

from ..registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class CPUDataParallel(MMDistributedDataParallel):
    """DDP for a model on the CPU.

    Synchronised batch norm exists on GPUs only: here each process takes the statistics of its own images.

    Args:
        module: The model.
        device_ids: Ignored.
        **kwargs: As for `MMDistributedDataParallel`.
    """

    def __init__(self, module: nn.Module, device_ids: Any = None, **kwargs: Any) -> None:
        if any(type(part).__name__ == 'SyncBatchNorm' for part in module.modules()):  # torch's or mmcv's
            print_log('SyncBN needs GPUs: on the CPU it is BN, with the statistics of each process', 'current')
            module = revert_sync_batchnorm(module)
        super().__init__(module, **kwargs)
