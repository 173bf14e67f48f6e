_base_ = './image-classifier_daga-vitb16_linear_8xb128-30e_cifar10.py'
model = dict(backbone=dict(adapter=None, frozen=False))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=5e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(layer_decay_rate=0.65 if _base_.trunk.embed_dims <= 768 else 0.75),
)
