# Penn-Fudan pedestrians: Mask R-CNN on ViTAdapterNeck, 120 training and 50 test images.
_base_ = [
    '../base.py',
    '../../configs/_base_/dinov3.py',
    '../../configs/_base_/runtime.py',
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'mmdet::_base_/default_runtime.py',
]
benchmark = dict(
    part='pennfudan',
    title='Penn-Fudan, Mask R-CNN',
    score='coco/segm_mAP',
    unit='0 to 1',
    methods=('frozen', 'daga', 'lora'),
)

trunk = _base_.trunks['{{$TRUNK:vits14_focus}}']
data = dict(
    type='CocoDataset',
    data_root=_base_.pennfudan_root,
    data_prefix=dict(img='images/'),
    metainfo=dict(classes=('person',)),
)
resize = dict(type='Resize', scale=(16 * trunk.patch_size, 12 * trunk.patch_size), keep_ratio=True)
model = dict(
    backbone=dict(_delete_=True, type='daga_mm.DAGAViT', with_image=True, **trunk.backbone),
    neck=[
        dict(type='daga_mm.ViTAdapterNeck', embed_dims=trunk.embed_dims, patch_size=trunk.patch_size),
        dict(type='FPN', in_channels=[trunk.embed_dims] * 4, out_channels=64, num_outs=5),
    ],
    rpn_head=dict(in_channels=64, feat_channels=64),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64),
        bbox_head=dict(in_channels=64, fc_out_channels=256, num_classes=1),
        mask_roi_extractor=dict(out_channels=64),
        mask_head=dict(in_channels=64, conv_out_channels=64, num_classes=1),
    ),
    train_cfg=dict(rcnn=dict(sampler=dict(num=128)), rpn_proposal=dict(max_per_img=300)),
    test_cfg=dict(rpn=dict(max_per_img=300)),
)
train_dataloader = dict(
    batch_size=4,
    sampler=dict(type='daga_mm.DefaultSampler', shuffle=True),
    dataset=dict(
        ann_file='annotations/instances_train.json',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            resize,
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackDetInputs'),
        ],
        **data,
    ),
    **_base_.workers,
)
val_dataloader = dict(
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        ann_file='annotations/instances_test.json',
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            resize,
            dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
        ],
        **data,
    ),
    **_base_.workers,
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='CocoMetric', ann_file=_base_.pennfudan_root + '/annotations/instances_test.json', metric=['bbox', 'segm']
)
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(lr=3e-4))
epochs = 6
train_cfg = dict(max_epochs=epochs, val_interval=epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.04, begin=0, end=0.3 * epochs, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min_ratio=1e-4, begin=0.3 * epochs, end=epochs, convert_to_iter_based=True),
]
