"""Evaluation protocols: feature banks, k-NN, logistic regression, linear probes, robustness."""

from .corruption_error import ALEXNET_ERRORS, CORRUPTIONS, corruption_errors, mean_corruption_error
from .feature_bank import FeatureBank, read_bank
from .knn import knn_classify, nearest_neighbours
from .linear_probe import DINOV3_LRS, LinearProbes, fit_linear_probe
from .linear_probe_model import LinearProbe, LinearProbeMetric
from .logistic_regression import DINOV3_CS, fit_logistic_regression
from .probe_loop import ProbeLoop
from .probe_loops import KNNLoop, LinearProbeLoop, LogisticRegressionLoop
from .robustness_loop import RobustnessLoop
from .weights import Replica

__all__ = [
    'ALEXNET_ERRORS',
    'CORRUPTIONS',
    'DINOV3_CS',
    'DINOV3_LRS',
    'FeatureBank',
    'KNNLoop',
    'LinearProbe',
    'LinearProbeLoop',
    'LinearProbeMetric',
    'LinearProbes',
    'LogisticRegressionLoop',
    'ProbeLoop',
    'Replica',
    'RobustnessLoop',
    'corruption_errors',
    'fit_linear_probe',
    'fit_logistic_regression',
    'knn_classify',
    'mean_corruption_error',
    'nearest_neighbours',
    'read_bank',
]
