# CamVid with 11 classes, 360×480: all of a segmentation config but model, optimiser and schedule. 367 images to train,
# 101 to validate, 233 to test.
_base_ = ['./dinov3.py', './runtime.py', 'mmseg::_base_/default_runtime.py']
crop_size = (360, 480)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=crop_size[::-1], ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]

camvid = dict(type='daga_mm.CamVidDataset', data_root=_base_.camvid_root)
loading = dict(num_workers=4, persistent_workers=True)
in_order = dict(batch_size=1, sampler=dict(type='DefaultSampler', shuffle=False), **loading)
train_dataloader = dict(
    batch_size=8,
    sampler=dict(type='daga_mm.InfiniteSampler', shuffle=True),
    dataset=dict(
        data_prefix=dict(img_path='train', seg_map_path='trainannot'),
        pipeline=train_pipeline,
        **camvid,
    ),
    **loading,
)
val_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img_path='val', seg_map_path='valannot'), test_mode=True, pipeline=test_pipeline, **camvid
    ),
    **in_order,
)
test_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img_path='test', seg_map_path='testannot'), test_mode=True, pipeline=test_pipeline, **camvid
    ),
    **in_order,
)
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
