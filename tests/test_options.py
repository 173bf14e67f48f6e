"""docs/options.md has every option of what configs name, with its default."""

import ast
import inspect
import re

import pytest

from daga_mm import adapters, depth, engine, evaluation, necks, visualization
from daga_mm.backbones import DAGAViT
from daga_mm.cli.config import path_defaults
from daga_mm.engine.optim_constructor import OWN_OPTIONS

from .conftest import REPOSITORY

PAGE = (REPOSITORY / 'docs/options.md').read_text()
CLASSES = [
    DAGAViT,
    *(adapters.DAGA, adapters.LoRA, adapters.AdaptFormer, adapters.Mona, adapters.BitFit, adapters.LastBlocks),
    *(necks.ViTAdapterNeck, necks.SimpleFPN, necks.MapNorm),
    *(depth.SigLogLoss, depth.DepthGradientLoss, depth.DepthMetric),
    *(engine.CheckpointHook, engine.FiniteLossHook, engine.TokenCacheHook, visualization.AttentionVisHook),
    *(evaluation.KNNLoop, evaluation.LogisticRegressionLoop, evaluation.LinearProbeLoop),
]


def table_after(text: str) -> dict[str, str]:
    """Options and defaults of the first table after the text."""
    table = PAGE[PAGE.index(text) :].partition('\n| option')[2].partition('\n\n')[0]
    return dict(re.findall(r'^\| `(\w+)` \| (.*?) \|', table, flags=re.MULTILINE))


@pytest.mark.parametrize('cls', CLASSES, ids=lambda cls: cls.__name__)
def test_options_and_defaults_are_those_of_the_class(cls):
    told = table_after(f"type='{cls.__name__}'" if issubclass(cls, adapters.Adapter) else f"'daga_mm.{cls.__name__}'")
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = {
        name: parameter.default
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind in kinds and name not in ('trunk', 'last')
    }
    assert list(told) == list(found)
    for name, default in told.items():
        value = inspect.Parameter.empty if default == 'required' else ast.literal_eval(default.strip('`'))
        assert value == found[name], name


def test_options_of_the_optimiser_and_paths_are_there():
    assert table_after('DAGAOptimWrapperConstructor').keys() == OWN_OPTIONS.keys()
    paths = {name: default.strip('`') for name, default in table_after('## Paths').items() if name != 'trunk'}
    assert paths == path_defaults()
