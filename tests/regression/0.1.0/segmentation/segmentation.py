ade20k_root = 'data/ade/ADEChallengeData2016'
auto_scale_lr = dict(base_batch_size=16, enable=False)
camvid_root = 'data/camvid'
cifar100_root = 'data/cifar100'
cifar10_root = 'data/cifar10'
coco_root = 'data/coco'
crop_size = (
    512,
    512,
)
custom_hooks = [
    dict(type='daga_mm.ProvenanceHook'),
    dict(patience=5, type='daga_mm.FiniteLossHook'),
    dict(type='daga_mm.ExactResumeHook'),
]
custom_imports = dict(
    allow_failed_imports=False,
    imports=[
        'daga_mm.compat',
    ],
)
data_preprocessor = dict(
    _scope_='mmseg',
    bgr_to_rgb=True,
    mean=[
        123.675,
        116.28,
        103.53,
    ],
    pad_val=0,
    seg_pad_val=255,
    std=[
        58.395,
        57.12,
        57.375,
    ],
    type='SegDataPreProcessor',
)
data_root = 'data/ade/ADEChallengeData2016'
dataset_type = 'ADE20KDataset'
default_hooks = dict(
    checkpoint=dict(
        _scope_='mmseg', by_epoch=False, interval=2, max_keep_ckpts=2, save_best='mIoU', type='daga_mm.CheckpointHook'
    ),
    logger=dict(_scope_='mmseg', interval=1, log_metric_by_epoch=False, type='LoggerHook'),
    param_scheduler=dict(_scope_='mmseg', type='ParamSchedulerHook'),
    sampler_seed=dict(_scope_='mmseg', type='DistSamplerSeedHook'),
    timer=dict(_scope_='mmseg', type='IterTimerHook'),
    visualization=dict(_scope_='mmseg', type='SegVisualizationHook'),
)
default_scope = 'mmseg'
dinov3_checkpoints = 'checkpoints'
env_cfg = dict(
    cudnn_benchmark=True, dist_cfg=dict(backend='nccl'), mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0)
)
experiment_name = 'segmentation'
imagenet_a_root = 'data/imagenet-a'
imagenet_c_root = 'data/imagenet-c'
imagenet_r_root = 'data/imagenet-r'
imagenet_root = 'data/imagenet'
img_ratios = [
    0.5,
    0.75,
    1.0,
    1.25,
    1.5,
    1.75,
]
log_level = 'INFO'
log_processor = dict(by_epoch=False)
model = dict(
    _scope_='mmseg',
    auxiliary_head=dict(
        align_corners=False,
        channels=32,
        concat_input=False,
        dropout_ratio=0.1,
        in_channels=48,
        in_index=2,
        loss_decode=dict(loss_weight=0.4, type='CrossEntropyLoss', use_sigmoid=False),
        norm_cfg=dict(requires_grad=True, type='SyncBN'),
        num_classes=150,
        num_convs=1,
        type='FCNHead',
    ),
    backbone=dict(
        adapter='lora',
        arch=dict(depth=4, embed_dim=48, name='dinov3_vits16', num_heads=3),
        init_cfg=dict(checkpoint='tests/regression/0.1.0/trunk.safetensors', type='Pretrained'),
        type='daga_mm.DAGAViT',
        with_image=True,
    ),
    data_preprocessor=dict(
        bgr_to_rgb=True,
        mean=[
            123.675,
            116.28,
            103.53,
        ],
        pad_val=0,
        seg_pad_val=255,
        size=(
            64,
            64,
        ),
        std=[
            58.395,
            57.12,
            57.375,
        ],
        type='SegDataPreProcessor',
    ),
    decode_head=dict(
        align_corners=False,
        channels=32,
        dropout_ratio=0.1,
        in_channels=[
            48,
            48,
            48,
            48,
        ],
        in_index=[
            0,
            1,
            2,
            3,
        ],
        loss_decode=dict(loss_weight=1.0, type='CrossEntropyLoss', use_sigmoid=False),
        norm_cfg=dict(requires_grad=True, type='SyncBN'),
        num_classes=150,
        pool_scales=(
            1,
            2,
            3,
            6,
        ),
        type='UPerHead',
    ),
    neck=dict(conv_inplane=16, drop_path_rate=0.3, embed_dims=48, patch_size=16, type='daga_mm.ViTAdapterNeck'),
    pretrained=None,
    test_cfg=dict(
        crop_size=(
            64,
            64,
        ),
        mode='slide',
        stride=(
            43,
            43,
        ),
    ),
    train_cfg=dict(),
    type='EncoderDecoder',
)
norm_cfg = dict(_scope_='mmseg', requires_grad=True, type='SyncBN')
normalizations = dict(
    imagenet=dict(
        mean=[
            123.675,
            116.28,
            103.53,
        ],
        std=[
            58.395,
            57.12,
            57.375,
        ],
    ),
    sat493m=dict(
        mean=[
            109.65,
            104.805,
            75.48,
        ],
        std=[
            54.315,
            39.78,
            36.465,
        ],
    ),
)
nyu_root = 'data/nyu'
optim_wrapper = dict(
    constructor='daga_mm.DAGAOptimWrapperConstructor',
    optimizer=dict(
        betas=(
            0.9,
            0.999,
        ),
        lr=0.01,
        type='AdamW',
        weight_decay=0.01,
    ),
    type='OptimWrapper',
)
optimizer = dict(_scope_='mmseg', lr=0.01, momentum=0.9, type='SGD', weight_decay=0.0005)
param_scheduler = []
pennfudan_root = 'data/pennfudan'
randomness = dict(seed=0)
runner_type = 'daga_mm.Runner'
test_cfg = dict(_scope_='mmseg', type='TestLoop')
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        _scope_='mmseg',
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        data_root='data/ade/ADEChallengeData2016',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(
                keep_ratio=True,
                scale=(
                    64,
                    64,
                ),
                type='Resize',
            ),
            dict(reduce_zero_label=True, type='LoadAnnotations'),
            dict(type='PackSegInputs'),
        ],
        type='ADE20KDataset',
    ),
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    sampler=dict(_scope_='mmseg', shuffle=False, type='DefaultSampler'),
)
test_evaluator = dict(
    _scope_='mmseg',
    iou_metrics=[
        'mIoU',
    ],
    type='IoUMetric',
)
test_pipeline = [
    dict(_scope_='mmseg', type='LoadImageFromFile'),
    dict(
        _scope_='mmseg',
        keep_ratio=True,
        scale=(
            2048,
            512,
        ),
        type='Resize',
    ),
    dict(_scope_='mmseg', reduce_zero_label=True, type='LoadAnnotations'),
    dict(_scope_='mmseg', type='PackSegInputs'),
]
train_cfg = dict(_scope_='mmseg', max_iters=2, type='IterBasedTrainLoop', val_interval=2)
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        _scope_='mmseg',
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        data_root='data/ade/ADEChallengeData2016',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(reduce_zero_label=True, type='LoadAnnotations'),
            dict(
                keep_ratio=True,
                ratio_range=(
                    0.5,
                    2.0,
                ),
                scale=(
                    128,
                    64,
                ),
                type='RandomResize',
            ),
            dict(
                cat_max_ratio=0.75,
                crop_size=(
                    64,
                    64,
                ),
                type='RandomCrop',
            ),
            dict(prob=0.5, type='RandomFlip'),
            dict(type='PhotoMetricDistortion'),
            dict(type='PackSegInputs'),
        ],
        type='ADE20KDataset',
    ),
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    sampler=dict(_scope_='mmseg', shuffle=True, type='daga_mm.InfiniteSampler'),
)
train_pipeline = [
    dict(_scope_='mmseg', type='LoadImageFromFile'),
    dict(_scope_='mmseg', reduce_zero_label=True, type='LoadAnnotations'),
    dict(
        _scope_='mmseg',
        keep_ratio=True,
        ratio_range=(
            0.5,
            2.0,
        ),
        scale=(
            2048,
            512,
        ),
        type='RandomResize',
    ),
    dict(
        _scope_='mmseg',
        cat_max_ratio=0.75,
        crop_size=(
            512,
            512,
        ),
        type='RandomCrop',
    ),
    dict(_scope_='mmseg', prob=0.5, type='RandomFlip'),
    dict(_scope_='mmseg', type='PhotoMetricDistortion'),
    dict(_scope_='mmseg', type='PackSegInputs'),
]
trunk = dict(
    backbone=dict(
        arch='dinov3_vits16',
        init_cfg=dict(checkpoint='checkpoints/dinov3_vits16_pretrain_lvd1689m-08c60483.pth', type='Pretrained'),
    ),
    embed_dims=384,
    normalization=dict(
        mean=[
            123.675,
            116.28,
            103.53,
        ],
        std=[
            58.395,
            57.12,
            57.375,
        ],
    ),
    patch_size=16,
)
trunks = dict(
    vit7b16=dict(
        backbone=dict(
            arch='dinov3_vit7b16',
            init_cfg=dict(checkpoint='checkpoints/dinov3_vit7b16_pretrain_lvd1689m-a955f4ea.pth', type='Pretrained'),
        ),
        embed_dims=4096,
        normalization=dict(
            mean=[
                123.675,
                116.28,
                103.53,
            ],
            std=[
                58.395,
                57.12,
                57.375,
            ],
        ),
        patch_size=16,
    ),
    vit7b16_sat=dict(
        backbone=dict(
            arch='dinov3_vit7b16',
            init_cfg=dict(checkpoint='checkpoints/dinov3_vit7b16_pretrain_sat493m-a6675841.pth', type='Pretrained'),
        ),
        embed_dims=4096,
        normalization=dict(
            mean=[
                109.65,
                104.805,
                75.48,
            ],
            std=[
                54.315,
                39.78,
                36.465,
            ],
        ),
        patch_size=16,
    ),
    vitb16=dict(
        backbone=dict(
            arch='dinov3_vitb16',
            init_cfg=dict(checkpoint='checkpoints/dinov3_vitb16_pretrain_lvd1689m-73cec8be.pth', type='Pretrained'),
        ),
        embed_dims=768,
        normalization=dict(
            mean=[
                123.675,
                116.28,
                103.53,
            ],
            std=[
                58.395,
                57.12,
                57.375,
            ],
        ),
        patch_size=16,
    ),
    vith16plus=dict(
        backbone=dict(
            arch='dinov3_vith16plus',
            init_cfg=dict(checkpoint='checkpoints/dinov3_vith16plus_pretrain_lvd1689m-7c1da9a5.pth', type='Pretrained'),
        ),
        embed_dims=1280,
        normalization=dict(
            mean=[
                123.675,
                116.28,
                103.53,
            ],
            std=[
                58.395,
                57.12,
                57.375,
            ],
        ),
        patch_size=16,
    ),
    vitl16=dict(
        backbone=dict(
            arch='dinov3_vitl16',
            init_cfg=dict(checkpoint='checkpoints/dinov3_vitl16_pretrain_lvd1689m-8aa4cbdd.pth', type='Pretrained'),
        ),
        embed_dims=1024,
        normalization=dict(
            mean=[
                123.675,
                116.28,
                103.53,
            ],
            std=[
                58.395,
                57.12,
                57.375,
            ],
        ),
        patch_size=16,
    ),
    vitl16_sat=dict(
        backbone=dict(
            arch='dinov3_vitl16',
            init_cfg=dict(checkpoint='checkpoints/dinov3_vitl16_pretrain_sat493m-eadcf0ff.pth', type='Pretrained'),
        ),
        embed_dims=1024,
        normalization=dict(
            mean=[
                109.65,
                104.805,
                75.48,
            ],
            std=[
                54.315,
                39.78,
                36.465,
            ],
        ),
        patch_size=16,
    ),
    vits14=dict(
        backbone=dict(
            arch='vit_small_patch14_dinov2',
            init_cfg=dict(checkpoint='checkpoints/dinov2_vits14_pretrain.pth', type='Pretrained'),
        ),
        embed_dims=384,
        normalization=dict(
            mean=[
                123.675,
                116.28,
                103.53,
            ],
            std=[
                58.395,
                57.12,
                57.375,
            ],
        ),
        patch_size=14,
    ),
    vits14_focus=dict(
        backbone=dict(
            arch='vit_small_patch14_dinov2',
            init_cfg=dict(checkpoint='checkpoints/vit_s14_focus.safetensors', type='Pretrained'),
        ),
        embed_dims=384,
        normalization=dict(
            mean=[
                123.675,
                116.28,
                103.53,
            ],
            std=[
                58.395,
                57.12,
                57.375,
            ],
        ),
        patch_size=14,
    ),
    vits16=dict(
        backbone=dict(
            arch='dinov3_vits16',
            init_cfg=dict(checkpoint='checkpoints/dinov3_vits16_pretrain_lvd1689m-08c60483.pth', type='Pretrained'),
        ),
        embed_dims=384,
        normalization=dict(
            mean=[
                123.675,
                116.28,
                103.53,
            ],
            std=[
                58.395,
                57.12,
                57.375,
            ],
        ),
        patch_size=16,
    ),
    vits16plus=dict(
        backbone=dict(
            arch='dinov3_vits16plus',
            init_cfg=dict(checkpoint='checkpoints/dinov3_vits16plus_pretrain_lvd1689m-4057cbaa.pth', type='Pretrained'),
        ),
        embed_dims=384,
        normalization=dict(
            mean=[
                123.675,
                116.28,
                103.53,
            ],
            std=[
                58.395,
                57.12,
                57.375,
            ],
        ),
        patch_size=16,
    ),
)
tta_model = dict(_scope_='mmseg', type='SegTTAModel')
tta_pipeline = [
    dict(_scope_='mmseg', backend_args=None, type='LoadImageFromFile'),
    dict(
        _scope_='mmseg',
        transforms=[
            [
                dict(keep_ratio=True, scale_factor=0.5, type='Resize'),
                dict(keep_ratio=True, scale_factor=0.75, type='Resize'),
                dict(keep_ratio=True, scale_factor=1.0, type='Resize'),
                dict(keep_ratio=True, scale_factor=1.25, type='Resize'),
                dict(keep_ratio=True, scale_factor=1.5, type='Resize'),
                dict(keep_ratio=True, scale_factor=1.75, type='Resize'),
            ],
            [
                dict(direction='horizontal', prob=0.0, type='RandomFlip'),
                dict(direction='horizontal', prob=1.0, type='RandomFlip'),
            ],
            [
                dict(type='LoadAnnotations'),
            ],
            [
                dict(type='PackSegInputs'),
            ],
        ],
        type='TestTimeAug',
    ),
]
val_cfg = dict(_scope_='mmseg', type='ValLoop')
val_dataloader = dict(
    batch_size=1,
    dataset=dict(
        _scope_='mmseg',
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        data_root='data/ade/ADEChallengeData2016',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(
                keep_ratio=True,
                scale=(
                    64,
                    64,
                ),
                type='Resize',
            ),
            dict(reduce_zero_label=True, type='LoadAnnotations'),
            dict(type='PackSegInputs'),
        ],
        type='ADE20KDataset',
    ),
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    sampler=dict(_scope_='mmseg', shuffle=False, type='DefaultSampler'),
)
val_evaluator = dict(
    _scope_='mmseg',
    iou_metrics=[
        'mIoU',
    ],
    type='IoUMetric',
)
vis_backends = [
    dict(_scope_='mmseg', type='LocalVisBackend'),
]
visualizer = dict(
    _scope_='mmseg',
    name='segmentation',
    type='SegLocalVisualizer',
    vis_backends=[
        dict(type='LocalVisBackend'),
    ],
)
