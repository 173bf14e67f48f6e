"""Every config of the repository: it builds, it trains what its name says, mim can find it."""

import collections
import itertools
import re

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import LOOPS, MODELS, PARAM_SCHEDULERS, TRANSFORMS, init_default_scope
from PIL import Image

from ..conftest import REPOSITORY
from .shrink import arch_of, shrink

FILES = sorted((REPOSITORY / 'configs').rglob('*.py'))
LEAVES = [path for path in FILES if path.parent.name != '_base_']
# {protocol}_{dataset}: what measures a backbone or a classifier, with a schedule of its own or none.
PROBE = re.compile(r'(?P<protocol>knn|logreg|linear|robustness)_(?P<data>in1k|cifar10|cifar100)')
# {method}_{adapter}-{size}_{neck or head}_{gpus}xb{batch}-{schedule}_{dataset-size}
NAME = re.compile(
    r'[a-z0-9-]+_(?P<kind>daga|lora|frozen|full)-(?P<size>vits16|vitb16)_[a-z0-9-]+'
    r'_(?P<gpus>\d+)xb(?P<batch>\d+)-(?P<schedule>[\w-]+)_[a-z0-9-]+'
)
# Each config in the size of its name, each recipe of DAGA and of full fine-tuning in the others too.
SIZES = {'daga-vitb16': ['vitb16', 'vitl16'], 'full-vitb16': ['vits16', 'vitb16', 'vitl16']}
CASES = [
    pytest.param(path, size, id=f'{path.stem}-{size}')
    for path in LEAVES
    if not PROBE.fullmatch(path.stem)
    for method in [path.stem.split('_')[1]]
    for size in SIZES.get(method, [method.rpartition('-')[2]])
]
PROBES = [
    pytest.param(path, size, id=f'{path.stem}-{size}')
    for path in LEAVES
    if PROBE.fullmatch(path.stem)
    for size in ('vits16', 'vitb16', 'vitl16')
]


@pytest.fixture
def read(monkeypatch):
    """Read a config in a size, which nobody has to name if it is its own."""

    def read(path, size) -> Config:
        name = NAME.fullmatch(path.stem)
        monkeypatch.delenv('TRUNK', raising=False)
        if size != (name['size'] if name else 'vitb16'):
            monkeypatch.setenv('TRUNK', size)
        return Config.fromfile(path)

    return read


def test_every_recipe_has_a_file_for_each_method():
    methods = collections.defaultdict(set)
    for path in LEAVES:
        if not PROBE.fullmatch(path.stem):
            name = NAME.fullmatch(path.stem)
            assert name, f'{path.name} is not named as CONTRIBUTING.md says'
            method = f'{name["kind"]}-{name["size"]}'
            methods[path.stem.replace(method, '')].add(method)
    every = {'daga-vitb16', 'lora-vitb16', 'frozen-vitb16', 'full-vitb16', 'daga-vits16'}
    for recipe, found in methods.items():
        variant = recipe.startswith(('cascade', 'dino')) or recipe.endswith('cifar100')
        assert found == ({'daga-vitb16', 'full-vitb16'} if variant else every), recipe


def test_base_names_are_unique():
    names = collections.Counter(path.name for path in FILES)
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize(('path', 'size'), CASES)
def test_config_is_what_its_name_says(path, size, read):
    name = NAME.fullmatch(path.stem)
    config = read(path, size)
    backbone = config.model.backbone
    assert arch_of(config)['name'] == f'dinov3_{size}'
    assert f'dinov3_{size}_' in backbone.init_cfg.checkpoint
    assert backbone.adapter == {'frozen': None, 'full': None}.get(name['kind'], name['kind'])
    assert backbone.get('frozen', True) == (name['kind'] != 'full')
    assert config.train_dataloader.batch_size == int(name['batch'])
    assert config.auto_scale_lr.base_batch_size == int(name['gpus']) * int(name['batch'])
    if name['schedule'].endswith('k'):
        assert config.train_cfg.max_iters == 1000 * int(name['schedule'][:-1])
        assert config.param_scheduler[-1].end == config.train_cfg.max_iters
    if config.default_scope == 'mmpretrain':
        data = path.stem.rpartition('_')[2]
        assert_classification_recipe(config, name['kind'], data, epochs=int(name['schedule'].removesuffix('e')))
        assert config.model.head.num_classes == CLASSES[data]
        assert_data(config, config.train_dataloader, data)
    head = path.stem.split('_')[0]
    if head == 'dino':
        assert_dino_recipe(config, name['kind'], size)
    elif config.default_scope == 'mmdet' and head == 'mask2former':
        assert_mask2former_recipe(config, name['kind'], size, task=path.stem.rpartition('-')[2])
    elif config.default_scope == 'mmdet':
        assert_detection_recipe(config, name['kind'], size, path.stem.split('_')[2], name['schedule'])
    if path.parent.name == 'mmseg':
        assert_segmentation_recipe(config, name['kind'], size, head)
    imports = ['daga_mm.compat'] + ['mmdet.models'] * (head == 'mask2former' and path.parent.name == 'mmseg')
    assert config.custom_imports == dict(imports=imports, allow_failed_imports=False)
    assert 'daga_mm.ProvenanceHook' in [hook['type'] for hook in config.custom_hooks]


@pytest.mark.parametrize('path', LEAVES, ids=lambda path: path.stem)
def test_the_trunk_brings_its_normalisation(path, read):
    """Of RGB; DINOv3's README has it in 0..1."""
    for size, mean, std in [
        ('vitb16', (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ('vitl16_sat', (0.430, 0.411, 0.296), (0.213, 0.156, 0.143)),
    ]:
        config = read(path, size)
        assert ('sat493m' in config.model.backbone.init_cfg.checkpoint) == (size == 'vitl16_sat')
        preprocessor = config.model.data_preprocessor
        assert preprocessor.get('bgr_to_rgb') or preprocessor.get('to_rgb')
        assert (preprocessor.mean, preprocessor.std) == tuple(pytest.approx([255 * x for x in v]) for v in (mean, std))


def assert_classification_recipe(config: Config, kind: str, data: str, epochs: int) -> None:
    """That of the method's scripts; full fine-tuning has its own optimiser."""
    warm_up, cosine = config.param_scheduler
    assert (warm_up.type, warm_up.begin, warm_up.end) == ('LinearLR', 0, 1)
    assert (cosine.type, cosine.begin, cosine.end, cosine.eta_min) == ('CosineAnnealingLR', 1, epochs, 0)
    assert config.train_cfg.max_epochs == epochs == 30
    loss = config.model.head.loss
    assert (loss.type, loss.label_smooth_val, loss.mode) == ('LabelSmoothLoss', 0.1, 'original')
    optimizer = config.optim_wrapper.optimizer.to_dict()
    if kind == 'full':
        assert (optimizer['type'], optimizer['lr'], optimizer['weight_decay']) == ('AdamW', 5e-4, 0.05)
    else:
        lr = 0.3 if data == 'in1k' else 0.5
        assert optimizer == dict(type='SGD', lr=lr, momentum=0.9, nesterov=True, weight_decay=0.0)


# Epochs, parts of the run after which the rate falls, optimiser's decay, scale in a test, what sizes are padded to.
SCHEDULES = {
    '1x': (12, [8 / 12, 11 / 12], 0.05, (1333, 800), 32),
    'ms-3x': (36, [27 / 36, 33 / 36], 0.05, (1333, 800), 32),
    'lsj-100e': (100, [163889 / 184375, 177546 / 184375], 0.1, (1024, 1024), 1024),
}
# Layer decay and drop path of full fine-tuning.
FULL = {
    'vitadapter': dict(vits16=(0.7, 0.2), vitb16=(0.6, 0.3), vitl16=(0.65, 0.4)),
    'simplefpn': dict(vits16=(0.7, 0.1), vitb16=(0.7, 0.1), vitl16=(0.8, 0.4)),
}


def assert_detection_recipe(config: Config, kind: str, size: str, neck: str, schedule: str) -> None:
    """Schedule, sizes of images, optimiser and metric are those of the recipe that the name tells."""
    epochs, milestones, weight_decay, scale, divisor = SCHEDULES[schedule]
    assert (schedule == 'lsj-100e') == (neck == 'simplefpn')
    rounds, dataset = config.train_cfg.max_epochs, config.train_dataloader.dataset
    assert rounds * dataset.get('times', 1) == epochs
    rates = learning_rates(config, rounds, iterations=1000)
    falls = [i / len(rates) for i, (a, b) in enumerate(itertools.pairwise(rates), 1) if b < a]
    assert falls == pytest.approx(milestones, abs=1 / len(rates)) and rates[-1] == pytest.approx(0.01)

    steps = {step.type: step for step in dataset.get('dataset', dataset).pipeline}
    if schedule == '1x':
        assert steps['Resize'].scale == scale
    elif schedule == 'ms-3x':
        whole, cut = steps['RandomChoice'].transforms
        sides = [(1333, side) for side in range(480, 801, 32)]
        assert [whole[0].scales, cut[-1].scales] == [sides, sides] and cut[1].crop_size == (384, 600)
    else:
        assert steps['RandomResize'].scale == steps['RandomCrop'].crop_size == scale
        assert steps['RandomResize'].ratio_range == (0.1, 2.0)
    for loader in (config.val_dataloader, config.test_dataloader):
        assert [step.scale for step in loader.dataset.pipeline if step.type == 'Resize'] == [scale]
    assert config.model.data_preprocessor.pad_size_divisor == divisor and config.model.data_preprocessor.pad_mask
    for evaluator in (config.val_evaluator, config.test_evaluator):
        assert (evaluator.type, evaluator.metric) == ('CocoMetric', ['bbox', 'segm'])

    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', 1e-4, weight_decay)
    assert layer_decay_and_drop_path(config) == (FULL[neck][size] if kind == 'full' else (None, None))


def layer_decay_and_drop_path(config: Config) -> tuple[float | None, float | None]:
    decay = config.optim_wrapper.get('paramwise_cfg', {}).get('layer_decay_rate')
    return decay, arch_of(config).get('drop_path_rate')


MASK2FORMER = dict(vits16=(0.9, 0.2), vitb16=(0.9, 0.3), vitl16=(0.9, 0.4))  # of full fine-tuning on COCO
DINO = dict(vits16=(0.65, 0.2), vitb16=(0.65, 0.2), vitl16=(0.8, 0.3))


def assert_mask2former_recipe(config: Config, kind: str, size: str, task: str) -> None:
    """Mask2Former's optimiser, ViT-Adapter's schedule: 36 epochs of 118,000 images in batches of 16."""
    schedule, epoch = config.param_scheduler, 118_000 // 16
    assert (schedule.type, schedule.by_epoch, schedule.milestones) == ('MultiStepLR', False, [191750, 236000])
    assert [*schedule.milestones, config.train_cfg.max_iters] == [26 * epoch, 32 * epoch, 36 * epoch]
    assert schedule.end == config.train_cfg.max_iters == config.train_cfg.dynamic_intervals[0][1]
    assert config.train_dataloader.sampler == dict(type='daga_mm.InfiniteSampler')
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', 1e-4, 0.05)
    assert config.optim_wrapper.clip_grad.max_norm == 0.01
    assert layer_decay_and_drop_path(config) == (MASK2FORMER[size] if kind == 'full' else (None, None))
    steps = {step.type: step for step in config.train_dataloader.dataset.pipeline}
    assert steps['RandomChoice'].transforms[0][0].scales == [(1333, side) for side in range(480, 801, 32)]
    assert config.model.data_preprocessor.batch_augments is None
    assert config.model.panoptic_head.num_stuff_classes == (53 if task == 'panoptic' else 0)
    for evaluators in (config.val_evaluator, config.test_evaluator):
        found = evaluators if task == 'panoptic' else [evaluators]
        assert [one.type for one in found] == ['CocoPanopticMetric'] * (task == 'panoptic') + ['CocoMetric']
        assert found[-1].metric == ['bbox', 'segm']
    best = {'panoptic': 'coco_panoptic/PQ', 'instance': 'coco/segm_mAP'}[task]
    assert config.default_hooks.checkpoint.save_best == best
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        assert ('seg' in loader.dataset.data_prefix) == (task == 'panoptic')


def assert_dino_recipe(config: Config, kind: str, size: str) -> None:
    """DINO's, on strides 8 to 64, with ViT-Adapter's fine-tuning of a trunk."""
    rates = learning_rates(config, config.train_cfg.max_epochs, iterations=10)
    assert rates == [*[1.0] * 110, *[pytest.approx(0.1)] * 10]
    optimizer = config.optim_wrapper.optimizer
    found = (optimizer.type, optimizer.lr, optimizer.weight_decay)
    assert found == ('AdamW', 1e-4, 0.05 if kind == 'full' else 1e-4)
    assert config.optim_wrapper.clip_grad.max_norm == 0.1
    assert layer_decay_and_drop_path(config) == (DINO[size] if kind == 'full' else (None, None))
    assert config.model.as_two_stage and config.model.dn_cfg.group_cfg.num_dn_queries == 100
    neck, mapper = config.model.neck
    assert (neck.start_level, len(mapper.in_channels), mapper.num_outs) == (1, 3, 4)
    assert (config.test_evaluator.type, config.test_evaluator.metric) == ('CocoMetric', 'bbox')


def learning_rates(config: Config, epochs: int, iterations: int) -> list[float]:
    """The rate in each iteration of a run in epochs, in units of the config's."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=1.0)
    defaults = dict(optimizer=optimizer, epoch_length=iterations)
    schedulers = [PARAM_SCHEDULERS.build(step, default_args=defaults) for step in config.param_scheduler]
    rates = []
    for iteration in range(1, epochs * iterations + 1):
        rates.append(optimizer.param_groups[0]['lr'])
        for scheduler in schedulers:
            if not scheduler.by_epoch or iteration % iterations == 0:
                scheduler.step()
    return rates


# Rate and weight decay; those of full fine-tuning, and its layer decay and drop path.
SEGMENTATION = {'upernet': (6e-5, 0.01), 'fcn': (1e-3, 1e-3), 'mask2former': (1e-4, 0.05)}
LIKE_UPERNET = dict(vits16=(6e-5, 0.01, 0.95, 0.2), vitb16=(6e-5, 0.01, 0.95, 0.3), vitl16=(2e-5, 0.05, 0.95, 0.4))
FULL_SEGMENTATION = {
    'upernet': LIKE_UPERNET,
    'fcn': LIKE_UPERNET,
    'mask2former': dict(vits16=(3e-5, 0.05, 0.95, 0.2), vitb16=(3e-5, 0.05, 0.95, 0.2), vitl16=(2e-5, 0.05, 0.9, 0.3)),
}


def assert_segmentation_recipe(config: Config, kind: str, size: str, head: str) -> None:
    """DINOv3's linear probe, ViT-Adapter's UperNet and Mask2Former, and ViT-Adapter's full fine-tuning of all."""
    optimizer = config.optim_wrapper.optimizer
    found = (optimizer.lr, optimizer.weight_decay, *layer_decay_and_drop_path(config))
    assert found == (FULL_SEGMENTATION[head][size] if kind == 'full' else (*SEGMENTATION[head], None, None))
    assert optimizer.type == 'AdamW'
    side = 640 if head == 'mask2former' else 512
    assert config.model.data_preprocessor.size == config.model.test_cfg.crop_size == (side, side)
    assert config.model.test_cfg.mode == 'slide'
    for evaluator in (config.val_evaluator, config.test_evaluator):
        assert (evaluator.type, evaluator.iou_metrics) == ('IoUMetric', ['mIoU'])
    # Both recipes multiply a fall over the whole run with the warm-up.
    warm_up, fall = config.param_scheduler
    assert (warm_up.type, warm_up.begin, warm_up.end, warm_up.start_factor) == ('LinearLR', 0, 1500, 1e-6)
    shape = 'CosineAnnealingLR' if head == 'fcn' else 'PolyLR'
    assert (fall.type, fall.begin, fall.end, fall.eta_min) == (shape, 0, config.train_cfg.max_iters, 0)


FCN = REPOSITORY / 'configs/mmseg/fcn_daga-vitb16_linear_8xb2-40k_ade20k-512x512.py'


def test_the_linear_head_is_decayed_whole_and_drops_out_before_the_norm():
    config = shrink(Config.fromfile(FCN))
    init_default_scope('mmseg')
    model = MODELS.build(config.model)
    decays = {
        parameter: group['weight_decay']
        for group in build_optim_wrapper(model, config.optim_wrapper).optimizer.param_groups
        for parameter in group['params']
    }
    head = [*model.neck.parameters(), *model.decode_head.parameters()]
    assert len(head) == 4 and {decays[parameter] for parameter in head} == {1e-3}
    assert 0.0 in decays.values(), 'norms and biases of the adapter'
    assert model.neck.dropout.p == 0.1 and model.decode_head.dropout is None


def test_images_of_the_linear_head_are_prepared_as_dinov3s():
    """Smoothed when shrunk, hues turned by up to half a turn (dinov3/eval/segmentation/transforms.py)."""
    config = Config.fromfile(FCN)
    init_default_scope('mmseg')
    image = np.random.default_rng(0).integers(256, size=(1024, 1536, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(image).resize((768, 512), Image.Resampling.BILINEAR))
    for loader in (config.val_dataloader, config.test_dataloader):
        (resize,) = [step for step in loader.dataset.pipeline if step.type == 'Resize']
        assert np.array_equal(TRANSFORMS.build(resize)({'img': image})['img'], expected)
    steps = {step.type: TRANSFORMS.build(step) for step in config.train_dataloader.dataset.pipeline}
    labels = np.zeros((1024, 1536), np.uint8)
    one = steps['RandomResize'].resize
    one.scale = (2048, 512)
    shrunk = one({'img': image, 'gt_seg_map': labels, 'seg_fields': ['gt_seg_map']})
    assert np.array_equal(shrunk['img'], expected) and shrunk['gt_seg_map'].shape == (512, 768)
    red = np.full((1, 1, 3), (0, 0, 255), np.uint8)
    hues = [cv2.cvtColor(steps['PhotoMetricDistortion'].hue(red), cv2.COLOR_BGR2HSV)[0, 0, 0] for _ in range(1000)]
    assert all(np.histogram(hues, bins=6, range=(0, 180))[0] > 30)


def test_large_scale_jitter_is_square_and_knows_what_the_image_is():
    from mmdet.testing import demo_mm_inputs

    config = Config.fromfile(REPOSITORY / 'configs/mmdet/mask-rcnn_daga-vitb16_simplefpn_8xb8-lsj-100e_coco.py')
    init_default_scope('mmdet')
    preprocess = MODELS.build(config.model.data_preprocessor)
    batch = demo_mm_inputs(1, [[3, 683, 1024]], num_items=[2], num_classes=80, with_mask=True)
    batch['inputs'][0][:] = 255
    for training in (False, True):
        seen = preprocess(batch, training)
        (sample,) = seen['data_samples']
        assert seen['inputs'].shape == (1, 3, 1024, 1024)
        assert seen['inputs'][:, :, :683].all() and not seen['inputs'][:, :, 683:].any()  # the mean colour
        assert tuple(sample.img_shape) == (683, 1024)  # to which boxes are clipped
    assert (sample.gt_instances.masks.height, sample.gt_instances.masks.width) == (1024, 1024)


@pytest.mark.parametrize(('path', 'size'), CASES)
def test_config_builds_and_trains_the_right_part(path, size, read):
    torch.manual_seed(0)
    config = shrink(read(path, size))
    init_default_scope(config.default_scope)
    model = MODELS.build(config.model)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    kind = NAME.fullmatch(path.stem)['kind']
    assert any(name.startswith('backbone.trunk.') for name in trained) == (kind == 'full')
    assert any(name.startswith('backbone.adapters.') for name in trained) == (kind in ('daga', 'lora'))
    assert trained - {name for name in trained if name.startswith('backbone.')}, 'no head is trained'

    assert_optimiser_holds_what_is_trained(config, model)
    outputs = RUN[config.default_scope](model)
    assert outputs and all(output.isfinite().all() for output in outputs)
    if path.stem.startswith(('mask2former', 'dino')):  # whose outputs are losses, in which everything has a part
        sum(output.sum() for output in outputs).backward()
        assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def assert_optimiser_holds_what_is_trained(config: Config, model: torch.nn.Module) -> None:
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    held = [id(p) for group in wrapper.optimizer.param_groups for p in group['params']]
    assert sorted(held) == sorted(id(p) for p in model.parameters() if p.requires_grad)


CLASSES = {'in1k': 1000, 'cifar10': 10, 'cifar100': 100}


def assert_data(config: Config, train: dict, data: str) -> None:
    """Training and test images of a classification config are those of a data set."""
    root = config['imagenet_root' if data == 'in1k' else f'{data}_root']
    assert train.dataset.data_root == root
    for loader in (config.test_dataloader, config.get('val_dataloader') or config.test_dataloader):
        assert loader.dataset.data_root == (f'{root}/val' if data == 'in1k' else root)


@pytest.mark.parametrize(('path', 'size'), PROBES)
def test_probe_is_what_its_name_says_and_builds(path, size, read):
    name = PROBE.fullmatch(path.stem)
    config = read(path, size)
    assert arch_of(config) == dict(name=f'dinov3_{size}') and config.model.backbone.adapter == 'daga'
    assert f'dinov3_{size}_' in config.model.backbone.init_cfg.checkpoint
    train = config.get('train_dataloader') or config.test_cfg.train_dataloader
    assert_data(config, train, name['data'])
    if name['protocol'] == 'linear':
        num_classes = config.model.num_classes
        assert config.auto_scale_lr.base_batch_size == 256 * config.optim_wrapper.optimizer.lr
    else:
        loop, side = {
            'knn': ('daga_mm.KNNLoop', 256),
            'logreg': ('daga_mm.LogisticRegressionLoop', 224),
            'robustness': ('daga_mm.RobustnessLoop', 256),
        }[name['protocol']]
        assert config.test_cfg.type == loop and LOOPS.get(loop) and config.test_evaluator == []
        assert config.test_dataloader.dataset.pipeline[1].scale == side
        num_classes = config.model.head.num_classes if loop.endswith('RobustnessLoop') else config.test_cfg.num_classes
        if not loop.endswith('RobustnessLoop'):
            assert train.dataset.pipeline == config.test_dataloader.dataset.pipeline
    assert num_classes == CLASSES[name['data']]
    config = shrink(config)
    init_default_scope(config.default_scope)
    model = MODELS.build(config.model)
    if config.get('optim_wrapper'):
        assert_optimiser_holds_what_is_trained(config, model)
    outputs = RUN['mmpretrain'](model)
    assert outputs and all(output.isfinite().all() for output in outputs)


def classify(model) -> list[torch.Tensor]:
    """The loss of two images; without a head to train, their features or scores."""
    from mmpretrain.structures import DataSample

    images = torch.randint(256, (2, 3, 64, 96), dtype=torch.uint8)
    batch = {'inputs': images, 'data_samples': [DataSample().set_gt_label(label) for label in (0, 9)]}
    batch = model.data_preprocessor(batch, True)
    if getattr(model, 'head', None) is None:
        return list(model(batch['inputs'], mode='tensor'))
    return list(model(**batch, mode='loss').values())


def segment(model) -> list[torch.Tensor]:
    """Raw scores of one image; Mask2Former's losses, whose scores are those of its queries."""
    if type(model.decode_head).__name__ != 'Mask2FormerHead':
        with torch.no_grad():
            return [model.eval()(torch.randn(1, 3, 64, 96), mode='tensor')]
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.randint(5, (1, 8, 12)).repeat(1, 8, 8).long()))
    sample.set_metainfo(dict(img_shape=(64, 96)))
    model.data_preprocessor.size = (64, 96)
    batch = model.data_preprocessor(dict(inputs=[torch.randint(256, (3, 64, 96))], data_samples=[sample]), True)
    return list(model(**batch, mode='loss').values())


def detect(model) -> list[torch.Tensor]:
    """Every loss on one image with a few objects, for panoptic segmentation with stuff around them."""
    from mmdet.testing import demo_mm_inputs

    stuff = bool(getattr(getattr(model, 'panoptic_head', None), 'num_stuff_classes', 0))
    batch = demo_mm_inputs(1, [[3, 64, 96]], num_items=[3], num_classes=80, with_mask=True, with_semantic=stuff)
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    return [t for value in losses.values() for t in (value if isinstance(value, list) else [value])]


RUN = {'mmseg': segment, 'mmdet': detect, 'mmpretrain': classify}
