# COCO for 12 epochs with the optimiser of ViT-Adapter's DINOv2 recipes: all of a detection config but the model.
_base_ = [
    './dinov3.py',
    './runtime.py',
    'mmdet::_base_/datasets/coco_instance.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    'mmdet::_base_/default_runtime.py',
]

val_annotations = _base_.coco_root + '/annotations/instances_val2017.json'
train_dataloader = dict(sampler=dict(type='daga_mm.DefaultSampler'), dataset=dict(data_root=_base_.coco_root))
val_dataloader = dict(dataset=dict(data_root=_base_.coco_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=val_annotations)
test_evaluator = val_evaluator

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    constructor='daga_mm.DAGAOptimWrapperConstructor',
)
default_hooks = dict(checkpoint=dict(type='daga_mm.CheckpointHook', save_best='coco/segm_mAP', max_keep_ckpts=2))
