# A linear head on [class token; mean patch], trained as in Jaywalk18/Dino_DAGA at f93e3b5 (tasks/classification.py,
# scripts/run_classification.sh): 30 epochs of SGD without weight decay, cosine, rate 0.3 on ImageNet and 0.5 on CIFAR,
# half of it for DAGA. That code takes the rate as it is for 256 images on each GPU, six by default. Here it is the rate
# for 1,024 images, and --auto-scale-lr scales it. The warm-up epoch there has the full rate; here the rate rises in it.
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
    optimizer=dict(type='SGD', lr=0.3, momentum=0.9, nesterov=True, weight_decay=0.0),
    constructor='daga_mm.DAGAOptimWrapperConstructor',
    paramwise_cfg=dict(adapter_lr_mult=dict(daga=0.5)),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, begin=0, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=0.0, begin=1, end=30, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=30)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(enable=False, base_batch_size=1024)  # 8 GPUs × 128 images
