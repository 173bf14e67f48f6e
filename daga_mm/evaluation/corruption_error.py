"""The mean corruption error of ImageNet-C (arXiv:1903.12261)."""

import math
from collections.abc import Mapping, Sequence

# The 15 corruptions by group, in the order of the paper's tables.
CORRUPTION_GROUPS = {
    'noise': ('gaussian_noise', 'shot_noise', 'impulse_noise'),
    'blur': ('defocus_blur', 'glass_blur', 'motion_blur', 'zoom_blur'),
    'weather': ('snow', 'frost', 'fog', 'brightness'),
    'digital': ('contrast', 'elastic_transform', 'pixelate', 'jpeg_compression'),
}
CORRUPTIONS = tuple(name for group in CORRUPTION_GROUPS.values() for name in group)
SEVERITIES = (1, 2, 3, 4, 5)
# AlexNet's error in percent, the mean over the five severities.
ALEXNET_ERRORS = {
    'gaussian_noise': 88.64,
    'shot_noise': 89.45,
    'impulse_noise': 92.26,
    'defocus_blur': 81.99,
    'glass_blur': 82.63,
    'motion_blur': 78.59,
    'zoom_blur': 79.84,
    'snow': 86.68,
    'frost': 82.66,
    'fog': 81.93,
    'brightness': 56.46,
    'contrast': 85.32,
    'elastic_transform': 64.61,
    'pixelate': 71.78,
    'jpeg_compression': 60.65,
}


def corruption_errors(
    errors: Mapping[str, Sequence[float]], baseline: Mapping[str, float] = ALEXNET_ERRORS
) -> dict[str, float]:
    """The corruption error of each corruption: the sum of its errors over the baseline's, in percent.

    Args:
        errors: Five top-1 error rates in 0..1 for each corruption of the baseline, one per severity.
        baseline: Mean error in percent for each corruption; its sum over the severities is five times that.

    Raises:
        ValueError: A corruption is missing or unknown, has not five errors, or one that is no rate.
    """
    missing = [name for name in baseline if name not in errors]
    unknown = [name for name in errors if name not in baseline]
    if missing or unknown:
        kinds = {'missing': missing, 'unknown': unknown}
        raise ValueError('; '.join(f'{kind} corruptions: {", ".join(names)}' for kind, names in kinds.items() if names))
    for name, rates in errors.items():
        if len(rates) != len(SEVERITIES):
            raise ValueError(f'{name} has {len(rates)} errors, one for each of {len(SEVERITIES)} severities is needed')
        outside = [rate for rate in rates if not 0 <= rate <= 1]
        if outside:
            raise ValueError(f'{name}: an error is a rate in 0..1, not {outside[0]}')
    # Rounded to what is left of the digits, so that the baseline's own errors make 100.0 and not 100.00000000000001.
    return {
        name: round(100 * math.fsum(errors[name]) / (len(SEVERITIES) * mean / 100), 10)
        for name, mean in baseline.items()
    }


def mean_corruption_error(
    errors: Mapping[str, Sequence[float]], baseline: Mapping[str, float] = ALEXNET_ERRORS
) -> float:
    """mCE: the mean of :func:`corruption_errors`, in percent; 100 is AlexNet, lower is better.

    Arguments and errors are those of :func:`corruption_errors`.
    """
    each = corruption_errors(errors, baseline)
    return round(math.fsum(each.values()) / len(each), 10)
