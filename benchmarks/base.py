# The recipe of all configs of the benchmark. A data set's config adds trunk, images, head and metric.
epochs = 12
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=epochs)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',  # bfloat16 on a GPU: run.py
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
    constructor='daga_mm.DAGAOptimWrapperConstructor',
)
param_scheduler = [  # one cycle
    dict(type='LinearLR', start_factor=0.04, begin=0, end=0.3 * epochs, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min_ratio=1e-4, begin=0.3 * epochs, end=epochs, convert_to_iter_based=True),
]
# The images are small: workers pay on a GPU only.
workers = dict(num_workers=int('{{$WORKERS:0}}'), persistent_workers=False, pin_memory=False)
imagenet = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])  # as the trunks were trained with
