# UperNet on synthetic scenes (demo/scenes): the ADE20K recipe, with a small trunk, small heads and a short schedule.
_base_ = '../configs/mmseg/upernet_daga-vits16_vitadapter_8xb2-160k_ade20k-512x512.py'

# The classes that the scenes show, by ADE20K's own names ('bed ' has a blank there).
classes = (
    'wall', 'floor', 'ceiling', 'chair', 'bed ', 'wardrobe', 'cabinet', 'sofa', 'table', 'rug', 'box', 'windowpane',
    'television receiver', 'painting', 'lamp', 'plant', 'door', 'book', 'ball', 'vase', 'bottle', 'pillow', 'cushion',
    'clock', 'shelf',
)  # fmt: skip
crop_size = (128, 128)
iterations = 320

model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(
        arch=dict(_delete_=True, name='dinov3_vits16', patch_size=8, embed_dim=96, depth=8, num_heads=3),
        adapter=dict(
            _delete_=True,
            type='DAGA',
            instruction_dim=32,
            bottleneck_dim=24,  # a quarter, as the trunk's width is
        ),
        init_cfg=dict(checkpoint='{{ fileDirname }}/trunk/vit_scenes.safetensors'),
    ),
    neck=dict(embed_dims=96, patch_size=8, conv_inplane=16, num_heads=3, drop_path_rate=0.0),
    decode_head=dict(in_channels=[96, 96, 96, 96], channels=64, num_classes=len(classes)),
    auxiliary_head=dict(in_channels=96, channels=32, num_classes=len(classes)),
    test_cfg=dict(_delete_=True, mode='whole'),
)

pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='PackSegInputs'),
]
data = dict(metainfo=dict(classes=classes), data_root='{{ fileDirname }}/data/ade20k/ADEChallengeData2016')
loading = dict(num_workers=0, persistent_workers=False)  # the images are small: workers would cost more than they save
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=pipeline, **data), **loading)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, **data), **loading)
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=3e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=iterations // 20),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=iterations // 20, end=iterations),
]
train_cfg = dict(max_iters=iterations, val_interval=iterations)
default_hooks = dict(checkpoint=dict(interval=iterations, save_best=None))
auto_scale_lr = dict(base_batch_size=4)
