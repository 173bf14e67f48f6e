_base_ = './fcn_daga-vitb16_linear_8xb2-40k_ade20k-512x512.py'
trunk = _base_.trunks['{{$TRUNK:vits16}}']
model = dict(
    backbone=trunk.backbone,
    neck=dict(embed_dims=trunk.embed_dims),
    decode_head=dict(in_channels=trunk.embed_dims, channels=trunk.embed_dims),
)
