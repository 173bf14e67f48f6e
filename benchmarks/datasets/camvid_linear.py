# CamVid: batch norm and a 1×1 convolution on four maps. Every second training image, every fourth test image.
_base_ = [
    '../base.py',
    '../../configs/_base_/dinov3.py',
    '../../configs/_base_/runtime.py',
    'mmseg::_base_/default_runtime.py',
]
benchmark = dict(part='camvid', title='CamVid, linear head', score='mIoU', unit='%', rates_of='camvid_linear')

trunk = _base_.trunks['{{$TRUNK:vits14_focus}}']
size = (16 * trunk.patch_size, 12 * trunk.patch_size)  # width, height
data = dict(type='daga_mm.CamVidDataset', data_root=_base_.camvid_root)

model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        **_base_.imagenet,
        bgr_to_rgb=True,
        size=size[::-1],
        seg_pad_val=255,
    ),
    backbone=dict(type='daga_mm.DAGAViT', **trunk.backbone),
    neck=dict(type='daga_mm.MapNorm', embed_dims=trunk.embed_dims, num_maps=4),
    decode_head=dict(
        type='FCNHead',
        in_channels=[trunk.embed_dims] * 4,
        in_index=(0, 1, 2, 3),
        input_transform='resize_concat',
        channels=4 * trunk.embed_dims,
        num_convs=0,
        concat_input=False,
        num_classes=11,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
    test_cfg=dict(mode='whole'),
)
train_dataloader = dict(
    batch_size=8,
    sampler=dict(type='daga_mm.DefaultSampler', shuffle=True),
    dataset=dict(
        indices=range(0, 367, 2),
        data_prefix=dict(img_path='train', seg_map_path='trainannot'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='Resize', scale=size),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackSegInputs'),
        ],
        **data,
    ),
    **_base_.workers,
)
val_dataloader = dict(
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        indices=range(0, 233, 4),
        data_prefix=dict(img_path='test', seg_map_path='testannot'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=size),
            dict(type='LoadAnnotations'),  # at full size: so are the predictions
            dict(type='PackSegInputs'),
        ],
        test_mode=True,
        **data,
    ),
    **_base_.workers,
)
tuning = dict(indices=range(0, 101, 2), data_prefix=dict(img_path='val', seg_map_path='valannot'))
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
log_processor = dict(by_epoch=True)
