_base_ = './fcn_daga-vits16_linear_8xb2-40k_ade20k-512x512.py'
model = dict(backbone=_base_.vitl16, neck=dict(embed_dims=1024), decode_head=dict(in_channels=1024, channels=1024))
