ade20k_root = 'data/ade/ADEChallengeData2016'
auto_scale_lr = dict(base_batch_size=1024, enable=False)
bicubic = dict(backend='pillow', interpolation='bicubic')
camvid_root = 'data/camvid'
cifar10 = dict(
    test=dict(data_prefix='test', data_root='data/cifar10', type='CustomDataset'),
    train=dict(data_prefix='train', data_root='data/cifar10', type='CustomDataset'),
)
cifar100 = dict(
    test=dict(data_prefix='test', data_root='data/cifar100', type='CustomDataset'),
    train=dict(data_prefix='train', data_root='data/cifar100', type='CustomDataset'),
)
cifar100_root = 'data/cifar100'
cifar10_root = 'data/cifar10'
coco_root = 'data/coco'
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
    checkpoint=dict(_scope_='mmpretrain', interval=1, max_keep_ckpts=2, type='daga_mm.CheckpointHook'),
    logger=dict(_scope_='mmpretrain', interval=1, type='LoggerHook'),
    param_scheduler=dict(_scope_='mmpretrain', type='ParamSchedulerHook'),
    sampler_seed=dict(_scope_='mmpretrain', type='DistSamplerSeedHook'),
    timer=dict(_scope_='mmpretrain', type='IterTimerHook'),
    visualization=dict(_scope_='mmpretrain', enable=False, type='VisualizationHook'),
)
default_scope = 'mmpretrain'
dinov3_checkpoints = 'checkpoints'
env_cfg = dict(
    cudnn_benchmark=False, dist_cfg=dict(backend='nccl'), mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0)
)
experiment_name = 'classification'
imagenet_a_root = 'data/imagenet-a'
imagenet_c_root = 'data/imagenet-c'
imagenet_r_root = 'data/imagenet-r'
imagenet_root = 'data/imagenet'
in1k = dict(
    test=dict(data_root='data/imagenet/val', type='daga_mm.ImageNetFolders'),
    train=dict(data_prefix='train', data_root='data/imagenet', type='ImageNet'),
)
loading = dict(
    batch_size=128, collate_fn=dict(type='default_collate'), num_workers=8, persistent_workers=True, pin_memory=True
)
log_level = 'INFO'
model = dict(
    backbone=dict(
        adapter='last_blocks',
        arch=dict(depth=4, embed_dim=48, name='dinov3_vits16', num_heads=3),
        init_cfg=dict(checkpoint='tests/regression/0.1.0/trunk.safetensors', type='Pretrained'),
        out_indices=(-1,),
        out_type='cls_avg',
        type='daga_mm.DAGAViT',
    ),
    data_preprocessor=dict(
        batch_augments=None,
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
        to_rgb=True,
        type='mmpretrain.ClsDataPreprocessor',
    ),
    head=dict(
        in_channels=96,
        loss=dict(label_smooth_val=0.1, mode='original', type='LabelSmoothLoss'),
        num_classes=14,
        type='LinearClsHead',
    ),
    type='ImageClassifier',
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
    constructor='daga_mm.DAGAOptimWrapperConstructor',
    optimizer=dict(lr=0.01, momentum=0.9, nesterov=True, type='SGD', weight_decay=0.0),
    paramwise_cfg=dict(adapter_lr_mult=dict(daga=0.5)),
    type='OptimWrapper',
)
param_scheduler = []
pennfudan_root = 'data/pennfudan'
randomness = dict(deterministic=False, seed=0)
runner_type = 'daga_mm.Runner'
test_cfg = dict()
test_dataloader = dict(
    batch_size=128,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        data_prefix='val',
        data_root='data/cifar10',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(backend='pillow', interpolation='bicubic', scale=32, type='Resize'),
            dict(type='PackInputs'),
        ],
        type='CustomDataset',
    ),
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    sampler=dict(shuffle=False, type='DefaultSampler'),
)
test_evaluator = dict(topk=(1,), type='Accuracy')
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(backend='pillow', interpolation='bicubic', scale=224, type='Resize'),
    dict(type='PackInputs'),
]
train_cfg = dict(by_epoch=True, max_epochs=1)
train_dataloader = dict(
    batch_size=2,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        data_prefix='train',
        data_root='data/cifar10',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(crop_size=32, padding=4, type='RandomCrop'),
            dict(prob=0.5, type='RandomFlip'),
            dict(backend='pillow', interpolation='bicubic', scale=32, type='Resize'),
            dict(type='PackInputs'),
        ],
        type='CustomDataset',
    ),
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    sampler=dict(shuffle=True, type='daga_mm.DefaultSampler'),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(crop_size=32, padding=4, type='RandomCrop'),
    dict(prob=0.5, type='RandomFlip'),
    dict(backend='pillow', interpolation='bicubic', scale=224, type='Resize'),
    dict(type='PackInputs'),
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
val_cfg = dict()
val_dataloader = dict(
    batch_size=128,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        data_prefix='val',
        data_root='data/cifar10',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(backend='pillow', interpolation='bicubic', scale=32, type='Resize'),
            dict(type='PackInputs'),
        ],
        type='CustomDataset',
    ),
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    sampler=dict(shuffle=False, type='DefaultSampler'),
)
val_evaluator = dict(topk=(1,), type='Accuracy')
vis_backends = [
    dict(_scope_='mmpretrain', type='LocalVisBackend'),
]
visualizer = dict(
    _scope_='mmpretrain',
    name='classification',
    type='UniversalVisualizer',
    vis_backends=[
        dict(type='LocalVisBackend'),
    ],
)
