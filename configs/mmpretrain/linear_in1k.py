# DINOv3's linear probes (dinov3/eval/linear.py): 13 heads with a learning rate each, trained at once on images.
_base_ = '../_base_/classification.py'
model = dict(
    type='daga_mm.LinearProbe',
    backbone=dict(
        type='daga_mm.DAGAViT', adapter='daga', out_indices=(-1,), out_type='cls_avg', **_base_.trunk.backbone
    ),
    num_classes=1000,
)

train_dataloader = dict(
    sampler=dict(type='daga_mm.InfiniteSampler', shuffle=True),
    dataset=dict(pipeline=_base_.train_pipeline, **_base_.in1k.train),
    **_base_.loading,
)
val_dataloader = dict(
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(pipeline=_base_.test_pipeline, **_base_.in1k.test),
    **_base_.loading,
)
test_dataloader = val_dataloader
val_evaluator = dict(type='daga_mm.LinearProbeMetric')
test_evaluator = val_evaluator

# The heads' rates are factors on this one, which is DINOv3's batch size / 256.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=8 * 128 / 256, momentum=0.9, weight_decay=0.0),
    constructor='daga_mm.DAGAOptimWrapperConstructor',
)
param_scheduler = [dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=0, end=12500)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=12500, val_interval=1250)
val_cfg = dict()
test_cfg = dict()
default_hooks = dict(logger=dict(log_metric_by_epoch=False), checkpoint=dict(by_epoch=False, interval=1250))
log_processor = dict(by_epoch=False)
auto_scale_lr = dict(enable=False, base_batch_size=1024)  # 8 GPUs × 128 images
