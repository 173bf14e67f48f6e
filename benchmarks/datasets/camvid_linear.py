# CamVid: batch norm and a 1×1 convolution on four maps. Every third training image, every fourth test image.
_base_ = ['../base.py', '../../configs/_base_/camvid.py']
benchmark = dict(
    part='camvid',
    title='CamVid, linear head',
    score='mIoU',
    unit='%',
    rates_of='camvid_linear',
    deterministic=True,  # but for the flip: a frozen trunk's maps are cached
)

trunk = _base_.trunks['{{$TRUNK:vits14_focus}}']
size = (16 * trunk.patch_size, 12 * trunk.patch_size)  # width, height
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor', **_base_.imagenet, bgr_to_rgb=True, size=size[::-1], seg_pad_val=255
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
    ),
    test_cfg=dict(mode='whole'),
)
train_dataloader = dict(
    sampler=dict(type='daga_mm.DefaultSampler'),
    dataset=dict(
        indices=range(0, 367, 3),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='Resize', scale=size),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackSegInputs'),
        ],
    ),
    **_base_.workers,
)
val_dataloader = dict(
    dataset=dict(
        indices=range(0, 233, 4),
        data_prefix=dict(img_path='test', seg_map_path='testannot'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=size),
            dict(type='LoadAnnotations'),  # at full size: so are the predictions
            dict(type='PackSegInputs'),
        ],
    ),
    **_base_.workers,
)
test_dataloader = val_dataloader
tuning = dict(indices=range(0, 101, 2), data_prefix=dict(img_path='val', seg_map_path='valannot'))
log_processor = dict(by_epoch=True)
