# Mask2Former for panoptic segmentation on a frozen DINOv3 ViT with DAGA. The neck has ViT-Adapter's drop path.
_base_ = ['../_base_/mask2former_coco.py', 'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py']
model = _base_.mask2former.model
pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(type='LoadPanopticAnnotations', with_bbox=True, with_mask=True, with_seg=True),
    dict(type='RandomFlip', prob=0.5),
    _base_.multi_scale,
    dict(type='PackDetInputs'),
]
train_dataloader = dict(sampler=_base_.mask2former.sampler, dataset=dict(data_root=_base_.coco_root, pipeline=pipeline))
val_dataloader = dict(dataset=dict(data_root=_base_.coco_root))
test_dataloader = val_dataloader

annotations = _base_.coco_root + '/annotations'
val_evaluator = [
    dict(
        type='CocoPanopticMetric',
        ann_file=annotations + '/panoptic_val2017.json',
        seg_prefix=annotations + '/panoptic_val2017/',
    ),
    dict(type='CocoMetric', ann_file=annotations + '/instances_val2017.json', metric=['bbox', 'segm']),
]
test_evaluator = val_evaluator

optim_wrapper = _base_.mask2former.optim_wrapper
param_scheduler = _base_.mask2former.param_scheduler
train_cfg = _base_.mask2former.train_cfg
default_hooks = dict(
    checkpoint=dict(type='daga_mm.CheckpointHook', save_best='coco_panoptic/PQ', rule='greater', max_keep_ckpts=2),
)
visualizer = dict(type='daga_mm.PanopticVisualizer')
