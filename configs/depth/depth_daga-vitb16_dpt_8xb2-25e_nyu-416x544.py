# DPT on a frozen DINOv3 ViT with DAGA. Bins are DINOv3's (dinov3/eval/depth), the two losses those of DINOv2's depth
# recipes.
_base_ = '../_base_/nyu.py'
model = dict(
    backbone=dict(type='daga_mm.DAGAViT', adapter='daga', **_base_.trunk.backbone),
    decode_head=dict(
        type='daga_mm.DPTDepthHead',
        embed_dims=_base_.trunk.embed_dims,
        patch_size=_base_.trunk.patch_size,
        channels=256,
        num_bins=256,
        min_depth=1e-3,
        max_depth=10.0,
        loss_decode=[dict(type='daga_mm.SigLogLoss'), dict(type='daga_mm.DepthGradientLoss', loss_weight=0.5)],
    ),
)

# 25 epochs in one cycle, as AdaBins (arXiv:2011.14141) trains: up from a quarter of the rate for 30 % of the run, then
# cosine down to 1/75. Rate and weight decay are those that DPT (arXiv:2103.13413) is usually trained with.
train_dataloader = dict(sampler=dict(type='daga_mm.DefaultSampler'))  # an epoch has to end
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=25, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.01),
    clip_grad=dict(max_norm=35),
    constructor='daga_mm.DAGAOptimWrapperConstructor',
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.25, begin=0, end=7.5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min_ratio=1 / 75, begin=7.5, end=25, convert_to_iter_based=True),
]
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='daga_mm.CheckpointHook', interval=1, save_best='rmse', rule='less', max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
)
log_processor = dict(by_epoch=True)
