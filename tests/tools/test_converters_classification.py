"""CIFAR archives become folders that the configs read; clean images become a tree like ImageNet-C's."""

import hashlib
import importlib.util
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import types
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner
from PIL import Image

from daga_mm.cli.config import load_config

from ..configs.shrink import shrink
from ..conftest import REPOSITORY
from .conftest import call, load_converter

cifar, imagenet_c = load_converter('cifar'), load_converter('imagenet_c')
CLASSES = {
    10: ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'],
    100: [f'class_{number:02d}' for number in range(100)],
}
ARCHIVES = [archive.name for archive in cifar.ARCHIVES.values()]


# -- CIFAR ---------------------------------------------------------------------------------------------------------


class Python2Pickler(pickle._Pickler):
    """Writes what Python 2 and the NumPy of 2009 wrote: every string is one of bytes, and NumPy's module is `core`."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_string(self, value: str | bytes) -> None:
        data = value.encode('latin1') if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack('<i', len(data)) + data)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_string

    def save_global(self, value, name=None) -> None:
        if getattr(value, '__name__', '') == '_reconstruct':
            self.write(b'cnumpy.core.multiarray\n_reconstruct\n')
            self.memoize(value)
        else:
            super().save_global(value, name)


def pickled(value) -> bytes:
    buffer = io.BytesIO()
    Python2Pickler(buffer, protocol=2).dump(value)
    return buffer.getvalue()


def content(archive, split: str) -> tuple[np.ndarray, list[list[int]]]:
    """Images (N, 32, 32, 3) and the labels of each member: every class twice in all, in some order."""
    classes = 100 if '100' in archive.name else 10
    random = np.random.default_rng(split == 'train')
    labels = random.permutation(np.arange(2 * classes) % classes)
    images = random.integers(0, 256, (len(labels), 32, 32, 3), dtype=np.uint8)
    return images, [part.tolist() for part in np.array_split(labels, len(getattr(archive, split)))]


def write_archive(archive, path: Path) -> Path:
    """An archive with the members, records and pickles of the official one, but few images."""
    coarse = '100' in archive.name
    names = CLASSES[100 if coarse else 10]
    binary = 'binary' in archive.name
    members = {'readme.html': b'<html></html>'}
    if binary:
        members[archive.classes] = ('\n'.join(names) + '\n\n').encode()
    else:
        members[archive.classes] = pickled({'fine_label_names' if coarse else 'label_names': names})
    for split in ('train', 'test'):
        images, parts = content(archive, split)
        rows, start = images.transpose(0, 3, 1, 2).reshape(len(images), -1), 0
        for name, labels in zip(getattr(archive, split), parts, strict=True):
            data = rows[start : start + len(labels)]
            start += len(labels)
            if binary:
                heads = [[7, label] if coarse else [label] for label in labels]
                members[name] = np.concatenate([np.uint8(heads), data], axis=1).tobytes()
            elif coarse:
                members[name] = pickled({'data': data, 'fine_labels': labels, 'coarse_labels': [7] * len(labels)})
            else:
                members[name] = pickled({'batch_label': name, 'data': data, 'labels': labels})
    with tarfile.open(path, 'w:gz') as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Write an archive, and let its MD5 be the official one."""

    def make(name: str) -> tuple[Path, 'cifar.Archive']:
        (found,) = [archive for archive in cifar.ARCHIVES.values() if archive.name == name]
        path = write_archive(found, tmp_path / name)
        monkeypatch.setattr(cifar, 'ARCHIVES', {hashlib.md5(path.read_bytes()).hexdigest(): found})
        return path, found

    return make


def test_the_hashes_are_those_that_torchvision_has():
    from torchvision.datasets import CIFAR10, CIFAR100

    known = {digest: archive.name for digest, archive in cifar.ARCHIVES.items()}
    assert known[CIFAR10.tgz_md5] == CIFAR10.filename and known[CIFAR100.tgz_md5] == CIFAR100.filename


@pytest.mark.parametrize('name', ARCHIVES)
def test_the_config_reads_every_image_with_its_label(name, archive, tmp_path):
    path, kind = archive(name)
    out = tmp_path / 'made' / 'cifar'
    assert call(cifar, path, out) is None
    data = 'cifar100' if '100' in name else 'cifar10'
    config = load_config(REPOSITORY / f'configs/mmpretrain/knn_{data}.py', {f'{data}_root': str(out)})
    init_default_scope(config.default_scope)
    loaders = {'train': config.test_cfg.train_dataloader, 'test': config.test_dataloader}
    for split, loader in loaders.items():
        images, parts = content(kind, split)
        labels = [label for part in parts for label in part]
        dataset = DATASETS.build(loader.dataset)
        assert len(dataset) == len(images) and [*dataset.CLASSES] == CLASSES[config.test_cfg.num_classes]
        for index in range(len(dataset)):
            info = dataset.get_data_info(index)
            number = int(Path(info['img_path']).stem)
            assert info['gt_label'] == labels[number]
            assert (cv2.imread(info['img_path'])[..., ::-1] == images[number]).all()


def test_another_file_is_refused(tmp_path):
    path = tmp_path / 'cifar-10-python.tar.gz'
    assert call(cifar, path, tmp_path / 'out') == f'no archive {path}'
    path.write_bytes(b'half of it')
    message = call(cifar, path, tmp_path / 'out')
    assert f'{path} has MD5 {hashlib.md5(b"half of it").hexdigest()} and is none of' in message
    assert all(name in message for name in ARCHIVES) and not (tmp_path / 'out').exists()


def test_what_a_pickle_asks_for_is_not_run(archive, tmp_path, monkeypatch):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'trapped'),)

    monkeypatch.setitem(Python2Pickler.dispatch, str, pickle._Pickler.save_str)
    path, kind = archive('cifar-10-python.tar.gz')
    with tarfile.open(path, 'w:gz') as tar:
        info = tarfile.TarInfo(kind.classes)
        data = pickle.dumps({'label_names': Trap()}, protocol=2)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    monkeypatch.setattr(cifar, 'ARCHIVES', {hashlib.md5(path.read_bytes()).hexdigest(): kind})
    assert call(cifar, path, tmp_path / 'out') == 'the archive asks for posix.mkdir, which no official one does'
    assert not (tmp_path / 'trapped').exists() and not (tmp_path / 'out').exists()


def test_what_broke_off_is_made_anew(archive, tmp_path, monkeypatch):
    path, _ = archive('cifar-10-binary.tar.gz')
    out = tmp_path / 'out'
    encode, calls = cv2.imencode, []

    def full_disk(*arguments):
        calls.append(arguments)
        if len(calls) > 25:
            raise OSError('no space left')
        return encode(*arguments)

    monkeypatch.setattr(cv2, 'imencode', full_disk)
    assert call(cifar, path, out) == 'no space left' and not out.exists()
    monkeypatch.setattr(cv2, 'imencode', encode)
    assert call(cifar, path, out) is None
    assert len(list(out.rglob('*.png'))) == 40 and {p.name for p in tmp_path.iterdir()} == {path.name, 'out'}
    assert call(cifar, path, out) == f'{out} exists: name another folder, or move it away'


def test_a_classifier_trains_and_is_evaluated_on_what_was_written(archive, tmp_path):
    path, _ = archive('cifar-10-binary.tar.gz')
    assert call(cifar, path, tmp_path / 'cifar10') is None
    options = {
        'cifar10_root': str(tmp_path / 'cifar10'),
        'train_cfg.max_epochs': 1,
        'model.backbone.adapter': 'lora',
    }
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        options |= {f'{loader}.{key}': value for key, value in dict(
            num_workers=0, persistent_workers=False, pin_memory=False, batch_size=10).items()}  # fmt: skip
        place = 3 if loader == 'train_dataloader' else 1
        options[f'{loader}.dataset.pipeline.{place}.scale'] = 64  # of the enlarged image
    name = 'image-classifier_daga-vits16_linear_8xb128-30e_cifar10.py'
    config = shrink(load_config(REPOSITORY / 'configs/mmpretrain' / name, options, str(tmp_path / 'run')))
    runner = Runner.from_cfg(config)
    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    runner.train()
    moved = {key for key, value in runner.model.state_dict().items() if not torch.equal(value, before[key])}
    assert {'head.fc.weight', 'head.fc.bias'} < moved and not any('.trunk.' in key for key in moved)
    assert any(key.startswith(f'backbone.adapters.lora.updates.{layer}.') for layer in range(4) for key in moved)
    saved = torch.load(tmp_path / 'run/epoch_1.pth', weights_only=False)
    assert saved['meta']['dataset_meta']['classes'] == tuple(CLASSES[10])


# -- ImageNet-C ----------------------------------------------------------------------------------------------------


@pytest.fixture
def clean(tmp_path):
    """Two classes with an image each, one of them of the least size and grey."""
    for wnid, shape in (('n01440764', (300, 280, 3)), ('n02123045', (30, 40))):
        (tmp_path / 'clean' / wnid).mkdir(parents=True)
        pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / 'clean' / wnid / f'{wnid}_1.JPEG')
    return tmp_path / 'clean'


@pytest.fixture
def library(monkeypatch):
    """In place of imagecorruptions-imaug: two corruptions, with random numbers from where its own have theirs."""

    def corrupt(image, severity, corruption, seed=None):
        assert image.shape == (224, 224, 3) and image.dtype == np.uint8
        assert (seed is None) == (corruption != 'glass_blur')
        random = np.random if seed is None else np.random.default_rng(seed)
        return np.uint8(np.clip(image + random.normal(0, 10 * severity, image.shape), 0, 255))

    module = types.SimpleNamespace(get_corruption_names=lambda: ['snow', 'glass_blur'], corrupt=corrupt)
    monkeypatch.setitem(sys.modules, 'imagecorruptions', module)
    monkeypatch.setattr(metadata, 'version', lambda name: '1.1.5')


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def test_the_tree_depends_on_the_seed_alone_and_is_gone_on_with(clean, tmp_path, library):
    images = imagenet_c.find_images(clean)
    for out, order, seed in (('a', images, 0), ('b', images[::-1], 0), ('c', images, 1)):
        for path in order:
            imagenet_c.corrupt_image(path, tmp_path / out, seed)
    made, again, other = (contents(tmp_path / out) for out in 'abc')
    assert set(made) == {
        f'{corruption}/{severity}/{wnid}/{wnid}_1.JPEG'
        for corruption in ('snow', 'glass_blur') for severity in range(1, 6) for wnid in ('n01440764', 'n02123045')
    }  # fmt: skip
    assert made == again and len({*made.values()}) == 20 and not {*made.values()} & {*other.values()}

    broken_off = tmp_path / 'a/snow/3/n02123045/n02123045_1.JPEG'
    stays = tmp_path / 'a/snow/4/n02123045/n02123045_1.JPEG'
    broken_off.rename(broken_off.with_name(f'{broken_off.name}.part'))
    stays.write_bytes(b'stays')
    imagenet_c.corrupt_image(images[1], tmp_path / 'a', 0)
    assert contents(tmp_path / 'a') == made | {str(stays.relative_to(tmp_path / 'a')): b'stays'}


def test_trees_are_not_mixed(clean, tmp_path, library):
    images = imagenet_c.find_images(clean)

    def claim(folder, seed, images):
        imagenet_c.claim(folder, imagenet_c.describe(seed, images))

    claim(tmp_path / 'out', 0, images)
    claim(tmp_path / 'out', 0, images)
    with pytest.raises(FileExistsError, match=r'\(seed 0\)'):
        claim(tmp_path / 'out', 1, images)
    with pytest.raises(FileExistsError, match=r'\(images [0-9a-f]{16}\)'):
        claim(tmp_path / 'out', 0, images[1:])
    with pytest.raises(FileExistsError, match='was not made by this tool'):
        claim(clean, 0, images)


def test_images_that_would_become_one_are_named(clean):
    path = clean / 'n01440764/n01440764_1.JPEG'
    path.with_suffix('.png').write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match='suffix only would become one: .*n01440764_1'):
        imagenet_c.find_images(clean)


def test_faults_of_input_are_named(clean, tmp_path, library, monkeypatch):
    (tmp_path / 'empty').mkdir()
    assert call(imagenet_c, tmp_path / 'empty', tmp_path / 'out').startswith(f'no images in {tmp_path / "empty"}')
    path = clean / 'n01440764/n01440764_1.JPEG'
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=f'{path} .*truncated'):
        imagenet_c.corrupt_image(path, tmp_path / 'out', 0)

    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, 'version', absent)
    assert call(imagenet_c, clean, tmp_path / 'new').endswith('pip install imagecorruptions-imaug')
    assert not (tmp_path / 'new').exists()


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec('imagecorruptions'), reason='imagecorruptions-imaug is not installed')
def test_the_library_makes_all_fifteen(clean, tmp_path, monkeypatch):
    from daga_mm.evaluation import CORRUPTIONS

    command = [sys.executable, imagenet_c.__file__, clean, tmp_path / 'out']
    result = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    made = contents(tmp_path / 'out')
    assert made.pop('made_by.json')
    assert len(made) == 15 * 5 * 2 and {name.split('/')[0] for name in made} == set(CORRUPTIONS)
    assert {Image.open(path).size for path in (tmp_path / 'out').rglob('*.JPEG')} == {(224, 224)}
    # The compiler of glass_blur would take seconds in this process too.
    monkeypatch.setattr('imagecorruptions.get_corruption_names', lambda: ['impulse_noise', 'snow'])
    for path in imagenet_c.find_images(clean)[::-1]:
        imagenet_c.corrupt_image(path, tmp_path / 'again', 0)
    again = contents(tmp_path / 'again')
    assert len(again) == 2 * 5 * 2 and again.items() <= made.items()
