"""mmseg's depth estimator with working inference modes."""

from collections.abc import Sequence

from mmseg.models import DepthEstimator as MMSegDepthEstimator
from torch import Tensor

from ..registry import MODELS


@MODELS.register_module()
class DepthEstimator(MMSegDepthEstimator):
    """mmseg's DepthEstimator for the heads of this package.

    Differences: ``mode='tensor'`` has the image's resolution; depth of the padding up to whole patches is cropped
    rather than resized; sliding windows work (upstream's mode='slide' predicts the whole image); and averaging over
    the image and its mirror image is a separate option for images of any size.

    ``test_cfg`` takes

    - ``mode``: 'whole' (default), or 'slide' with ``crop_size`` and ``stride``;
    - ``flip``: True averages the depth of the image with that of its mirror image.
    """

    def encode_decode(self, inputs: Tensor, batch_img_metas: Sequence[dict] | None = None) -> Tensor:
        """Images (B, 3, H, W) -> metres (B, 1, H, W)."""
        depth = self.decode_head(self.extract_feat(inputs, batch_img_metas))
        return depth.narrow(2, 0, inputs.shape[2]).narrow(3, 0, inputs.shape[3])

    def _forward(self, inputs: Tensor, data_samples: Sequence | None = None) -> Tensor:
        return self.encode_decode(inputs)

    def inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Images (B, 3, H, W) -> metres (B, 1, H, W), as ``test_cfg`` says.

        Raises:
            ValueError: An unknown mode.
        """
        options = self.test_cfg or {}
        mode = options.get('mode', 'whole')
        if mode not in ('whole', 'slide'):
            raise ValueError(
                f"test_cfg.mode is {mode!r}, expected 'whole' or 'slide'; flip=True averages with the mirror image"
            )
        run = self.slide_inference if mode == 'slide' else self.whole_inference
        depth = run(inputs, batch_img_metas)
        if options.get('flip', False):
            depth = (depth + run(inputs.flip(3), batch_img_metas).flip(3)) / 2
        return depth
