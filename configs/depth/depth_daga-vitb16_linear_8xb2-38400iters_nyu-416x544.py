# Linear depth head on a frozen DINOv3 ViT with DAGA; DINOv3's recipe (dinov3/eval/depth): the last block, batch norm,
# 1×1 convolution to 256 bins of depth.
_base_ = '../_base_/nyu.py'
model = dict(
    backbone=dict(type='daga_mm.DAGAViT', adapter='daga', out_indices=(-1,), **_base_.trunk.backbone),
    decode_head=dict(
        type='daga_mm.LinearDepthHead',
        in_channels=[_base_.trunk.embed_dims],
        patch_size=_base_.trunk.patch_size,
        num_bins=256,
        min_depth=1e-3,
        max_depth=10.0,
        loss_decode=dict(type='daga_mm.SigLogLoss'),
    ),
)

# The schedule of DINOv3's linear probe for depth (dinov3/eval/depth/configs/config-nyu.yaml): cosine to zero under a
# linear warm-up of a third of the run. DINOv3 also changes Adam's beta1: 0 in the warm-up, then from 0.85 to 0.95. Here
# it is 0.9 throughout.
train_cfg = dict(type='IterBasedTrainLoop', max_iters=38400, val_interval=1600)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-4, betas=(0.9, 0.99), weight_decay=1e-4),
    clip_grad=dict(max_norm=35),
    constructor='daga_mm.DAGAOptimWrapperConstructor',
    # DINOv3 decays the norm and the bias of its head too.
    paramwise_cfg=dict(custom_keys={'decode_head': dict(decay_mult=1.0)}),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=12800),
    dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=0, end=38400),
]
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='daga_mm.CheckpointHook', by_epoch=False, interval=1600, save_best='rmse', rule='less', max_keep_ckpts=2
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
)
