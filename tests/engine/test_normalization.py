"""Images that are normalised unlike those of the trunk's pretraining."""

import pytest
from mmengine.model import ImgDataPreprocessor
from timm.models import get_pretrained_cfg

from daga_mm.backbones import DAGAViT
from daga_mm.engine import normalization, warn_of_normalization

from ..conftest import TINY, write_trunk
from ..toys import Line, toy_runner

IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
SAT = dict(mean=[109.65, 104.805, 75.48], std=[54.315, 39.78, 36.465])
HALF = dict(mean=[127.5] * 3, std=[127.5] * 3)
CLIP = dict(mean=[122.771, 116.746, 104.094], std=[68.501, 66.632, 70.323])
BACKWARDS = {name: values[::-1] for name, values in IMAGENET.items()}


@pytest.fixture
def warned(monkeypatch):
    found: list[str] = []
    monkeypatch.setattr(normalization, 'print_log', lambda message, *args: found.append(message))
    return found


def model_on(path, settings: dict) -> Line:
    model = Line()
    model.data_preprocessor = ImgDataPreprocessor(bgr_to_rgb=True, **settings)
    model.backbone = DAGAViT(TINY, adapter=None, init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    model.backbone.init_weights()
    return model


@pytest.mark.parametrize(
    ('name', 'right', 'wrong'),
    [
        ('dinov3_vitl16_pretrain_sat493m-eadcf0ff.pth', SAT, IMAGENET),
        ('dinov3_vitb16_pretrain_lvd1689m-73cec8be.pth', IMAGENET, SAT),
        ('dinov3_vitb16_pretrain_lvd1689m-73cec8be.pth', IMAGENET, BACKWARDS),
        ('dinov2_vits14_reg4_pretrain.pth', IMAGENET, HALF),
        ('vit_large_patch16_dinov3_qkvb.sat493m/model.safetensors', SAT, IMAGENET),
        ('sat493m/dinov3_vitl16_pretrain_lvd1689m-8aa4cbdd.pth', IMAGENET, SAT),
    ],
)
def test_a_published_file_has_the_normalisation_of_its_pretraining(name, right, wrong, tmp_path, warned):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    path = write_trunk(tmp_path / name)
    warn_of_normalization(model_on(path, right))
    assert not warned
    warn_of_normalization(model_on(path, wrong))
    (warning,) = warned
    assert f'has mean={wrong["mean"]}, std={wrong["std"]}, expected mean={right["mean"]}, std={right["std"]}' in warning
    assert f'model.backbone were pretrained (dinov3_vits16 from {path})' in warning


def test_what_is_not_certain_is_not_warned_of(tmp_path, warned):
    warn_of_normalization(model_on(write_trunk(tmp_path / 'own.safetensors'), HALF))
    published = write_trunk(tmp_path / 'dinov3_vits16_pretrain_lvd1689m-08c60483.pth')
    warn_of_normalization(model_on(published, {}))  # the pipeline may normalise
    rounded = {name: [float(round(value)) for value in values] for name, values in IMAGENET.items()}
    warn_of_normalization(model_on(published, rounded))
    random = model_on(published, HALF)
    random.backbone.trunk_id = None
    warn_of_normalization(random)
    assert not warned


@pytest.mark.parametrize(
    ('arch', 'right', 'wrong'),
    [
        ('vit_base_patch16_clip_224', [CLIP], [IMAGENET, HALF]),
        ('vit_large_patch14_clip_224', [CLIP, HALF], [IMAGENET]),  # OpenAI's and LAION's
        ('vit_base_patch16_siglip_224', [HALF], [IMAGENET, CLIP]),
        ('vit_base_patch16_224', [HALF, IMAGENET, CLIP, SAT], []),  # anybody's
    ],
)
def test_models_of_images_and_texts_are_told_by_their_architecture(arch, right, wrong, tmp_path, warned):
    model = model_on(write_trunk(tmp_path / 'model.safetensors'), IMAGENET)
    model.backbone.arch = arch
    for settings in right:
        model.data_preprocessor = ImgDataPreprocessor(**settings)
        warn_of_normalization(model)
    assert not warned
    for settings in wrong:
        model.data_preprocessor = ImgDataPreprocessor(**settings)
        warn_of_normalization(model)
    assert len(warned) == len(wrong)


def test_the_values_are_timms():
    for name in ('vit_large_patch16_dinov3_qkvb.sat493m', 'vit_large_patch16_dinov3_qkvb.lvd1689m'):
        known = get_pretrained_cfg(name)
        assert normalization.PUBLISHED[name.rpartition('.')[2]] == (known.mean, known.std)


def test_a_run_warns_after_its_weights_are_loaded(tmp_path, warned):
    model, weights = Line(), dict(type='Pretrained', checkpoint=write_trunk(tmp_path / 'lvd1689m.safetensors'))
    model.backbone = DAGAViT(TINY, adapter=None, init_cfg=weights)
    wrong = ImgDataPreprocessor(**SAT)
    model.data_preprocessor._enable_normalize = True  # the points of the toy are no images
    model.data_preprocessor.mean, model.data_preprocessor.std = wrong.mean, wrong.std
    toy_runner(tmp_path / 'run', model=model, steps=1).train()
    assert len(warned) == 1
