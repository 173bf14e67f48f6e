"""Errors of depth per image, and their mean over the images."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from mmengine.logging import MMLogger, print_log
from mmseg.evaluation import DepthMetric as MMSegDepthMetric
from prettytable import PrettyTable
from torch import Tensor

from ..registry import METRICS
from .draw import write_depth_png

# Rows and columns: Eigen's crop of NYU (arXiv:1406.2283), and Garg's of KITTI as parts of the image (arXiv:1603.04992).
EIGEN_SIZE, EIGEN_BOX = (480, 640), (45, 471, 41, 601)
GARG_BOX = (0.40810811, 0.99189189, 0.03594771, 0.96405229)


def depth_errors(pred: Tensor, truth: Tensor) -> dict[str, float]:
    """The usual errors of one image, over its pixels with a reading.

    Args:
        pred: Metres above 0, any shape.
        truth: Metres above 0, the same shape.

    Returns:
        ``d1`` ``d2`` ``d3``: parts of the pixels with max(pred / truth, truth / pred) below 1.25, 1.25², 1.25³.
        ``abs_rel`` ``sq_rel``: means of |pred − truth| / truth and (pred − truth)² / truth. ``rmse`` in metres,
        ``rmse_log`` of natural logarithms, ``log10`` the mean absolute difference of decimal ones. With d the
        difference of the natural logarithms, ``silog`` is mmseg's sqrt(mean d² − 0.5 (mean d)²), and ``silog_kitti``
        the KITTI benchmark's (and DINOv3's) 100 · sqrt(mean d² − (mean d)²).
    """
    pred, truth = pred.double().flatten(), truth.double().flatten()
    ratio = torch.maximum(pred / truth, truth / pred)
    error = pred - truth
    d = pred.log() - truth.log()
    square = d.square().mean()
    values = {f'd{power}': (ratio < 1.25**power).double().mean() for power in (1, 2, 3)}
    values |= {
        'abs_rel': (error.abs() / truth).mean(),
        'sq_rel': (error.square() / truth).mean(),
        'rmse': error.square().mean().sqrt(),
        'rmse_log': square.sqrt(),
        'log10': d.abs().mean() / math.log(10),
        'silog': (square - 0.5 * d.mean().square()).clamp(min=0).sqrt(),
        'silog_kitti': 100 * (square - d.mean().square()).clamp(min=0).sqrt(),  # a rounding may be below 0
    }
    return {name: float(value) for name, value in values.items()}


@METRICS.register_module()
class DepthMetric(MMSegDepthMetric):
    """mmseg's DepthMetric, with predictions clamped to the range and equal weight of each image.

    Errors (:func:`depth_errors`) are taken per image over the pixels of the crop whose truth is strictly within the
    range, then averaged over the images. An image without such a pixel is skipped and named in the log.

    Args:
        depth_metrics: Which of ``METRICS`` to report. None: all.
        min_depth_eval: Metres.
        max_depth_eval: Metres.
        crop_type: 'nyu_crop': Eigen's, rows 45:471 and columns 41:601 of 480×640. 'garg_crop': Garg's, of KITTI's
            images, in parts of the size. None: everything.
        depth_scale_factor: Steps per metre in the 16-bit files of ``output_dir``: 1000 for millimetres, 256 for KITTI.
        output_dir: Where predictions are written as ``NAME.png``; None: nowhere.
        format_only: Write the predictions, measure nothing.
        collect_device: 'cpu' or 'gpu', on which the ranks' results are collected.
        prefix: Prefix of the metrics' names.

    Raises:
        ValueError: Unknown metrics or crops; truth and prediction of different sizes; NaN in the truth; Eigen's crop of
            images that are not 480×640; or no image of the whole set has a pixel to measure.
    """

    METRICS = (*MMSegDepthMetric.METRICS, 'silog_kitti')

    def __init__(
        self,
        depth_metrics: Sequence[str] | None = None,
        min_depth_eval: float = 1e-3,
        max_depth_eval: float = 10.0,
        crop_type: Literal['nyu_crop', 'garg_crop'] | None = None,
        depth_scale_factor: float = 1000.0,
        output_dir: str | None = None,
        format_only: bool = False,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        unknown = [name for name in depth_metrics or () if name not in self.METRICS]
        if unknown:
            raise ValueError(f'depth_metrics has {", ".join(unknown)}, expected some of {", ".join(self.METRICS)}')
        if crop_type not in (None, 'nyu_crop', 'garg_crop'):
            raise ValueError(f"crop_type is {crop_type!r}, expected 'nyu_crop', 'garg_crop' or None")
        if not 0 <= min_depth_eval < max_depth_eval:
            raise ValueError(
                f'min_depth_eval is {min_depth_eval} and max_depth_eval {max_depth_eval}, expected a range of metres'
            )
        if format_only and output_dir is None:
            raise ValueError('format_only writes predictions, expected a folder as output_dir')
        super().__init__(
            min_depth_eval=min_depth_eval,
            max_depth_eval=max_depth_eval,
            depth_scale_factor=depth_scale_factor,
            output_dir=output_dir,
            format_only=format_only,
            collect_device=collect_device,
            prefix=prefix,
        )
        self.metrics = tuple(depth_metrics or self.METRICS)  # upstream fails on a list
        self.crop_type = crop_type

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Measure the images of a batch; only the errors of each are kept, while upstream keeps every pixel."""
        for sample in data_samples:
            name = str(sample.get('img_path') or 'an image without a name')
            pred = sample['pred_depth_map']['data'].squeeze(0)  # (H, W)
            if self.output_dir is not None:
                path = Path(self.output_dir, f'{Path(name).stem}.png')
                write_depth_png(path, pred.cpu().numpy(), self.depth_scale_factor)
            if self.format_only:
                continue
            truth = sample['gt_depth_map']['data'].squeeze(0).to(pred.device)
            if pred.shape != truth.shape:
                sizes = f'{tuple(truth.shape)}, the prediction {tuple(pred.shape)}'
                raise ValueError(f'{name}: the truth has the size {sizes}; load the depth map after any Resize')
            if truth.isnan().any():
                raise ValueError(f'{name}: the depth map contains NaN, expected 0 for pixels without a reading')
            used = self._mask(truth, name)
            pred = pred.clamp(max(self.min_depth_eval, 1e-6), self.max_depth_eval)  # logarithms need more than 0
            self.results.append((name, depth_errors(pred[used], truth[used]) if used.any() else None))

    def _mask(self, truth: Tensor, name: str) -> Tensor:
        """Which pixels (H, W) are measured."""
        used = (truth > self.min_depth_eval) & (truth < self.max_depth_eval)
        if self.crop_type is None:
            return used
        height, width = truth.shape
        if self.crop_type == 'nyu_crop':
            if (height, width) != EIGEN_SIZE:
                raise ValueError(
                    f"{name}: Eigen's crop is of 480×640 images, the truth has {height}×{width}; crop_type=None "
                    'measures everything'
                )
            top, bottom, left, right = EIGEN_BOX
        else:
            sides = (height, height, width, width)
            top, bottom, left, right = (int(part * side) for part, side in zip(GARG_BOX, sides, strict=True))
        inside = torch.zeros_like(used)
        inside[top:bottom, left:right] = True
        return used & inside

    def compute_metrics(self, results: list[tuple[str, dict[str, float] | None]]) -> dict[str, float]:
        """Means over the images by name.

        Args:
            results: Name and errors of each image, None for one without a pixel to measure.
        """
        logger = MMLogger.get_current_instance()
        if self.format_only:
            logger.info(f'predictions are in {self.output_dir}')
            return {}
        measured = [errors for _, errors in results if errors is not None]
        left_out = [name for name, errors in results if errors is None]
        span = f'between {self.min_depth_eval} and {self.max_depth_eval} m'
        if not measured:
            raise ValueError(
                f'none of the {len(results)} images has a truth {span} within the crop: are min_depth_eval, '
                'max_depth_eval and depth_rescale_factor (metres per step of the files) those of this data set?'
            )
        if left_out:
            logger.warning(f'left out, without a truth {span} within the crop: {", ".join(left_out)}')
        means = {name: math.fsum(errors[name] for errors in measured) / len(measured) for name in self.metrics}
        table = PrettyTable()
        for name, value in means.items():
            table.add_column(name, [round(value, 5)])
        print_log(f'means over {len(measured)} images:\n{table.get_string()}', logger)
        return means
