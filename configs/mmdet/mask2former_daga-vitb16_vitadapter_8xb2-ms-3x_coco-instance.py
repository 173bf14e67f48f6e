# Mask2Former for instance segmentation on a frozen DINOv3 ViT with DAGA. The neck has ViT-Adapter's drop path.
_base_ = ['../_base_/mask2former_coco.py', 'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py']
model = _base_.mask2former.model
pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomFlip', prob=0.5),
    _base_.multi_scale,
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-5, 1e-5), by_mask=True),
    dict(type='PackDetInputs'),
]
# Upstream's data sets keep the folder of panoptic maps, which nothing reads and nobody has to have.
train_dataloader = dict(
    sampler=_base_.mask2former.sampler,
    dataset=dict(data_root=_base_.coco_root, data_prefix=dict(_delete_=True, img='train2017/'), pipeline=pipeline),
)
val_dataloader = dict(dataset=dict(data_root=_base_.coco_root, data_prefix=dict(_delete_=True, img='val2017/')))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=_base_.coco_root + '/annotations/instances_val2017.json')
test_evaluator = val_evaluator

optim_wrapper = _base_.mask2former.optim_wrapper
param_scheduler = _base_.mask2former.param_scheduler
train_cfg = _base_.mask2former.train_cfg
default_hooks = dict(
    checkpoint=dict(type='daga_mm.CheckpointHook', save_best='coco/segm_mAP', max_keep_ckpts=2),
)
