# Linear depth head on a frozen DINOv3 ViT-S/16 with DAGA at the quarter ends; DINOv3's recipe (dinov3/eval/depth): the
# last block, batch norm, 1×1 convolution to 256 bins of depth.
_base_ = '../_base_/nyu_38400iters.py'
model = dict(
    backbone=dict(type='daga_mm.DAGAViT', daga_layers=(2, 5, 8, 11), out_indices=(-1,), **_base_.vits16),
    decode_head=dict(
        type='daga_mm.LinearDepthHead',
        in_channels=[384],
        num_bins=256,
        min_depth=1e-3,
        max_depth=10.0,
        loss_decode=dict(type='daga_mm.SigLogLoss'),
    ),
)
