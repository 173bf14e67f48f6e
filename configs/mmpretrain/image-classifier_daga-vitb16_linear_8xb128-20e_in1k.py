# A linear head on [class token; mean patch], with the method's own recipe: SGD, one epoch of warm-up, cosine.
_base_ = '../_base_/classification.py'
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='daga_mm.DAGAViT', adapter='daga', out_indices=(-1,), out_type='cls_avg', **_base_.trunk.backbone
    ),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=2 * _base_.trunk.embed_dims,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
)

train_dataloader = dict(
    sampler=dict(type='daga_mm.DefaultSampler', shuffle=True),
    dataset=dict(pipeline=_base_.train_pipeline, **_base_.in1k.train),
    **_base_.loading,
)
val_dataloader = dict(
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(pipeline=_base_.test_pipeline, **_base_.in1k.test),
    **_base_.loading,
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=2e-2, momentum=0.9, nesterov=True, weight_decay=0.01),
    constructor='daga_mm.DAGAOptimWrapperConstructor',
    paramwise_cfg=dict(adapter_lr_mult=dict(daga=0.5)),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, begin=0, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=0.0, begin=1, end=20, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=20)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(enable=False, base_batch_size=1024)  # 8 GPUs × 128 images
