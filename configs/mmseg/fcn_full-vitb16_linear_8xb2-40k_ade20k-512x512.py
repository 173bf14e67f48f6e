# Rate, decays and the trunk's drop path are those of ViT-Adapter's fine-tuning, by size: S, B, and from L on.
_base_ = './fcn_daga-vitb16_linear_8xb2-40k_ade20k-512x512.py'
lr, weight_decay, drop_path = {384: (6e-5, 0.01, 0.2), 768: (6e-5, 0.01, 0.3)}.get(
    _base_.trunk.embed_dims, (2e-5, 0.05, 0.4)
)
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, name=_base_.trunk.backbone.arch, drop_path_rate=drop_path), adapter=None, frozen=False
    )
)
optim_wrapper = dict(
    optimizer=dict(lr=lr, weight_decay=weight_decay),
    paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.95),
)
