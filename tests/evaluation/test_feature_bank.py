"""Feature banks: whole, in order, the same from two processes, and never another model's."""

import json
import os
import shutil
import socket
from pathlib import Path
from unittest import mock

import pytest
import torch
import torch.multiprocessing as mp
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from safetensors import safe_open

from daga_mm.backbones import DAGAViT
from daga_mm.evaluation import FeatureBank, feature_bank, read_bank
from daga_mm.evaluation.feature_bank import describe
from daga_mm.evaluation.ranks import on_rank_zero

from ..conftest import daga
from .conftest import BACKBONE, PIPELINE, PREPROCESSOR, build_runner, loader

from mmpretrain.structures import DataSample  # isort: skip (after daga_mm.compat, which conftest imports)

# One image at a time: a product of matrices may round an image in another way beside others.
ALONE = dict(batch_size=1)
FROZEN = dict(type='ImageClassifier', backbone=BACKBONE | dict(adapter=None), data_preprocessor=PREPROCESSOR)


def build(checkpoint, **changes):
    init_default_scope('mmpretrain')
    model = MODELS.build(
        dict(type='mmpretrain.ImageClassifier', backbone=BACKBONE | changes, data_preprocessor=PREPROCESSOR)
    )
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    model.load_state_dict({k: v for k, v in state.items() if k.startswith('backbone.')}, strict=not changes)
    return model.eval()


def bank_of(model, dataloader, folder, dataset_cfg=None, **changes):
    record = describe(model.backbone, BACKBONE | changes, PREPROCESSOR, dataloader.dataset, dataset_cfg or {'of': 'x'})
    return FeatureBank(folder, 'test', record)


@pytest.fixture(scope='module')
def model(checkpoint):
    return build(checkpoint)


@pytest.fixture(scope='module')
def images(imagenet):
    init_default_scope('mmpretrain')
    return Runner.build_dataloader(loader(imagenet, 'val', **ALONE))


@pytest.fixture(scope='module')
def bank(model, images, tmp_path_factory):
    bank = bank_of(model, images, tmp_path_factory.mktemp('banks'))
    bank.extract(model, images)
    return bank


def test_features_are_the_backbones_in_the_order_of_the_data_set(bank, model, images):
    features, labels = bank.load()
    assert features.shape == (15, 96) and features.dtype == torch.float32
    assert labels.tolist() == [images.dataset[i]['data_samples'].gt_label.item() for i in range(15)]
    assert len(set(labels.tolist())) == 14
    for index in (0, 7, 14):
        sample = images.dataset[index]
        data = model.data_preprocessor({'inputs': [sample['inputs']], 'data_samples': [sample['data_samples']]}, False)
        with torch.no_grad():
            expected = model.backbone(data['inputs'])[0][0]
        assert torch.equal(features[index], expected)
    assert [path.name for path in bank.path.parent.iterdir()] == [bank.path.name], 'nothing else is left behind'


def test_two_jobs_may_fill_one_bank_at_the_same_time(bank, model, images, tmp_path, monkeypatch):
    mine = bank_of(model, images, tmp_path)
    save = feature_bank.save_file

    def meanwhile(*args, **kwargs):
        monkeypatch.setattr(feature_bank, 'save_file', save)
        save(*args, **kwargs)
        bank_of(model, images, tmp_path).extract(model, images)  # the other job begins and ends now

    monkeypatch.setattr(feature_bank, 'save_file', meanwhile)
    mine.extract(model, images)
    assert torch.equal(mine.load()[0], bank.load()[0])
    assert [path.name for path in tmp_path.iterdir()] == [mine.path.name]


def test_the_sampler_may_shuffle(bank, model, imagenet, tmp_path):
    shuffled = loader(imagenet, 'val', **ALONE, sampler=dict(type='DefaultSampler', shuffle=True))
    other = FeatureBank(tmp_path, 'shuffled', bank.record)
    other.extract(model, Runner.build_dataloader(shuffled))
    assert all(torch.equal(a, b) for a, b in zip(other.load(), bank.load(), strict=True))


def test_the_header_says_what_it_is_of(bank, model):
    with safe_open(bank.path, 'pt') as file:
        record = file.metadata()
    assert record == bank.record and record['images'] == '15'
    assert {key: record[key] for key in ('trunk', 'adapters')} == model.backbone.fingerprints()
    assert json.loads(record['backbone'])['out_type'] == 'cls_avg'


def nearest(imagenet, checkpoint, folder, **options) -> dict:
    """Metrics of a k-NN run."""
    test_cfg = dict(
        type='daga_mm.KNNLoop', train_dataloader=loader(imagenet, 'train', **ALONE), num_classes=14, ks=(1, 5),
        cache_dir=str(folder / 'cache'),
    )  # fmt: skip
    options = dict(test_dataloader=loader(imagenet, 'val', **ALONE), load_from=str(checkpoint)) | options
    return build_runner(folder / 'run', test_cfg=test_cfg, **options).test()


def probes_train_as_in_one_process(backbone, rank: int) -> None:
    """A step of a LinearProbe on half of a batch in each process is the step of one process on the whole."""

    def step(parts: slice, wrap: bool) -> torch.Tensor:
        torch.manual_seed(0)
        model = MODELS.build(
            dict(type='daga_mm.LinearProbe', backbone=BACKBONE, data_preprocessor=PREPROCESSOR, num_classes=14)
        )
        model.backbone.load_state_dict(backbone.state_dict())
        wrapper = OptimWrapper(torch.optim.SGD(model.probes.parameters(), lr=4.0, momentum=0.9))
        images = torch.randint(256, (4, 3, 32, 32), generator=torch.Generator().manual_seed(1))
        samples = [DataSample().set_gt_label(label) for label in (0, 5, 5, 13)]
        trained = MMDistributedDataParallel(model) if wrap else model
        trained.train()
        trained.train_step({'inputs': list(images[parts]), 'data_samples': samples[parts]}, wrapper)
        return model.probes.weight.detach()

    torch.testing.assert_close(step(slice(2 * rank, 2 * rank + 2), True), step(slice(4), False))


def _in_one_of_two(rank: int, port: int, imagenet, checkpoint, folder, metrics, frozen_metrics) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE='2', LOCAL_RANK='0', MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch.distributed.init_process_group('gloo')
    model = build(checkpoint)
    dataloader = Runner.build_dataloader(loader(imagenet, 'val', **ALONE), seed=0)
    assert len(dataloader.sampler) == 8  # 15 images: the second process has the first one again
    bank_of(model, dataloader, folder).extract(model, dataloader)
    with mock.patch.object(DAGAViT, 'fingerprints', autospec=True, side_effect=DAGAViT.fingerprints) as hashed:
        assert nearest(imagenet, checkpoint, folder) == metrics, 'each process has them'
    assert hashed.called == (rank == 0), 'one process hashes the weights'
    torch.distributed.barrier()  # each process writes the same file
    (written,) = (folder / 'run').glob('*/*.json')
    assert {key: json.loads(written.read_text())[key] for key in ('trunk', 'adapters')} == model.backbone.fingerprints()
    torch.distributed.barrier()
    # Nothing of a frozen model can be trained, which DDP refuses: configs name another wrapper.
    launched = dict(model=FROZEN, launcher='pytorch', model_wrapper_cfg=dict(type='daga_mm.Replica'))
    assert nearest(imagenet, checkpoint, folder, **launched) == frozen_metrics
    probes_train_as_in_one_process(model.backbone, rank)

    if rank == 1:
        torch.nn.init.constant_(model.backbone.trunk.model.norm.weight, torch.nan)
    with pytest.raises(ValueError, match=r'val_00000002.JPEG are not finite'):
        FeatureBank(folder, 'broken', {}).extract(model, dataloader)

    def fail():
        raise ValueError('only the first fails')

    with pytest.raises(ValueError if rank == 0 else RuntimeError, match='only the first fails'):
        on_rank_zero(fail)
    torch.distributed.destroy_process_group()


def test_two_processes_write_what_one_does(bank, imagenet, checkpoint, tmp_path):
    metrics = nearest(imagenet, checkpoint, tmp_path / 'one')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    frozen = nearest(imagenet, checkpoint, tmp_path / 'one', model=FROZEN)
    mp.spawn(_in_one_of_two, (port, imagenet, checkpoint, tmp_path, metrics, frozen), nprocs=2)
    (path,) = tmp_path.glob('*.safetensors')
    assert path.name == bank.path.name
    both = FeatureBank(tmp_path, 'test', bank.record)
    assert all(torch.equal(a, b) for a, b in zip(both.load(), bank.load(), strict=True))
    one, two = ({path.name: read_bank(path) for path in (tmp_path / x / 'cache').iterdir()} for x in ('one', '.'))
    assert set(one) == set(two) and len(one) == 4
    assert all(torch.equal(a, b) for name in one for a, b in zip(one[name], two[name], strict=True))


def test_daga_changes_the_features_of_the_frozen_trunk(bank, images, checkpoint, tmp_path):
    frozen = build(checkpoint, adapter=None)
    other = bank_of(frozen, images, tmp_path, adapter=None)
    assert other.path.name != bank.path.name and other.record['trunk'] == bank.record['trunk']
    other.extract(frozen, images)
    features, plain = bank.load()[0], other.load()[0]
    for half in (slice(0, 48), slice(48, 96)):  # class token, mean patch
        assert (features[:, half] - plain[:, half]).abs().amax(dim=1).min() > 1e-3


def test_another_model_pipeline_or_image_is_another_bank(bank, model, images, checkpoint, imagenet, tmp_path):
    def key(**changes):
        changes = (
            dict(backbone=model.backbone, cfg=BACKBONE, preprocessor=PREPROCESSOR, data=images.dataset, of='x')
            | changes
        )
        record = describe(
            changes['backbone'], changes['cfg'], changes['preprocessor'], changes['data'], {'of': changes['of']}
        )
        return FeatureBank('', 'test', record).path.name

    assert key() == bank.path.name
    assert key(cfg=BACKBONE | dict(init_cfg=dict(checkpoint='/elsewhere'))) == bank.path.name, 'paths are no part of it'
    moved = tmp_path / 'moved'
    moved.symlink_to(imagenet)
    dataset = Runner.build_dataloader(loader(moved, 'val')).dataset
    assert key(data=dataset) == bank.path.name
    trained = build(checkpoint).backbone
    with torch.no_grad():
        trained.adapters['daga'].bottlenecks['0'].up.bias[0] += 1e-3
    smaller = Runner.build_dataloader(loader(imagenet, 'val')).dataset.get_subset(14)
    edited = shutil.copytree(imagenet, tmp_path / 'edited')
    dataset = Runner.build_dataloader(loader(edited, 'val')).dataset
    assert key(data=dataset) == bank.path.name, 'a copy that keeps the times is the same data set'
    image = Path(dataset.get_data_info(0)['img_path'])
    content = bytearray(image.read_bytes())
    content[-3] ^= 1
    image.write_bytes(content)
    others = [
        key(backbone=trained),
        key(cfg=BACKBONE | dict(adapter=daga(guidance=dict(layer=-1)))),
        key(preprocessor=PREPROCESSOR | dict(to_rgb=False)),
        key(of='y'),
        key(data=smaller),
        key(data=dataset),  # an edit that keeps the size
        key(data=Runner.build_dataloader(loader(imagenet, 'train')).dataset),
    ]
    assert len({*others, key()}) == 8


def test_a_renamed_bank_is_refused_and_says_what_differs(bank, tmp_path):
    record = bank.record | {'trunk': '0123456789abcdef'}
    asked = FeatureBank(tmp_path, 'test', record)
    asked.path.write_bytes(bank.path.read_bytes())
    with pytest.raises(ValueError, match=rf'(?s)trunk.*{bank.record["trunk"]}.*0123456789abcdef'):
        asked.load()
    assert len(read_bank(asked.path)[0]) == 15, 'who does not say what it must be gets what it is'


def test_a_file_that_is_no_bank_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({'weight': torch.zeros(1)}, tmp_path / 'x.safetensors')
    with pytest.raises(ValueError, match='no feature bank: it holds weight'):
        read_bank(tmp_path / 'x.safetensors')


def test_an_image_with_broken_features_is_named(model, images, tmp_path):
    class Broken(torch.nn.Module):
        """Numbers that are none, for one image."""

        def __init__(self):
            super().__init__()
            self.backbone, self.data_preprocessor = model.backbone, self.break_one

        def break_one(self, batch, training):
            data = model.data_preprocessor(batch, training)
            for sample, image in zip(data['data_samples'], data['inputs'], strict=True):
                if sample.sample_idx in (9, 11):
                    image[:] = torch.nan
            return data

    bank = FeatureBank(tmp_path, 'test', {})
    path = images.dataset.get_data_info(9)['img_path']
    with pytest.raises(ValueError, match=f'features of {path} are not finite'):
        bank.extract(Broken(), images)
    assert not bank.path.exists()


def test_images_that_were_not_visited_are_missed(model, imagenet, tmp_path):
    class Half(torch.utils.data.Sampler):
        def __init__(self, dataset):
            pass

        def __iter__(self):
            return iter(range(0, 15, 2))

        def __len__(self):
            return 8

    dataset = Runner.build_dataloader(loader(imagenet, 'val')).dataset
    dataloader = torch.utils.data.DataLoader(dataset, 4, sampler=Half(dataset), collate_fn=lambda x: {
        key: [sample[key] for sample in x] for key in ('inputs', 'data_samples')
    })  # fmt: skip
    with pytest.raises(ValueError, match='7 of 15 .* 1'):
        FeatureBank(tmp_path, 'test', {}).extract(model, dataloader)


def test_samples_must_say_which_they_are(model, imagenet, tmp_path):
    config = loader(imagenet, 'val')
    config['dataset'] = config['dataset'] | dict(pipeline=[*PIPELINE[:2], dict(type='PackInputs', meta_keys=())])
    with pytest.raises(ValueError, match='no sample_idx'):
        FeatureBank(tmp_path, 'test', {}).extract(model, Runner.build_dataloader(config))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(out_type='featmap'), "'featmap' of"),
        (dict(out_indices=(1, 3)), r'of \(1, 3\)'),
        (dict(with_image=True), 'with the image'),
    ],
)
def test_another_output_is_refused(changes, message, checkpoint, images, tmp_path):
    with pytest.raises(ValueError, match=message):
        FeatureBank(tmp_path, 'test', {}).extract(build(checkpoint, **changes), images)
