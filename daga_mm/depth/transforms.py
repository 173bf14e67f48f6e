"""Reading and augmenting pairs of image and depth."""

import random

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.datasets.transforms import LoadDepthAnnotation as MMSegLoadDepthAnnotation
from mmseg.datasets.transforms import RandomCrop

from ..registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadDepthAnnotation(MMSegLoadDepthAnnotation):
    """mmseg's LoadDepthAnnotation with checks of the depth map.

    With ``depth_rescale_factor`` (1e-3 for 16-bit millimetres, 1 / 256 for KITTI's files) depth is in metres, float32
    (H, W) under ``gt_depth_map``; 0 is no reading.

    Raises:
        ValueError: The file cannot be decoded, is not a single map, holds NaN, or has another size than its image.
    """

    def transform(self, results: dict) -> dict:
        path = results['depth_map_path']
        try:
            results = super().transform(results)
        except OSError:  # names the file by itself
            raise
        except Exception as error:
            raise ValueError(f'the depth map {path} cannot be decoded: not an image, or damaged') from error
        depth = results['gt_depth_map']
        if depth.ndim != 2:
            raise ValueError(f'the depth map {path} has shape {depth.shape}, expected (height, width)')
        if depth.shape != tuple(results['ori_shape'][:2]):
            image = 'its image {} {}×{}'.format(results['img_path'], *results['ori_shape'][:2])
            raise ValueError('the depth map {} has {}×{} pixels, {}'.format(path, *depth.shape, image))
        if np.isnan(depth).any():
            raise ValueError(f'the depth map {path} holds NaN; where there is no reading, depth is 0')
        return results


@TRANSFORMS.register_module()
class FixedCrop(RandomCrop):
    """Cut the same rows and columns out of every image and its maps.

    NYU's images have a white frame, which its projection to the depth camera left; recipes cut it off in training.

    Args:
        box: top, bottom, left, right in pixels; bottom and right are not included.

    Raises:
        ValueError: An image is smaller than the box reaches.
    """

    def __init__(self, box: tuple[int, int, int, int]) -> None:
        top, bottom, left, right = box
        super().__init__(crop_size=(bottom - top, right - left))
        self.box = (top, bottom, left, right)

    def crop_bbox(self, results: dict) -> tuple[int, int, int, int]:
        height, width = results['img'].shape[:2]
        if self.box[1] > height or self.box[3] > width:
            raise ValueError(
                f'the crop of rows {self.box[0]}:{self.box[1]} and columns {self.box[2]}:{self.box[3]} is not within '
                f'{results.get("img_path")}, {height}×{width}'
            )
        return self.box

    def __repr__(self) -> str:
        return f'{type(self).__name__}(box={self.box})'


@TRANSFORMS.register_module()
class ColorAug(BaseTransform):
    """The colour jitter of depth recipes (BTS, arXiv:1907.10326): image^gamma · brightness · colours, at random.

    As in DINOv3's recipe gamma acts on values of 0 to 255, so that it is a change of exposure more than of contrast.

    Args:
        prob: How often.
        gamma_range: Least and greatest exponent.
        brightness_range: Least and greatest factor on the image.
        color_range: Least and greatest factor on each of its channels.
    """

    def __init__(
        self,
        prob: float = 0.5,
        gamma_range: tuple[float, float] = (0.9, 1.1),
        brightness_range: tuple[float, float] = (0.9, 1.1),
        color_range: tuple[float, float] = (0.9, 1.1),
    ) -> None:
        self.prob = prob
        self.gamma_range = gamma_range
        self.brightness_range = brightness_range
        self.color_range = color_range

    def transform(self, results: dict) -> dict:
        if random.random() < self.prob:
            gamma, brightness = random.uniform(*self.gamma_range), random.uniform(*self.brightness_range)
            colors = np.array([random.uniform(*self.color_range) for _ in range(3)], np.float32)
            image = results['img'].astype(np.float32) ** gamma * brightness * colors
            results['img'] = np.rint(image.clip(0, 255)).astype(np.uint8)
        return results

    def __repr__(self) -> str:
        ranges = f'gamma_range={self.gamma_range}, brightness_range={self.brightness_range}'
        return f'{type(self).__name__}(prob={self.prob}, {ranges}, color_range={self.color_range})'
