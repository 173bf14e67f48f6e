ade20k_root = 'data/ade/ADEChallengeData2016'
auto_scale_lr = dict(base_batch_size=16, enable=False)
backend_args = None
camvid_root = 'data/camvid'
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
data_root = 'data/coco/'
dataset_type = 'CocoDataset'
default_hooks = dict(
    checkpoint=dict(
        _scope_='mmdet', interval=1, max_keep_ckpts=2, save_best='coco/segm_mAP', type='daga_mm.CheckpointHook'
    ),
    logger=dict(_scope_='mmdet', interval=1, type='LoggerHook'),
    param_scheduler=dict(_scope_='mmdet', type='ParamSchedulerHook'),
    sampler_seed=dict(_scope_='mmdet', type='DistSamplerSeedHook'),
    timer=dict(_scope_='mmdet', type='IterTimerHook'),
    visualization=dict(_scope_='mmdet', type='DetVisualizationHook'),
)
default_scope = 'mmdet'
dims = 768
dinov3_checkpoints = 'checkpoints'
env_cfg = dict(
    cudnn_benchmark=False, dist_cfg=dict(backend='nccl'), mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0)
)
experiment_name = 'detection'
imagenet_a_root = 'data/imagenet-a'
imagenet_c_root = 'data/imagenet-c'
imagenet_r_root = 'data/imagenet-r'
imagenet_root = 'data/imagenet'
log_level = 'INFO'
log_processor = dict(_scope_='mmdet', by_epoch=True, type='LogProcessor', window_size=50)
model = dict(
    _scope_='mmdet',
    backbone=dict(
        adapter='daga',
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
        pad_mask=True,
        pad_size_divisor=32,
        std=[
            58.395,
            57.12,
            57.375,
        ],
        type='DetDataPreprocessor',
    ),
    neck=[
        dict(conv_inplane=16, drop_path_rate=0.3, embed_dims=48, patch_size=16, type='daga_mm.ViTAdapterNeck'),
        dict(
            in_channels=[
                48,
                48,
                48,
                48,
            ],
            num_outs=5,
            out_channels=32,
            type='FPN',
        ),
    ],
    roi_head=dict(
        bbox_head=dict(
            bbox_coder=dict(
                target_means=[
                    0.0,
                    0.0,
                    0.0,
                    0.0,
                ],
                target_stds=[
                    0.1,
                    0.1,
                    0.2,
                    0.2,
                ],
                type='DeltaXYWHBBoxCoder',
            ),
            fc_out_channels=32,
            in_channels=32,
            loss_bbox=dict(loss_weight=1.0, type='L1Loss'),
            loss_cls=dict(loss_weight=1.0, type='CrossEntropyLoss', use_sigmoid=False),
            num_classes=80,
            reg_class_agnostic=False,
            roi_feat_size=7,
            type='Shared2FCBBoxHead',
        ),
        bbox_roi_extractor=dict(
            featmap_strides=[
                4,
                8,
                16,
                32,
            ],
            out_channels=32,
            roi_layer=dict(output_size=7, sampling_ratio=0, type='RoIAlign'),
            type='SingleRoIExtractor',
        ),
        mask_head=dict(
            conv_out_channels=32,
            in_channels=32,
            loss_mask=dict(loss_weight=1.0, type='CrossEntropyLoss', use_mask=True),
            num_classes=80,
            num_convs=4,
            type='FCNMaskHead',
        ),
        mask_roi_extractor=dict(
            featmap_strides=[
                4,
                8,
                16,
                32,
            ],
            out_channels=32,
            roi_layer=dict(output_size=14, sampling_ratio=0, type='RoIAlign'),
            type='SingleRoIExtractor',
        ),
        test_cfg=dict(mask_thr_binary=0.5, max_per_img=100, nms=dict(iou_threshold=0.5, type='nms'), score_thr=0.0),
        train_cfg=dict(
            assigner=dict(
                ignore_iof_thr=-1,
                match_low_quality=True,
                min_pos_iou=0.5,
                neg_iou_thr=0.5,
                pos_iou_thr=0.5,
                type='MaxIoUAssigner',
            ),
            debug=False,
            mask_size=28,
            pos_weight=-1,
            sampler=dict(add_gt_as_proposals=True, neg_pos_ub=-1, num=512, pos_fraction=0.25, type='RandomSampler'),
        ),
        type='StandardRoIHead',
    ),
    rpn_head=dict(
        anchor_generator=dict(
            ratios=[
                0.5,
                1.0,
                2.0,
            ],
            scales=[
                8,
            ],
            strides=[
                4,
                8,
                16,
                32,
                64,
            ],
            type='AnchorGenerator',
        ),
        bbox_coder=dict(
            target_means=[
                0.0,
                0.0,
                0.0,
                0.0,
            ],
            target_stds=[
                1.0,
                1.0,
                1.0,
                1.0,
            ],
            type='DeltaXYWHBBoxCoder',
        ),
        feat_channels=32,
        in_channels=32,
        loss_bbox=dict(loss_weight=1.0, type='L1Loss'),
        loss_cls=dict(loss_weight=1.0, type='CrossEntropyLoss', use_sigmoid=True),
        type='RPNHead',
    ),
    test_cfg=dict(
        rcnn=dict(mask_thr_binary=0.5, max_per_img=100, nms=dict(iou_threshold=0.5, type='nms'), score_thr=0.0),
        rpn=dict(max_per_img=1000, min_bbox_size=0, nms=dict(iou_threshold=0.7, type='nms'), nms_pre=1000),
    ),
    train_cfg=dict(
        rcnn=dict(
            assigner=dict(
                ignore_iof_thr=-1,
                match_low_quality=True,
                min_pos_iou=0.5,
                neg_iou_thr=0.5,
                pos_iou_thr=0.5,
                type='MaxIoUAssigner',
            ),
            debug=False,
            mask_size=28,
            pos_weight=-1,
            sampler=dict(add_gt_as_proposals=True, neg_pos_ub=-1, num=512, pos_fraction=0.25, type='RandomSampler'),
        ),
        rpn=dict(
            allowed_border=-1,
            assigner=dict(
                ignore_iof_thr=-1,
                match_low_quality=True,
                min_pos_iou=0.3,
                neg_iou_thr=0.3,
                pos_iou_thr=0.7,
                type='MaxIoUAssigner',
            ),
            debug=False,
            pos_weight=-1,
            sampler=dict(add_gt_as_proposals=False, neg_pos_ub=-1, num=256, pos_fraction=0.5, type='RandomSampler'),
        ),
        rpn_proposal=dict(max_per_img=1000, min_bbox_size=0, nms=dict(iou_threshold=0.7, type='nms'), nms_pre=2000),
    ),
    type='MaskRCNN',
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
    optimizer=dict(
        betas=(
            0.9,
            0.999,
        ),
        lr=0.0001,
        type='AdamW',
        weight_decay=0.05,
    ),
    type='OptimWrapper',
)
param_scheduler = []
pennfudan_root = 'data/pennfudan'
randomness = dict(seed=0)
runner_type = 'daga_mm.Runner'
test_cfg = dict(_scope_='mmdet', type='TestLoop')
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        _scope_='mmdet',
        ann_file='annotations/instances_val2017.json',
        backend_args=None,
        data_prefix=dict(img='val2017/'),
        data_root='data/coco',
        pipeline=[
            dict(backend_args=None, type='LoadImageFromFile'),
            dict(
                keep_ratio=True,
                scale=(
                    64,
                    64,
                ),
                type='Resize',
            ),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(
                meta_keys=(
                    'img_id',
                    'img_path',
                    'ori_shape',
                    'img_shape',
                    'scale_factor',
                ),
                type='PackDetInputs',
            ),
        ],
        test_mode=True,
        type='CocoDataset',
    ),
    drop_last=False,
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    sampler=dict(_scope_='mmdet', shuffle=False, type='DefaultSampler'),
)
test_evaluator = dict(
    _scope_='mmdet',
    ann_file='data/coco/annotations/instances_val2017.json',
    backend_args=None,
    format_only=False,
    metric=[
        'bbox',
        'segm',
    ],
    type='CocoMetric',
)
test_pipeline = [
    dict(_scope_='mmdet', backend_args=None, type='LoadImageFromFile'),
    dict(
        _scope_='mmdet',
        keep_ratio=True,
        scale=(
            1333,
            800,
        ),
        type='Resize',
    ),
    dict(_scope_='mmdet', type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        _scope_='mmdet',
        meta_keys=(
            'img_id',
            'img_path',
            'ori_shape',
            'img_shape',
            'scale_factor',
        ),
        type='PackDetInputs',
    ),
]
train_cfg = dict(_scope_='mmdet', max_epochs=1, type='EpochBasedTrainLoop', val_interval=1)
train_dataloader = dict(
    batch_sampler=dict(_scope_='mmdet', type='AspectRatioBatchSampler'),
    batch_size=2,
    dataset=dict(
        _scope_='mmdet',
        ann_file='annotations/instances_train2017.json',
        backend_args=None,
        data_prefix=dict(img='train2017/'),
        data_root='data/coco',
        filter_cfg=dict(filter_empty_gt=True, min_size=1),
        pipeline=[
            dict(backend_args=None, type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(
                keep_ratio=True,
                scale=(
                    64,
                    64,
                ),
                type='Resize',
            ),
            dict(prob=0.5, type='RandomFlip'),
            dict(type='PackDetInputs'),
        ],
        type='CocoDataset',
    ),
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    sampler=dict(_scope_='mmdet', shuffle=True, type='daga_mm.DefaultSampler'),
)
train_pipeline = [
    dict(_scope_='mmdet', backend_args=None, type='LoadImageFromFile'),
    dict(_scope_='mmdet', type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        _scope_='mmdet',
        keep_ratio=True,
        scale=(
            1333,
            800,
        ),
        type='Resize',
    ),
    dict(_scope_='mmdet', prob=0.5, type='RandomFlip'),
    dict(_scope_='mmdet', type='PackDetInputs'),
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
val_annotations = 'data/coco/annotations/instances_val2017.json'
val_cfg = dict(_scope_='mmdet', type='ValLoop')
val_dataloader = dict(
    batch_size=1,
    dataset=dict(
        _scope_='mmdet',
        ann_file='annotations/instances_val2017.json',
        backend_args=None,
        data_prefix=dict(img='val2017/'),
        data_root='data/coco',
        pipeline=[
            dict(backend_args=None, type='LoadImageFromFile'),
            dict(
                keep_ratio=True,
                scale=(
                    64,
                    64,
                ),
                type='Resize',
            ),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(
                meta_keys=(
                    'img_id',
                    'img_path',
                    'ori_shape',
                    'img_shape',
                    'scale_factor',
                ),
                type='PackDetInputs',
            ),
        ],
        test_mode=True,
        type='CocoDataset',
    ),
    drop_last=False,
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    sampler=dict(_scope_='mmdet', shuffle=False, type='DefaultSampler'),
)
val_evaluator = dict(
    _scope_='mmdet',
    ann_file='data/coco/annotations/instances_val2017.json',
    backend_args=None,
    format_only=False,
    metric=[
        'bbox',
        'segm',
    ],
    type='CocoMetric',
)
vis_backends = [
    dict(_scope_='mmdet', type='LocalVisBackend'),
]
visualizer = dict(
    _scope_='mmdet',
    name='detection',
    type='DetLocalVisualizer',
    vis_backends=[
        dict(type='LocalVisBackend'),
    ],
)
