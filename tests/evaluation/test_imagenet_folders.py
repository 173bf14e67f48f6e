"""ImageNet's folders through the ImageNet pipeline, real ones where they are found."""

import pytest
from mmengine.registry import DATASETS, init_default_scope

from daga_mm.cli.config import load_config
from daga_mm.evaluation import wnids

from ..conftest import REPOSITORY, SAMPLES

IMAGENET = SAMPLES / 'imagenet_sample'


@pytest.mark.skipif(
    not IMAGENET.is_dir(), reason=f'no sample of ImageNet at {IMAGENET}; DAGA_MM_SAMPLES names its folder'
)
def test_real_images_come_through_the_pipeline_under_their_own_numbers(monkeypatch):
    monkeypatch.setenv('IMAGENET_ROOT', str(IMAGENET))
    config = load_config(REPOSITORY / 'configs/mmpretrain/image-classifier_daga-vits16_linear_8xb128-30e_in1k.py')
    init_default_scope('mmpretrain')
    dataset = DATASETS.build(config.test_dataloader.dataset)
    assert len(dataset) == 200
    for index in (0, 57, 199):
        sample = dataset[index]
        assert sample['inputs'].shape == (3, 224, 224)
        info = sample['data_samples']
        assert wnids()[int(info.gt_label)] in info.img_path
