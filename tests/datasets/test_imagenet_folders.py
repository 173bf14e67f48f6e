"""ImageNet's folders through the ImageNet pipeline, real ones where they are found."""

import pytest
from mmengine.registry import DATASETS, init_default_scope

from daga_mm.cli.config import load_config
from daga_mm.datasets import ImageNetFolders, wnids

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


def test_folders_are_labelled_by_their_wordnet_ids(tmp_path):
    for label in (5, 300, 999):
        (tmp_path / 'val' / wnids()[label]).mkdir(parents=True)
        (tmp_path / 'val' / wnids()[label] / '0.JPEG').touch()
    data = ImageNetFolders(str(tmp_path / 'val'))
    assert [data.get_data_info(i)['gt_label'] for i in range(3)] == [5, 300, 999]
    assert len(wnids()) == 1000 and list(wnids()) == sorted(wnids()) and wnids()[0] == 'n01440764'
    for subset in ('imagenet_a', 'imagenet_r'):
        assert len(wnids(subset)) == 200 and set(wnids(subset)) < set(wnids())


@pytest.mark.parametrize(
    ('folder', 'error', 'named'),
    [('n00000000', ValueError, 'n00000000'), ('n01440764', ValueError, 'no images'), (None, FileNotFoundError, 'data')],
)
def test_other_folders_are_refused(folder, error, named, tmp_path):
    if folder:
        (tmp_path / 'data' / folder).mkdir(parents=True)
    with pytest.raises(error, match=named):
        ImageNetFolders(str(tmp_path / 'data'))
