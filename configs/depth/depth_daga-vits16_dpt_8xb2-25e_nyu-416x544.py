# DPT on a frozen DINOv3 ViT-S/16 with DAGA after the four blocks that it reads. Bins are DINOv3's (dinov3/eval/depth),
# the two losses those of DINOv2's depth recipes.
_base_ = '../_base_/nyu_25e.py'
model = dict(
    backbone=dict(type='daga_mm.DAGAViT', daga_layers=(2, 5, 8, 11), **_base_.vits16),
    decode_head=dict(
        type='daga_mm.DPTDepthHead',
        embed_dims=384,
        channels=256,
        num_bins=256,
        min_depth=1e-3,
        max_depth=10.0,
        loss_decode=[dict(type='daga_mm.SigLogLoss'), dict(type='daga_mm.DepthGradientLoss', loss_weight=0.5)],
    ),
)
