# Penn-Fudan pedestrians: Mask R-CNN, with narrow heads, on ViTAdapterNeck.
_base_ = ['../base.py', '../../configs/_base_/pennfudan.py', 'mmdet::_base_/models/mask-rcnn_r50_fpn.py']
benchmark = dict(
    part='pennfudan',
    title='Penn-Fudan, Mask R-CNN',
    score='coco/segm_mAP',
    unit='0 to 1',
    methods=('frozen', 'daga', 'lora'),
    seeds=1,
)

trunk = _base_.trunks['{{$TRUNK:vits14_focus}}']
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[2]['scale'] = test_pipeline[1]['scale'] = (16 * trunk.patch_size, 12 * trunk.patch_size)
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
train_dataloader = dict(dataset=dict(pipeline=train_pipeline), **_base_.workers)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline), **_base_.workers)
test_dataloader = val_dataloader

epochs = 6
train_cfg = dict(max_epochs=epochs, val_interval=epochs)
optim_wrapper = dict(optimizer=dict(lr=3e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.04, begin=0, end=0.3 * epochs, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min_ratio=1e-4, begin=0.3 * epochs, end=epochs, convert_to_iter_based=True),
]
