"""Pictures of panoptic predictions, also of those that are empty."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.visualization import DetLocalVisualizer

from ..registry import VISUALIZERS


@VISUALIZERS.register_module()
class PanopticVisualizer(DetLocalVisualizer):
    """mmdet's, which fails at an image without a segment: what a model predicts at first, and so in every dry run."""

    def _draw_panoptic_seg(
        self, image: np.ndarray, panoptic_seg: Any, classes: Sequence[str], palette: Sequence | None
    ) -> np.ndarray:
        """The image (H, W, 3) with the segments of ``panoptic_seg.sem_seg`` (1, H, W) on it, if there are any."""
        if (panoptic_seg.sem_seg == len(classes)).all():  # of no class
            return image
        return super()._draw_panoptic_seg(image, panoptic_seg, classes, palette)
