"""What users get wrong: each mistake, how it is made, and the message that names the thing and the cure.

``WORKS`` in the place of a message: an oddity that is legal.
"""

import itertools
import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope
from safetensors.torch import save_file

import daga_mm.compat  # noqa: F401 (mmpretrain imports mmcv's operators)
from daga_mm.backbones import DAGAViT
from daga_mm.cli.config import load_config, path_names, require_work_dir
from daga_mm.cli.data import require_data
from daga_mm.cli.parser import add_config, make_parser
from daga_mm.cli.runs import build_runner
from daga_mm.engine import RunError, Runner, check_pipelines
from demo.scenes import write_ade20k, write_coco, write_nyu

from .compat.test_safe_load import Call
from .configs.shrink import shrink
from .conftest import REPOSITORY, TINY, daga
from .engine.toys import Line
from .tools.conftest import call, load_converter, load_tool

CONFIGS = {
    'cls': 'mmpretrain/image-classifier_daga-vits16_linear_8xb128-30e_cifar10.py',
    'seg': 'mmseg/fcn_daga-vits16_linear_8xb2-40k_ade20k-512x512.py',
    'det': 'mmdet/mask-rcnn_daga-vits16_simplefpn_8xb8-lsj-100e_coco.py',
    'depth': 'depth/depth_daga-vits16_linear_8xb2-38400iters_nyu-416x544.py',
}
WORKS = ''
NUMBERS = itertools.count()
ERRORS = (OSError, ValueError, RunError)  # what the tools end with in one line


class Place:
    """A folder, and what the mistakes are made with."""

    def __init__(self, path: Path, data: Path) -> None:
        self.path = path
        self.data = data

    def file(self, name: str, content: bytes | str = b'') -> Path:
        path = self.path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def saved(self, content: Any, name: str = 'model.pth') -> Path:
        torch.save(content, self.path / name)
        return self.path / name

    def copy(self, task: str) -> Path:
        """The data set of a task, to be spoilt."""
        return Path(shutil.copytree(self.data / task, self.path / task))

    def config(self, task: str = 'cls', root: Path | None = None, **options: Any) -> Config:
        """A task's config on a tiny random trunk; ``root``: another data set than the good one."""
        names = {'cls': 'cifar10_root', 'seg': 'ade20k_root', 'det': 'coco_root', 'depth': 'nyu_root'}
        root = root or self.data / task
        config = load_config(REPOSITORY / 'configs' / CONFIGS[task], {names[task]: str(root)}, str(self.path / 'run'))
        shrink(config)
        for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
            loader.update(num_workers=0, persistent_workers=False, pin_memory=False)
            loader.setdefault('batch_size', 2)
        config.train_dataloader.batch_size = 5
        config.log_level = 'ERROR'
        config.visualizer.name = f'bad input {next(NUMBERS)}'
        config.model.backbone.adapter = dict(type='DAGA')  # whose options may be changed
        config.merge_from_dict(options)
        return config

    def runner(self, config: Config) -> Any:
        return build_runner(config, SimpleNamespace(launcher='none', local_rank=0))

    def train(self, **options: Any) -> None:
        """One step of a classifier."""
        config = self.config(**options)
        config.train_cfg = dict(by_epoch=False, max_iters=1)
        config.val_cfg = config.val_dataloader = config.val_evaluator = config.param_scheduler = None
        self.runner(config).train()

    def test(self, checkpoint: Path, **options: Any) -> None:
        self.runner(self.config(load_from=str(checkpoint), **options)).test()

    def item(self, task: str, root: Path, split: str = 'train', index: int = 0) -> Any:
        """An image of a data set as a run loads it."""
        config = self.config(task, root)
        init_default_scope(config.default_scope)
        dataset = DATASETS.build(config[f'{split}_dataloader'].dataset)
        dataset.full_init()
        check_pipelines(dataset)
        return dataset[index]

    def state(self, **changes: Any) -> dict[str, torch.Tensor]:
        """The weights of the classifier that ``test`` asks for, with an option or two changed."""
        config = self.config(**changes)
        init_default_scope(config.default_scope)
        return MODELS.build(config.model).state_dict()


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Small data sets of all tasks."""
    root = tmp_path_factory.mktemp('data')
    write_ade20k(root / 'a', 2, 1, size=(64, 64))
    (root / 'a/ADEChallengeData2016').rename(root / 'seg')
    write_coco(root / 'det', 2, 1, seed=3, size=(64, 64))
    write_nyu(root / 'depth', 2, 1, size=(640, 480))
    for split, label in itertools.product(('train', 'test'), range(10)):
        folder = root / f'cls/{split}/class{label}'
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / '0.png'), np.full((32, 32, 3), 20 * label, np.uint8))
    return root


@pytest.fixture
def place(tmp_path, data, monkeypatch):
    for name in path_names():
        monkeypatch.delenv(name.upper(), raising=False)
    return Place(tmp_path, data)


Mistakes = dict[str, tuple[Callable[[Place], Any], str]]


def refused(place: Place, mistake: Callable[[Place], Any], message: str) -> None:
    """The mistake ends in this message, and leaves nothing half-written behind."""
    if message == WORKS:
        mistake(place)
    else:
        with pytest.raises(ERRORS, match=message) as caught:
            mistake(place)
        assert 'weights_only' not in str(caught.value), 'advice to run the code in a file'
    assert not [path for path in place.path.rglob('*') if path.suffix in ('.part', '.tmp')]
    assert not list(place.path.glob('run/*.pth')) or message == WORKS


# -- weights of a trunk -----------------------------------------------------------------------------------------------


def load(path: Path | str, **arch: Any) -> None:
    config = dict(type='Pretrained', checkpoint=str(path))
    DAGAViT(TINY | arch, adapter=None, init_cfg=config).init_weights()


def trunk(**arch: Any) -> dict[str, torch.Tensor]:
    state = DAGAViT(TINY | arch, adapter=None).trunk.model.state_dict()
    return {key: value.contiguous() for key, value in state.items() if key != 'rope.periods'}


def halved(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def safetensors(place: Place) -> Path:
    save_file(trunk(), place.path / 'trunk.safetensors')
    return place.path / 'trunk.safetensors'


def with_nan() -> dict[str, torch.Tensor]:
    return trunk() | {'norm.weight': torch.full((48,), torch.nan)}


CODE = Call(exec, "raise SystemExit('code ran')")
WEIGHTS: Mistakes = {
    'safetensors': (lambda p: load(safetensors(p)), WORKS),
    'safetensors named .pth': (lambda p: load(safetensors(p).rename(p.path / 'a.pth')), WORKS),
    'a pickle that runs code': (lambda p: load(p.saved({'a': CODE})), r'model\.pth was not loaded: it asks for exec'),
    'a plain pickle': (lambda p: load(p.file('a.pkl', pickle.dumps({'a': CODE}))), r'a\.pkl was not loaded: it (asks for|is dam)'),
    'truncated': (lambda p: load(halved(p.saved(trunk()))), r'model\.pth was not loaded: it is damaged \(download it again'),
    'truncated safetensors': (lambda p: load(halved(safetensors(p))), 'trunk.safetensors is a broken safetensors file'),
    'empty': (lambda p: load(p.file('a.pth')), r'a\.pth is empty: the download broke off'),
    'a web page': (lambda p: load(p.file('a.pth', '<!DOCTYPE html>')), r'a\.pth is a web page.*licence accepted'),
    'a Git LFS pointer': (lambda p: load(p.file('a.pth', 'version https://git-lfs')), 'pointer.*run `git lfs pull`'),
    'absent': (lambda p: load('nowhere.pth'), r'no weights at nowhere\.pth.*docs/weights\.md'),
    'a folder': (lambda p: load(p.path), 'no weights at '),
    'a URL': (lambda p: load('https://example.org/a.pth'), 'download the weights first'),
    'without tensors': (lambda p: load(p.saved({'epoch': 3})), r'model\.pth holds no state dict of tensors'),
    'of a wider trunk': (lambda p: load(p.saved(trunk(embed_dim=96))), r'does not fit the trunk dinov3_vits16:\n +missh'),
    'of a deeper trunk': (lambda p: load(p.saved(trunk(depth=5))), r'unexpected \(\d+\): blocks\.4\.'),
    'of another patch size': (lambda p: load(p.saved(trunk(patch_size=8))), 'has patches of 8 pixels, the trunk .* of 16'),
    'NaN': (lambda p: load(p.saved(with_nan())), r'not finite \(1\): norm\.weight'),
}  # fmt: skip

# -- a backbone -------------------------------------------------------------------------------------------------------


def build(images: torch.Tensor | None = None, **kwargs: Any) -> None:
    backbone = DAGAViT(**{'arch': TINY} | kwargs)
    if images is not None:
        backbone(images)


BACKBONE: Mistakes = {
    'an unknown arch': (lambda p: build(arch='dinov3_vits61'), 'dinov3_vits61.*dinov3_vits16'),
    'a DAGA out of range': (lambda p: build(adapter=daga((1, 4))), r'layers: \[4\] out of range.*blocks 0 to 3'),
    'a DAGA behind the last output': (lambda p: build(out_indices=(1,)), r'DAGA at blocks \[2, 3\] .* cannot influence any output'),
    'no output': (lambda p: build(out_indices=()), 'out_indices is empty'),
    'an output out of range': (lambda p: build(out_indices=(-5,)), r'out_indices: \[-5\] out of range'),
    'a guidance layer out of range': (lambda p: build(adapter=daga(guidance=dict(layer=4))), r'guidance layer: \[4\] out of range'),
    'an unknown guidance': (lambda p: build(adapter=daga(guidance='frozen')), "guidance is 'frozen', expected 'inline' or dict"),
    'an unknown setting of guidance': (lambda p: build(adapter=daga(guidance=dict(layr=1))), 'guidance.*layr.*layer'),
    'guidance of an image of no size': (lambda p: build(adapter=daga(guidance=dict(scale=0))), 'guidance scale is 0.0, expected more than 0'),
    'guidance from a block behind the DAGA, in the untouched trunk': (
        lambda p: build(torch.zeros(1, 3, 32, 32), adapter=daga((0,), guidance=dict(layer=3))), WORKS),
    'an unknown setting of DAGA': (lambda p: build(adapter=daga(dim=3)), "DAGA has no option 'dim'.*bottleneck_dim"),
    'an unknown gate': (lambda p: build(adapter=daga(gate='pixel')), "gate is 'pixel', expected 'channel', 'token' or 'heads'"),
    'an unknown adapter': (lambda p: build(adapter='lroa'), "unknown adapter 'lroa', expected adaptformer.*Did you mean lora"),
    'an option of another adapter': (lambda p: build(adapter=daga(rank=4)), "DAGA has no option 'rank', which is one of LoRA"),
    'another kind of init_cfg': (lambda p: build(init_cfg=dict(type='Xavier')), "dict\\(type='Pretrained', checkpoint=PATH"),
    'a grey batch': (lambda p: build(torch.zeros(1, 1, 32, 32)), r'shape \(1, 1, 32, 32\), expected \(B, 3, H, W\)'),
    'an image without its batch': (lambda p: build(torch.zeros(3, 32, 32)), r'shape \(3, 32, 32\), expected \(B, 3, H, W\)'),
    'images without pixels': (lambda p: build(torch.zeros(1, 3, 0, 32)), r'shape \(1, 3, 0, 32\), expected'),
    'a batch of no images': (lambda p: build(torch.zeros(0, 3, 32, 32)), r'shape \(0, 3, 32, 32\), expected'),
    'one row of pixels': (lambda p: build(torch.zeros(1, 3, 1, 40)), WORKS),
    '10,000 pixels wide': (lambda p: build(torch.zeros(1, 3, 16, 10_000)), WORKS),
}  # fmt: skip

# -- configs and options ----------------------------------------------------------------------------------------------


def config_of(text: str, **options: Any) -> Callable[[Place], Any]:
    return lambda place: load_config(place.file('config.py', text), options)


def seg(**options: Any) -> Callable[[Place], Any]:
    return lambda place: load_config(REPOSITORY / 'configs' / CONFIGS['seg'], options)


CONFIG: Mistakes = {
    'absent': (lambda p: load_config('nowhere.py'), 'no config nowhere.py$'),
    'misspelt': (
        lambda p: load_config(REPOSITORY / 'configs' / CONFIGS['seg'].replace('linear', 'linaer')),
        f'no config .*linaer.*: do you mean {REPOSITORY}/configs/mmseg/fcn_daga-vits16_linear_8xb2-40k_ade20k-512x512.py'),
    'by its name': (lambda p: load_config(Path(CONFIGS['seg']).stem), WORKS),
    'in another folder': (
        lambda p: load_config(p.path / Path(CONFIGS['seg']).name), r'do you mean .*/configs/mmseg/fcn_daga-vits16_linear_8'),
    'a checkpoint in its place': (lambda p: load_config(p.saved({})), r'model\.pth is not a config, expected a \.py file'),
    'a syntax error': (config_of('a = (1,'), r'config\.py.* cannot be read: SyntaxError: .* was never closed'),
    'a number that is none': (config_of("a = int('x')"), r"config\.py.* cannot be read: ValueError: invalid literal"),
    'an error': (config_of('a = b_'), r"config\.py.* cannot be read: NameError: name 'b_' is not defined"),
    'a base that is absent': (config_of("_base_ = './b.py'"), r'config\.py inherits from a file that does not exist.*b\.py'),
    'a base of no package': (config_of("_base_ = ['mmnone::a.py']"), r'config\.py.* cannot be read: .*package'),
    'a module that is absent': (
        config_of("custom_imports = dict(imports=['my_model'], allow_failed_imports=False)"), 'Failed to import my_model'),
    'a misspelt setting': (seg(**{'trian_cfg.max_iters': 1}), 'no setting trian_cfg.max_iters .* mean train_cfg?'),
    'a variable that is read no more': (
        seg(**{'optimizer.lr': 1}), 'optimizer.lr has no effect: .* do you mean optim_wrapper.optimizer'),
    'a variable of many places': (
        seg(crop_size=1), r'crop_size has no effect.*model.test_cfg.crop_size or train_dataloader.*3.crop_size\?'),
    'pixels beside those of the model': (seg(data_preprocessor=1), 'has no effect.* do you mean model.data_preprocessor'),
    'an item that a list lacks': (seg(**{'train_dataloader.dataset.pipeline.99.scale': 1}), 'do not fit .*Index 99'),
    'a setting of a number': (seg(**{'train_cfg.max_iters.x': 1}), 'do not fit .*max_iters'),
    'a setting of the run': (seg(**{'randomness.seed': 1, 'load_from': 'a.pth'}), WORKS),
}  # fmt: skip


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['train_cfg.max_iters'], '--cfg-options train_cfg.max_iters: expected NAME=VALUE, without spaces around ='),
        (['a', '=', '1'], '--cfg-options a: expected NAME=VALUE, without spaces'),
        (['a=[1,2'], '--cfg-options a=[1,2: found brackets that are not closed'),
    ],
)
def test_options_that_are_none(arguments, message, capsys):
    parser = make_parser('')
    add_config(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(['config.py', '--cfg-options', *arguments])
    assert message in capsys.readouterr().err


# -- what a run reads, before it starts -------------------------------------------------------------------------------


def without(task: str, name: str) -> Callable[[Place], Any]:
    def mistake(place: Place) -> None:
        root = place.copy(task)
        shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()
        require_data(place.config(task, root), 'train', 'val')

    return mistake


def annotations(content: Callable[[bytes], bytes]) -> Callable[[Place], Any]:
    def mistake(place: Place) -> None:
        root = place.copy('det')
        path = root / 'annotations/instances_train2017.json'
        path.write_bytes(content(path.read_bytes()))
        require_data(place.config('det', root), 'train', 'val')

    return mistake


def batch(size: Any) -> Callable[[Place], Any]:
    return lambda place: require_data(place.config(**{'train_dataloader.batch_size': size}), 'train')


def renamed(folder: str) -> Callable[[Place], Any]:
    def mistake(place: Place) -> None:
        root = place.copy('cls')
        (root / folder).rename(root / folder / '../x')
        require_data(place.config('cls', root), 'train', 'test')

    return mistake


BEFORE: Mistakes = {
    **{f'{task}: nothing wrong': (lambda p, t=task: require_data(p.config(t), 'train', 'val', 'test'), WORKS) for task in CONFIGS},
    'on another machine': (
        lambda p: require_data(p.config('seg', None, **{'train_dataloader.dataset.data_root': 's3://ade'}), 'train'), WORKS),
    'a wrong data root': (
        lambda p: require_data(p.config('seg', Path('/nowhere')), 'train'),
        'no data set at /nowhere: --cfg-options ade20k_root=PATH or ADE20K_ROOT=PATH names its place'),
    'no folder of images': (without('seg', 'images/training'), 'no folder .*/seg/images/training'),
    'no folder of maps': (without('depth', 'annotations/train'), 'no folder .*/depth/annotations/train'),
    'no annotation file': (without('det', 'annotations/instances_train2017.json'), 'no annotation file .*train2017.json'),
    'half of the annotations': (annotations(lambda c: c[: len(c) // 2]), 'train2017.json is no JSON, or only a part of one'),
    'a web page for annotations': (annotations(lambda c: b'<html>'), 'train2017.json is no JSON'),
    'no annotations': (annotations(lambda c: b''), 'train2017.json is no JSON'),
    'no images in a batch': (batch(0), 'train_dataloader.batch_size is 0, expected a positive integer'),
    'a negative batch': (batch(-2), 'train_dataloader.batch_size is -2'),
    'half an image in a batch': (batch(1.5), 'train_dataloader.batch_size is 1.5'),
    'more class folders than classes': (
        lambda p: require_data(p.config(**{'model.head.num_classes': 9}), 'train'), 'has 10 classes, the model 9'),
    'folders of other classes in the test': (renamed('test/class3'), r'/test and .*/train have other classes.*class3, x'),
    'the best of more classes than there are': (
        lambda p: require_data(p.config(**{'val_evaluator.topk': (1, 11)}), 'val'),
        r'val_evaluator.topk asks for the best 11 of 10 classes: --cfg-options val_evaluator.topk="\(1,\)"'),
    'a work dir in a file': (
        lambda p: require_work_dir(Config(dict(work_dir=str(p.file('file') / 'run')))),
        r'nothing can be written to .*file/run \(Not a directory\): name another folder, --work-dir'),
}  # fmt: skip

# -- images, maps, boxes ----------------------------------------------------------------------------------------------


def spoilt(task: str, name: str, change: Callable[[Path], Any], split: str = 'train') -> Callable[[Place], Any]:
    """Load the first image of a copy in which the file ``name`` was changed."""

    def mistake(place: Place) -> None:
        root = place.copy(task)
        path = sorted(root.glob(name))[0]
        change(path)
        place.item(task, root, split)

    return mistake


def pixels(shape: tuple[int, ...], dtype: Any = np.uint8) -> Callable[[Path], Any]:
    """Write an image of this shape; its values are those of a soft pattern."""
    values = np.arange(np.prod(shape)).reshape(shape) % 251
    return lambda path: path.write_bytes(cv2.imencode(path.suffix, values.astype(dtype))[1].tobytes())


def cut(path: Path) -> Any:
    path.write_bytes(path.read_bytes()[: min(300, path.stat().st_size // 2)])


def paint(value: int) -> Callable[[Path], Any]:
    def change(path: Path) -> None:
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), np.full_like(labels, value))

    return change


def boxes(box: list[float]) -> Callable[[Path], Any]:
    """Give all boxes these coordinates."""

    def change(path: Path) -> None:
        content = json.loads(path.read_text())
        for annotation in content['annotations']:
            annotation['bbox'] = box
        path.write_text(json.dumps(content))

    return change


def toy(place: Place, config: Config) -> Runner:
    """A runner of the config's data sets and evaluators, with a model that takes no time to build."""
    names = ('default_scope', 'val_cfg', 'val_dataloader', 'val_evaluator', 'log_level')
    options = {name: config[name] for name in names}
    return Runner(Line(), str(place.path / 'run'), experiment_name=f'toy {next(NUMBERS)}', **options)


def loader(task: str, change: Callable[[Path], Any], **options: Any) -> Callable[[Place], Any]:
    """The data loader of the training images, of a copy that was changed."""

    def mistake(place: Place) -> None:
        root = place.copy(task)
        change(root)
        config = place.config(task, root, **options)
        toy(place, config).build_dataloader(config.train_dataloader)

    return mistake


def edited(change: Callable[[dict], Any], split: str = 'train') -> Callable[[Path], Any]:
    """Change the content of an annotation file."""

    def change_file(root: Path) -> None:
        path = root / f'annotations/instances_{split}2017.json'
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return change_file


def without_field(kind: str, name: str, split: str = 'train') -> Callable[[Path], Any]:
    return edited(lambda content: [entry.pop(name) for entry in content[kind]], split)


def evaluation(task: str, change: Callable[[Path, Any], Any]) -> Callable[[Place], Any]:
    """The validation of a run, of a copy of the data and a config that were changed."""

    def mistake(place: Place) -> None:
        root = place.copy(task)
        config = place.config(task, root)
        change(root, config)
        assert toy(place, config).val_loop

    return mistake


def measured_on(split: str, change: Callable[[Path], Any] = lambda root: None) -> Callable[[Path, Any], Any]:
    """Let the evaluator have a changed copy of the annotations of a split, and the data set those of the validation."""

    def spoil(root: Path, config: Any) -> None:
        shutil.copytree(root, root / 'copy')
        change(root / 'copy')
        config.val_evaluator.ann_file = str(root / f'copy/annotations/instances_{split}2017.json')

    return spoil


def nameless(root: Path, config: Any) -> None:
    config.val_dataloader.dataset.type = 'BaseSegDataset'


def with_category(name: str, every: bool) -> Callable[[Path], Any]:
    """Give one category of the annotations, or each, a name that is none of COCO's."""

    def change(root: Path) -> None:
        path = root / 'annotations/instances_train2017.json'
        content = json.loads(path.read_text())
        for number, category in enumerate(content['categories']):
            if every or not number:
                category['name'] = f'{name} {number}'
        path.write_text(json.dumps(content))

    return change


def as_bmp(root: Path) -> None:
    for path in (root / 'images/training').iterdir():
        path.rename(path.with_suffix('.bmp'))


IMAGE, MAP, CLASS_IMAGE = 'images/training/*', 'annotations/training/*', 'train/class0/0.png'
DEPTH = 'annotations/train/*'
COCO = 'annotations/instances_val2017.json'
FILES: Mistakes = {
    'cut off': (spoilt('seg', IMAGE, cut), r'images/training/\S+\.jpg cannot be read as an image: it is damaged'),
    'half of a JPEG': (spoilt('seg', IMAGE, halved), r'images/training/\S+\.jpg cannot be read as an image: it is damaged'),
    'empty': (spoilt('seg', IMAGE, lambda f: f.write_bytes(b'')), r'images/training/\S+\.jpg is empty'),
    'a web page': (spoilt('cls', CLASS_IMAGE, lambda f: f.write_text('<html>')), 'class0/0.png cannot be read as an image'),
    'no map': (spoilt('seg', MAP, lambda f: f.unlink()), r'no file \S+annotations/training/\S+\.png'),
    'a map cut off': (spoilt('seg', MAP, lambda f: f.write_bytes(f.read_bytes()[:60])), r'annotations/training/\S+\.png cannot'),
    'labels that are no class': (spoilt('seg', MAP, paint(200)), r'training/\S+\.png has the label 199, .*classes 0 to 149'),
    'labels of nothing': (spoilt('seg', MAP, paint(0)), WORKS),
    'labels for every class': (spoilt('seg', MAP, paint(150)), WORKS),
    'a map of another size': (spoilt('seg', MAP, pixels((32, 48))), r'training/\S+\.png has 32×48 pixels, its image .* 64×64'),
    'a map in colours': (
        spoilt('seg', MAP, pixels((64, 64, 3))), r'training/\S+\.png is a picture of 3 colour channels, expected one channel'),
    'depth of another size': (spoilt('depth', DEPTH, pixels((32, 48), np.uint16)), r'depth map \S+ has 32×48 pixels, its image'),
    'depth in colours': (spoilt('depth', DEPTH, pixels((480, 640, 3))), r'depth map \S+ has shape \(480, 640, 3\)'),
    'depth cut off': (spoilt('depth', DEPTH, cut), r'depth\S+\.png cannot be read as an image'),
    'of a suffix that is not looked for': (loader('seg', as_bmp), 'ADE20KDataset has found no image: data_root .*img_suffix'),
    'a category that is no class': (
        loader('det', with_category('x', every=False)), r'train2017.json has \d+ of the \d+ classes of .*metainfo.classes'),
    'no category that is a class': (loader('det', with_category('x', every=True)), 'found no image.*metainfo.classes'),
    'no categories': (
        loader('det', edited(lambda content: content.pop('categories'))), r'train2017.json has no categories, expected'),
    'no boxes in annotations': (
        loader('det', without_field('annotations', 'bbox')), r'train2017.json: annotations have no bbox, expected id, image_id'),
    'no sizes of images': (loader('det', without_field('images', 'width')), r'train2017.json: images have no width, expected id'),
    'no masks for a mask head': (
        loader('det', without_field('annotations', 'segmentation')),
        r'train2017.json has boxes without masks .*, the first in .*\.jpg, and the pipeline loads masks: .*with_mask=False'),
    'categories in another order than the classes': (
        loader('det', edited(lambda content: content['categories'].reverse())),
        r"train2017.json has the classes in another order .*classes=\('toothbrush', 'hair drier', .*'person'\)"),
    'annotations of other images for the evaluator': (
        evaluation('det', measured_on('train')),
        r'the ann_file of CocoMetric does not have 1 of the 1 images of the data set, the first .*val_evaluator.ann_file'),
    'the same annotations elsewhere for the evaluator': (evaluation('det', measured_on('val')), WORKS),
    'no masks for the evaluator': (
        evaluation('det', measured_on('val', without_field('annotations', 'segmentation', 'val'))),
        r"CocoMetric: annotation \d+ has no segmentation, which metric=\['bbox', 'segm'\] needs"),
    'classes without names': (
        evaluation('seg', nameless), r'BaseSegDataset has no names of classes, and IoUMetric needs them: .* metainfo=dict\(classes'),
    'no workers that could stay': (loader('cls', lambda root: None, **{'train_dataloader.persistent_workers': True}), WORKS),
    'grey': (spoilt('cls', CLASS_IMAGE, pixels((40, 40))), WORKS),
    'with alpha': (spoilt('cls', CLASS_IMAGE, pixels((40, 40, 4))), WORKS),
    '16 bits': (spoilt('cls', CLASS_IMAGE, pixels((40, 40, 3), np.uint16)), WORKS),
    'one row of pixels': (spoilt('cls', CLASS_IMAGE, pixels((1, 40, 3))), WORKS),
    '10,000 pixels wide': (spoilt('cls', CLASS_IMAGE, pixels((20, 10_000, 3))), WORKS),
}  # fmt: skip


@pytest.mark.parametrize('box', [[3, 4, 0, 0], [float('nan')] * 4, [900, 900, 5, 5]])
def test_boxes_of_no_size_of_nan_and_outside_of_the_image_are_left_out(box, place):
    root = place.copy('det')
    assert len(place.item('det', root, 'val')['data_samples'].gt_instances)
    boxes(box)(root / COCO)
    assert not len(place.item('det', root, 'val')['data_samples'].gt_instances)


# -- checkpoints ------------------------------------------------------------------------------------------------------


def weights(place: Place, **changes: Any) -> Path:
    return place.saved({'state_dict': place.state(**changes), 'meta': {}})


def half_head(place: Place) -> Path:
    state = {key: value for key, value in place.state().items() if key != 'head.fc.bias'}
    return place.saved({'state_dict': state})


def as_safetensors(place: Place) -> Path:
    path = place.path / 'model.safetensors'
    save_file({key: value.contiguous() for key, value in place.state().items()}, path)
    return path


def resume(path: Callable[[Place], Path]) -> Callable[[Place], Any]:
    return lambda place: place.train(load_from=str(path(place)), resume=True)


CHECKPOINTS: Mistakes = {
    'whole': (lambda p: p.test(weights(p)), WORKS),
    'safetensors': (lambda p: p.test(as_safetensors(p)), WORKS),
    'absent': (lambda p: p.test(Path('nowhere.pth')), 'nowhere.pth'),
    'truncated': (lambda p: p.test(halved(weights(p))), r'model\.pth was not loaded: it is damaged'),
    'of another head': (
        lambda p: p.test(weights(p, **{'model.head.num_classes': 12})),
        r'model\.pth is not a checkpoint of this model.*misshapen \(2\): head.fc.weight \(12, 96\) instead of \(10, 96\)'),
    'of half a head': (lambda p: p.test(half_head(p)), r'missing \(1\): head\.fc\.bias'),
    'of another task': (lambda p: p.test(weights(p, task='seg')), r'model\.pth is not a checkpoint of this model.*missing'),
    'with DAGA, for the frozen trunk': (
        lambda p: p.test(weights(p), **{'model.backbone.adapter': None}),
        r'model\.pth has the adapter daga; this model has no adapters\. .*--adapter daga, or use the config'),
    'with other DAGA layers, to train from': (
        lambda p: p.train(load_from=str(weights(p)), **{'model.backbone.adapter.layers': (0,)}), 'adapter daga that this model has no place for.*such as layers'),
    'of folders with words for names': (
        lambda p: p.test(p.saved({'state_dict': p.state(), 'meta': {'dataset_meta': {'classes': tuple('abcdefghij')}}})), WORKS),
    'of other folders': (
        lambda p: p.test(p.saved({'state_dict': p.state(), 'meta': {'dataset_meta': {'classes': ('cat', 'dog')}}})),
        'trained on other classes than those of .*: what differs is cat, class0'),
    'of another trunk': (
        lambda p: p.test(weights(p, **{'model.backbone.arch.depth': 5, 'model.backbone.adapter.layers': (1, 2, 3)})),
        r'the trunk in the checkpoint is not a dinov3_vits16'),
    'the weights of a trunk alone': (lambda p: p.test(p.saved(trunk())), 'holds nothing of this model.*init_cfg.checkpoint'),
    'code, to test': (lambda p: p.test(p.saved({'state_dict': {'a': CODE}})), r'model\.pth was not loaded: it asks for exec'),
    'code, to train from': (lambda p: p.train(load_from=str(p.saved({'state_dict': {'a': CODE}}))), 'it asks for exec'),
    'code, to resume': (resume(lambda p: p.saved({'state_dict': {'a': CODE}})), 'it asks for exec'),
    'code, as weights of the trunk': (
        lambda p: p.train(**{'model.backbone.init_cfg': dict(type='Pretrained', checkpoint=str(p.saved({'a': CODE})), _delete_=True)}),
        'it asks for exec'),
    'another head to train from': (lambda p: p.train(load_from=str(weights(p, **{'model.head.num_classes': 12}))), WORKS),
    'nothing of it to train from': (lambda p: p.train(load_from=str(p.saved(trunk()))), 'holds nothing of this model'),
    'weights alone, to resume': (
        resume(weights), r'model\.pth is not one to resume from: it has no optimizer, .*load_from=.*without --resume'),
    'a head for fewer classes': (
        lambda p: p.train(**{'model.head.num_classes': 9}), 'CustomDataset has 10 classes, model.head 9: set num_classes'),
    'no weights at all': (
        lambda p: p.train(**{'model.backbone.init_cfg': dict(type='Pretrained', checkpoint='nowhere.pth', _delete_=True)}),
        r'no weights at nowhere\.pth.*docs/weights\.md'),
}  # fmt: skip

TABLE = {
    f'{room}: {name}': row
    for room, mistakes in {
        'weights': WEIGHTS,
        'backbone': BACKBONE,
        'config': CONFIG,
        'before a run': BEFORE,
        'files': FILES,
        'checkpoint': CHECKPOINTS,
    }.items()
    for name, row in mistakes.items()
}


@pytest.mark.parametrize('name', TABLE)
def test_mistakes_are_named_with_their_cure(name, place):
    refused(place, *TABLE[name])


# -- the tools --------------------------------------------------------------------------------------------------------


def test_a_config_in_a_checkpoint_does_not_run(place):
    """mmengine's resume executes ``meta['config']``, which is text and no pickle."""
    marker = place.path / 'ran'
    place.train(**{'default_hooks.checkpoint': dict(interval=1, by_epoch=False)})
    path = place.path / 'run/iter_1.pth'
    checkpoint = torch.load(path, weights_only=True)
    checkpoint['meta']['config'] = f"open({str(marker)!r}, 'w')"
    torch.save(checkpoint, path)
    place.train(load_from=str(path), resume=True)
    assert not marker.exists()


def test_a_broken_image_ends_a_training_in_one_line_from_another_process_too(place):
    root = place.copy('cls')
    for path in root.glob('train/*/0.png'):
        cut(path)
    config = place.config(root=root, **{'train_dataloader.num_workers': 1})
    config.dump(place.path / 'config.py')
    command = [sys.executable, '-W', 'ignore', 'tools/train.py', place.path / 'config.py']
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    # OpenCV's own warning comes from the loader's process and may arrive after the message
    last = [line for line in done.stderr.strip().splitlines() if not line.startswith('[ WARN:')][-1]
    assert last.startswith(str(root)) and '0.png cannot be read as an image: it is damaged' in last


INFER: dict[str, tuple[Callable[[Place], list], str]] = {
    'no image': (lambda p: [p.path / 'none', 'c.py', 'c.pth'], 'no image at .*none; folders are searched for .bmp'),
    'no device': (
        lambda p: [p.data / 'cls/test/class0', classifier(p), weights(p), '--device', 'gpu0'], 'device gpu0: .* or take cpu'),
    'no kind of image': (lambda p: [p.file('a.heic'), 'c.py', 'c.pth'], r'a\.heic is not a supported image, expected one of .bmp'),
    'a broken image': (
        lambda p: [p.file('a.png', 'PNG').parent, classifier(p), weights(p)], r'a\.png cannot be read as an image'),
    'a checkpoint that is none': (
        lambda p: [p.data / 'cls/test/class0', classifier(p), p.file('c.pth', '<html>')], r'c\.pth is a web page'),
    'code': (
        lambda p: [p.data / 'cls/test/class0', classifier(p), p.saved({'state_dict': {'a': CODE}})], 'it asks for exec'),
    'a checkpoint of another head': (
        lambda p: [p.data / 'cls/test/class0', classifier(p), weights(p, **{'model.head.num_classes': 12})],
        'is not a checkpoint of this model'),
}  # fmt: skip


TRAIN: dict[str, tuple[str, str]] = {
    'a DAGA out of range': ('model.backbone.adapter.layers=[1,99]', r'layers: \[99\] out of range'),
    'a misspelt setting of the backbone': (
        'model.backbone.withimage=1',
        r"^TypeError: DAGAViT.*unexpected .* 'withimage': do you mean with_image\? \[traceback: .*\.log\]$",
    ),
    'a misspelt setting of the optimiser': ('optim_wrapper.optimizer.lrr=1', r"SGD.*unexpected .* 'lrr': do you mean lr\?"),
    'a misspelt setting of a hook': (
        'default_hooks.checkpoint.intervall=1', r"CheckpointHook.*unexpected .* 'intervall': do you mean interval\?"),
    'a misspelt setting of a loop': ('val_cfg.fp=1', "^TypeError: ValLoop.*unexpected .* 'fp'"),
    'an unknown head': ('model.head.type=LinearHeed', r'LinearHeed is not in the .*do you mean LinearClsHead\?'),
    'a type without its scope': ('model.backbone.type=DAGAViT', r'DAGAViT is not in the .*do you mean daga_mm\.DAGAViT\?'),
    'an unknown data set': ('train_dataloader.dataset.type=CIFAR11', r'CIFAR11 is not in the .*do you mean CIFAR10\?'),
    'patience that is none': ('custom_hooks.0.patience=0', 'patience is a number of steps'),
}  # fmt: skip


@pytest.mark.parametrize('name', TRAIN)
def test_train_ends_with_one_message(name, place):
    option, message = TRAIN[name]
    config = place.config()
    config.custom_hooks = [dict(type='daga_mm.FiniteLossHook'), *config.get('custom_hooks', [])]
    config.dump(place.path / 'config.py')
    arguments = [place.path / 'config.py', '--work-dir', place.path / 'run', '--cfg-options', option]
    assert_last_word(call(load_tool('train'), *arguments), message)
    assert not list(place.path.rglob('*.pth*'))


PUBLISH: dict[str, tuple[Callable[[Place], Path], str]] = {
    'of other DAGA layers': (
        lambda p: weights(p, **{'model.backbone.adapter.layers': (0, 1)}), 'has parts of the adapter daga that this model has no place for'),
    'of another head': (
        lambda p: weights(p, **{'model.head.num_classes': 12}), r'misshapen \(2\): head.fc.weight \(12, 96\)'),
    'no tensors': (lambda p: p.saved({'state_dict': {'a': 'b'}}), 'holds nothing of this model'),
    'weights alone': (lambda p: p.saved({'a': torch.ones(1)}), 'is not a checkpoint of a run: it has no state_dict'),
    'no checkpoint': (lambda p: p.file('c.pth', '<html>'), r'c\.pth is a web page'),
}  # fmt: skip


@pytest.mark.parametrize('name', PUBLISH)
def test_publish_ends_with_one_message(name, place):
    checkpoint, message = PUBLISH[name]
    arguments = [classifier(place), checkpoint(place), '--out', place.path / 'out']
    assert_last_word(call(load_tool('publish_model'), *arguments), message)
    assert not (place.path / 'out').exists()


def classifier(place: Place) -> Path:
    place.config().dump(place.path / 'config.py')
    return place.path / 'config.py'


@pytest.mark.parametrize('name', INFER)
def test_infer_ends_with_one_message(name, place):
    arguments, message = INFER[name]
    assert_last_word(call(load_tool('infer'), *arguments(place), '--out', place.path / 'out'), message)
    assert not [path for path in place.path.glob('out/**/*') if path.is_file()]


def test_batches_of_no_images_are_no_batches(place, capsys):
    with pytest.raises(SystemExit, match='2'):
        raise SystemExit(call(load_tool('infer'), 'a', 'b', 'c', '--out', 'd', '--batch-size', '0'))
    assert 'argument --batch-size: expected a positive integer, got 0' in capsys.readouterr().err


@pytest.mark.parametrize('content', [b'', b'half of an archive'])
def test_a_part_of_an_archive_of_cifar_is_named(content, place):
    archive = place.file('cifar-10-binary.tar.gz', content)
    assert_last_word(
        call(load_converter('cifar'), archive, place.path / 'out'), 'cifar-10-binary.tar.gz has MD5 .* fetch it anew'
    )
    assert not (place.path / 'out').exists()


def assert_last_word(found: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        raise ValueError(found)
