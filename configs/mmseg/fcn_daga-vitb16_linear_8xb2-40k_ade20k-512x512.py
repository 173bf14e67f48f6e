# Linear head on a frozen DINOv3 ViT with DAGA; DINOv3's recipe (dinov3/eval/segmentation): last block, dropout, batch
# norm, 1×1 convolution. Three things differ. mmseg changes the saturation in HSV; DINOv3 mixes the image with its grey
# version. During the warm-up the rate follows the cosine; DINOv3's falls linearly and is up to 3.5 % lower. The long
# side of an image is limited, which matters beyond 4:1; DINOv3 resizes by the short side alone.
_base_ = [
    '../_base_/dinov3.py',
    '../_base_/runtime.py',
    'mmseg::_base_/models/fcn_r50-d8.py',
    'mmseg::_base_/datasets/ade20k.py',
    'mmseg::_base_/default_runtime.py',
    'mmseg::_base_/schedules/schedule_40k.py',
]
crop_size = (512, 512)
model = dict(
    pretrained=None,
    data_preprocessor=dict(size=crop_size, **_base_.trunk.normalization),
    backbone=dict(_delete_=True, type='daga_mm.DAGAViT', adapter='daga', out_indices=(-1,), **_base_.trunk.backbone),
    neck=dict(type='daga_mm.MapNorm', embed_dims=_base_.trunk.embed_dims, dropout_ratio=0.1),
    decode_head=dict(
        in_channels=_base_.trunk.embed_dims,
        channels=_base_.trunk.embed_dims,
        in_index=0,
        num_convs=0,
        concat_input=False,
        norm_cfg=None,
        dropout_ratio=0.0,  # the neck's
        num_classes=150,
    ),
    auxiliary_head=None,
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(341, 341)),
)

# Pillow smooths what it shrinks, as in DINOv3; OpenCV does not.
resize = dict(scale=(2048, 512), keep_ratio=True, backend='pillow')
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='RandomResize', ratio_range=(0.5, 2.0), **resize),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion', hue_delta=90),  # of OpenCV's 180: half a turn either way
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', **resize),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=2,
    sampler=dict(type='daga_mm.InfiniteSampler'),
    dataset=dict(data_root=_base_.ade20k_root, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(data_root=_base_.ade20k_root, pipeline=test_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-3),
    constructor='daga_mm.DAGAOptimWrapperConstructor',
    # DINOv3 decays the norm and the bias of its head too.
    paramwise_cfg=dict(custom_keys={'neck.norms': dict(decay_mult=1.0), 'decode_head': dict(decay_mult=1.0)}),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=0, end=40000),
]
default_hooks = dict(checkpoint=dict(type='daga_mm.CheckpointHook', save_best='mIoU', max_keep_ckpts=2))
auto_scale_lr = dict(enable=False, base_batch_size=16)  # 8 GPUs × 2 images
