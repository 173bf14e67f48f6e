# NYU Depth v2 as DINOv3 reads it (dinov3/eval/depth), and the depth estimator: all of a depth config but head and
# schedule. Depth maps are 16-bit millimetres, 0 where there is no reading.
_base_ = ['./dinov3.py', './runtime.py', 'mmseg::_base_/default_runtime.py']
crop_size = (416, 544)
meta_keys = ('img_path', 'depth_map_path', 'ori_shape', 'img_shape', 'flip', 'flip_direction')

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='daga_mm.LoadDepthAnnotation', depth_rescale_factor=1e-3),
    dict(type='daga_mm.FixedCrop', box=(45, 472, 43, 608)),  # without the white frame of NYU's images
    dict(type='RandomRotate', prob=0.5, degree=2.5, seg_pad_val=0),  # 0 is no reading; upstream pads with 255 m
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='daga_mm.ColorAug', prob=0.5, brightness_range=(0.75, 1.25)),
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='daga_mm.LoadDepthAnnotation', depth_rescale_factor=1e-3),
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='daga_mm.InfiniteSampler', shuffle=True),
    dataset=dict(
        type='daga_mm.NYUDataset',
        data_root=_base_.nyu_root,
        data_prefix=dict(img_path='images/train', depth_map_path='annotations/train'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='daga_mm.NYUDataset',
        data_root=_base_.nyu_root,
        data_prefix=dict(img_path='images/test', depth_map_path='annotations/test'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='daga_mm.DepthMetric', min_depth_eval=1e-3, max_depth_eval=10.0, crop_type='nyu_crop')
test_evaluator = val_evaluator

model = dict(
    type='daga_mm.DepthEstimator',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        **_base_.trunk.normalization,
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=0,
        size=crop_size,
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole', flip=False),
)
auto_scale_lr = dict(enable=False, base_batch_size=16)  # 8 GPUs × 2 images
