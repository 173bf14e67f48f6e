ade20k_root = 'data/ade/ADEChallengeData2016'
auto_scale_lr = dict(base_batch_size=16, enable=False)
camvid_root = 'data/camvid'
cifar100_root = 'data/cifar100'
cifar10_root = 'data/cifar10'
coco_root = 'data/coco'
crop_size = (
    416,
    544,
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
default_hooks = dict(
    checkpoint=dict(
        by_epoch=False, interval=2, max_keep_ckpts=2, rule='less', save_best='rmse', type='daga_mm.CheckpointHook'
    ),
    logger=dict(interval=1, log_metric_by_epoch=False, type='LoggerHook'),
    param_scheduler=dict(type='ParamSchedulerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    timer=dict(type='IterTimerHook'),
    visualization=dict(type='SegVisualizationHook'),
)
default_scope = 'mmseg'
dinov3_checkpoints = 'checkpoints'
env_cfg = dict(
    cudnn_benchmark=True, dist_cfg=dict(backend='nccl'), mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0)
)
experiment_name = 'depth'
imagenet_a_root = 'data/imagenet-a'
imagenet_c_root = 'data/imagenet-c'
imagenet_r_root = 'data/imagenet-r'
imagenet_root = 'data/imagenet'
log_level = 'INFO'
log_processor = dict(by_epoch=False)
meta_keys = (
    'img_path',
    'depth_map_path',
    'ori_shape',
    'img_shape',
    'flip',
    'flip_direction',
)
model = dict(
    backbone=dict(
        adapter=[
            'daga',
            'adaptformer',
        ],
        arch=dict(depth=4, embed_dim=48, name='dinov3_vits16', num_heads=3),
        init_cfg=dict(checkpoint='tests/regression/0.1.0/trunk.safetensors', type='Pretrained'),
        out_indices=(-1,),
        type='daga_mm.DAGAViT',
    ),
    data_preprocessor=dict(
        bgr_to_rgb=True,
        mean=[
            123.675,
            116.28,
            103.53,
        ],
        pad_val=0,
        seg_pad_val=0,
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
        in_channels=[
            48,
        ],
        loss_decode=dict(type='daga_mm.SigLogLoss', warm_up_iters=1),
        max_depth=10.0,
        min_depth=0.001,
        num_bins=32,
        patch_size=16,
        type='daga_mm.LinearDepthHead',
    ),
    test_cfg=dict(flip=False, mode='whole'),
    train_cfg=dict(),
    type='daga_mm.DepthEstimator',
)
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
    clip_grad=dict(max_norm=35),
    constructor='daga_mm.DAGAOptimWrapperConstructor',
    optimizer=dict(
        betas=(
            0.9,
            0.99,
        ),
        lr=0.01,
        type='AdamW',
        weight_decay=0.0001,
    ),
    paramwise_cfg=dict(custom_keys=dict(decode_head=dict(decay_mult=1.0))),
    type='OptimWrapper',
)
param_scheduler = []
pennfudan_root = 'data/pennfudan'
randomness = dict(seed=0)
runner_type = 'daga_mm.Runner'
test_cfg = dict(type='TestLoop')
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        data_prefix=dict(depth_map_path='annotations/test', img_path='images/test'),
        data_root='data/nyu',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(depth_rescale_factor=0.001, type='daga_mm.LoadDepthAnnotation'),
            dict(
                meta_keys=(
                    'img_path',
                    'depth_map_path',
                    'ori_shape',
                    'img_shape',
                    'flip',
                    'flip_direction',
                ),
                type='PackSegInputs',
            ),
        ],
        test_mode=True,
        type='daga_mm.NYUDataset',
    ),
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    sampler=dict(shuffle=False, type='DefaultSampler'),
)
test_evaluator = dict(crop_type=None, max_depth_eval=10.0, min_depth_eval=0.001, type='daga_mm.DepthMetric')
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(depth_rescale_factor=0.001, type='daga_mm.LoadDepthAnnotation'),
    dict(
        meta_keys=(
            'img_path',
            'depth_map_path',
            'ori_shape',
            'img_shape',
            'flip',
            'flip_direction',
        ),
        type='PackSegInputs',
    ),
]
train_cfg = dict(max_iters=2, type='IterBasedTrainLoop', val_interval=2)
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        data_prefix=dict(depth_map_path='annotations/train', img_path='images/train'),
        data_root='data/nyu',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(depth_rescale_factor=0.001, type='daga_mm.LoadDepthAnnotation'),
            dict(
                box=(
                    0,
                    64,
                    0,
                    64,
                ),
                type='daga_mm.FixedCrop',
            ),
            dict(degree=2.5, prob=0.5, seg_pad_val=0, type='RandomRotate'),
            dict(prob=0.5, type='RandomFlip'),
            dict(
                crop_size=(
                    64,
                    64,
                ),
                type='RandomCrop',
            ),
            dict(
                brightness_range=(
                    0.75,
                    1.25,
                ),
                prob=0.5,
                type='daga_mm.ColorAug',
            ),
            dict(
                meta_keys=(
                    'img_path',
                    'depth_map_path',
                    'ori_shape',
                    'img_shape',
                    'flip',
                    'flip_direction',
                ),
                type='PackSegInputs',
            ),
        ],
        type='daga_mm.NYUDataset',
    ),
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    sampler=dict(shuffle=True, type='daga_mm.InfiniteSampler'),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(depth_rescale_factor=0.001, type='daga_mm.LoadDepthAnnotation'),
    dict(
        box=(
            45,
            472,
            43,
            608,
        ),
        type='daga_mm.FixedCrop',
    ),
    dict(degree=2.5, prob=0.5, seg_pad_val=0, type='RandomRotate'),
    dict(prob=0.5, type='RandomFlip'),
    dict(
        crop_size=(
            416,
            544,
        ),
        type='RandomCrop',
    ),
    dict(
        brightness_range=(
            0.75,
            1.25,
        ),
        prob=0.5,
        type='daga_mm.ColorAug',
    ),
    dict(
        meta_keys=(
            'img_path',
            'depth_map_path',
            'ori_shape',
            'img_shape',
            'flip',
            'flip_direction',
        ),
        type='PackSegInputs',
    ),
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
val_cfg = dict(type='ValLoop')
val_dataloader = dict(
    batch_size=1,
    dataset=dict(
        data_prefix=dict(depth_map_path='annotations/test', img_path='images/test'),
        data_root='data/nyu',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(depth_rescale_factor=0.001, type='daga_mm.LoadDepthAnnotation'),
            dict(
                meta_keys=(
                    'img_path',
                    'depth_map_path',
                    'ori_shape',
                    'img_shape',
                    'flip',
                    'flip_direction',
                ),
                type='PackSegInputs',
            ),
        ],
        test_mode=True,
        type='daga_mm.NYUDataset',
    ),
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    sampler=dict(shuffle=False, type='DefaultSampler'),
)
val_evaluator = dict(crop_type=None, max_depth_eval=10.0, min_depth_eval=0.001, type='daga_mm.DepthMetric')
vis_backends = [
    dict(_scope_='mmseg', type='LocalVisBackend'),
]
visualizer = dict(
    _scope_='mmseg',
    name='depth',
    type='SegLocalVisualizer',
    vis_backends=[
        dict(type='LocalVisBackend'),
    ],
)
