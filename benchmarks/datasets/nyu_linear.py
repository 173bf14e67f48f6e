# Depth of NYUv2's labelled images: every sixth training and test image; DINOv3's linear head on four maps.
# Depth is read from 8-bit files (metres = value / 25.5, filled in), so results are not those of the NYU benchmark.
_base_ = ['../base.py', '../../configs/_base_/nyu.py']
benchmark = dict(
    part='nyu',
    title='NYUv2 depth, linear head',
    score='rmse',
    unit='m',
    lower_is_better=True,
    rates_of='camvid_linear',
    deterministic=True,
    methods=('frozen', 'lora', 'adaptformer', 'daga', 'daga_heads', 'daga_late', 'full'),  # in the plan for a CPU
)

trunk = _base_.trunks['{{$TRUNK:vits14_focus}}']
size = (16 * trunk.patch_size, 12 * trunk.patch_size)  # width, height
load_depth = dict(type='daga_mm.LoadDepthAnnotation', depth_rescale_factor=1 / 25.5)
pack = dict(type='PackSegInputs', meta_keys=_base_.meta_keys)
resize = dict(type='Resize', scale=size)
model = dict(
    data_preprocessor=dict(size=size[::-1]),
    backbone=dict(type='daga_mm.DAGAViT', **trunk.backbone),
    decode_head=dict(type='daga_mm.LinearDepthHead', in_channels=[trunk.embed_dims] * 4, patch_size=trunk.patch_size),
)
train_dataloader = dict(
    batch_size=8,
    sampler=dict(type='daga_mm.DefaultSampler'),
    dataset=dict(
        indices=range(0, 795, 6),
        pipeline=[
            dict(type='LoadImageFromFile'),
            load_depth,
            dict(type='daga_mm.FixedCrop', box=(45, 472, 43, 608)),  # without the white frame
            resize,
            dict(type='RandomFlip', prob=0.5),
            pack,
        ],
    ),
    **_base_.workers,
)
val_dataloader = dict(
    dataset=dict(
        indices=range(0, 654, 6),
        pipeline=[dict(type='LoadImageFromFile'), resize, load_depth, pack],  # depth at full size: so are predictions
    ),
    **_base_.workers,
)
test_dataloader = val_dataloader
log_processor = dict(by_epoch=True)
