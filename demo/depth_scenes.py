# Depth on the demo's synthetic scenes: DINOv3's linear recipe for NYU, with a small trunk and a short schedule.
# demo.py writes the scenes and trains it frozen, with DAGA and with full fine-tuning.
_base_ = '../configs/depth/depth_daga-vits16_linear_8xb2-38400iters_nyu-416x544.py'
iterations = 300

model = dict(
    data_preprocessor=dict(size=(96, 128)),
    backbone=dict(
        arch=dict(_delete_=True, name='dinov3_vits16', patch_size=8, embed_dim=96, depth=8, num_heads=3),
        # Widths are a quarter of the defaults, as the trunk's is.
        adapter=dict(_delete_=True, type='DAGA', layers=(1, 3, 5, 7), instruction_dim=32, bottleneck_dim=24),
        init_cfg=dict(checkpoint='{{ fileDirname }}/trunk/vit_scenes.safetensors'),
    ),
    decode_head=dict(in_channels=[96], patch_size=8, loss_decode=dict(warm_up_iters=iterations // 10)),
)

pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='daga_mm.LoadDepthAnnotation', depth_rescale_factor=1e-3),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
data = dict(data_root='{{ fileDirname }}/data/depth')
loading = dict(num_workers=0, persistent_workers=False)  # the images are small: workers would cost more than they save
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=pipeline, **data), **loading)
val_dataloader = dict(dataset=data, **loading)
test_dataloader = val_dataloader
val_evaluator = dict(crop_type=None)
test_evaluator = val_evaluator

# An adapter that starts as the identity takes a higher rate than the head in so few steps.
optim_wrapper = dict(optimizer=dict(lr=1e-2), paramwise_cfg=dict(adapter_lr_mult=3.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=iterations // 10),
    dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=0, end=iterations),
]
train_cfg = dict(max_iters=iterations, val_interval=iterations)
default_hooks = dict(checkpoint=dict(interval=iterations, save_best=None))
auto_scale_lr = dict(base_batch_size=8)
