# Mask R-CNN in ViTDet's manner (arXiv:2203.16527): simple pyramid, large-scale jitter at 1024², 100 epochs, batch 64.
# The box head has four convolutions and the RPN two, as there. Nothing is windowed: the trunk is frozen as it is.
_base_ = [
    '../_base_/dinov3.py',
    '../_base_/runtime.py',
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'mmdet::common/lsj-100e_coco-instance.py',
]
assert _base_.trunk.patch_size == 16, 'SimpleFPN makes strides of 4 to 32 from patches of 16 pixels'
norm = dict(type='GN', num_groups=32)
model = dict(
    # Squares, in training and in testing. mmdet's Pad would make them, too, and have boxes clipped to the square.
    data_preprocessor=dict(pad_size_divisor=1024, **_base_.trunk.normalization),
    backbone=dict(_delete_=True, type='daga_mm.DAGAViT', adapter='daga', out_indices=(-1,), **_base_.trunk.backbone),
    neck=dict(
        _delete_=True, type='daga_mm.SimpleFPN', embed_dims=_base_.trunk.embed_dims, out_channels=256, num_outs=5
    ),
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(type='Shared4Conv1FCBBoxHead', conv_out_channels=256, norm_cfg=norm),
        mask_head=dict(norm_cfg=norm),
    ),
)

test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1024, 1024), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
val_annotations = _base_.coco_root + '/annotations/instances_val2017.json'
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    sampler=dict(type='daga_mm.DefaultSampler'),
    dataset=dict(dataset=dict(data_root=_base_.coco_root)),
)
val_dataloader = dict(dataset=dict(data_root=_base_.coco_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=val_annotations)
test_evaluator = val_evaluator

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1),
    constructor='daga_mm.DAGAOptimWrapperConstructor',
)
# 25 rounds of the data set repeated four times: 100 epochs. ViTDet's rate falls to a tenth after 163,889 of its 184,375
# iterations and again after 177,546. Both are within a round, where MultiStepLR cannot step. ConstantLR restores the
# rate at its end, which therefore lies behind the last round.
fall = dict(type='ConstantLR', factor=0.1, end=26, convert_to_iter_based=True)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=250),
    dict(begin=25 * 163889 / 184375, **fall),
    dict(begin=25 * 177546 / 184375, **fall),
]
default_hooks = dict(checkpoint=dict(type='daga_mm.CheckpointHook', save_best='coco/segm_mAP'))
auto_scale_lr = dict(enable=False)
