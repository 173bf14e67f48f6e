# What the image classification configs share: data sets, pipelines and loading, each written down once. A config takes
# a data set by name: dataset=dict(pipeline=_base_.test_pipeline, **_base_.cifar10.test).
_base_ = ['./dinov3.py', './runtime.py', 'mmpretrain::_base_/default_runtime.py']

# ImageNetFolders measures a part of the classes too, under their own numbers; mmpretrain's ImageNet wants all thousand.
in1k = dict(
    train=dict(type='ImageNet', data_root=_base_.imagenet_root, data_prefix='train'),
    test=dict(type='daga_mm.ImageNetFolders', data_root=_base_.imagenet_root + '/val'),
)
# As folders of images, which tools/dataset_converters/cifar.py writes: mmpretrain's own classes download, and unpickle.
cifar10 = dict(
    train=dict(type='CustomDataset', data_root=_base_.cifar10_root, data_prefix='train'),
    test=dict(type='CustomDataset', data_root=_base_.cifar10_root, data_prefix='test'),
)
cifar100 = dict(
    train=dict(type='CustomDataset', data_root=_base_.cifar100_root, data_prefix='train'),
    test=dict(type='CustomDataset', data_root=_base_.cifar100_root, data_prefix='test'),
)

# DINOv3's transforms (dinov3/data/transforms.py). Pillow smooths what it shrinks, as they do; OpenCV does not.
bicubic = dict(interpolation='bicubic', backend='pillow')
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=224, **bicubic),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short', **bicubic),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
model = dict(
    data_preprocessor=dict(type='mmpretrain.ClsDataPreprocessor', to_rgb=True, **_base_.trunk.normalization),
)
loading = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    collate_fn=dict(type='default_collate'),
)
# Not the best checkpoint but the last one counts: the images that would choose are those whose accuracy is reported.
default_hooks = dict(checkpoint=dict(type='daga_mm.CheckpointHook', max_keep_ckpts=2))
