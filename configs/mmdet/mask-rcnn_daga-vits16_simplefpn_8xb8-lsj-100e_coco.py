# Mask R-CNN in ViTDet's manner (arXiv:2203.16527): simple pyramid, large-scale jitter at 1024², 100 epochs, batch 64.
# The box head has four convolutions and the RPN two, as there. Nothing is windowed: the trunk is frozen as it is.
_base_ = [
    '../_base_/dinov3.py',
    '../_base_/runtime.py',
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'mmdet::common/lsj-100e_coco-instance.py',
]
norm = dict(type='GN', num_groups=32)
size = dict(type='BatchFixedSizePad', size=(1024, 1024), pad_mask=True)
model = dict(
    data_preprocessor=dict(batch_augments=[size]),
    backbone=dict(_delete_=True, type='daga_mm.DAGAViT', out_indices=(-1,), **_base_.vits16),
    neck=dict(_delete_=True, type='daga_mm.SimpleFPN', embed_dims=384, out_channels=256, num_outs=5),
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(type='Shared4Conv1FCBBoxHead', conv_out_channels=256, norm_cfg=norm),
        mask_head=dict(norm_cfg=norm),
    ),
)

val_annotations = _base_.coco_root + '/annotations/instances_val2017.json'
train_dataloader = dict(batch_size=8, num_workers=8, dataset=dict(dataset=dict(data_root=_base_.coco_root)))
val_dataloader = dict(dataset=dict(data_root=_base_.coco_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=val_annotations)
test_evaluator = val_evaluator

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1),
    constructor='daga_mm.DAGAOptimWrapperConstructor',
    paramwise_cfg=dict(daga_lr_mult=1.0),
)
# 25 rounds of the data set repeated four times: steps after 89 and 96 of 100 epochs
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=250),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=25, milestones=[22, 24], gamma=0.1),
]
default_hooks = dict(checkpoint=dict(save_best='coco/segm_mAP'))
auto_scale_lr = dict(enable=False)
