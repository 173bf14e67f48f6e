_base_ = './upernet_daga-vits16_vitadapter_8xb2-160k_ade20k-512x512.py'
model = dict(
    backbone=_base_.vitb16,
    neck=dict(embed_dims=768),
    decode_head=dict(in_channels=[768, 768, 768, 768]),
    auxiliary_head=dict(in_channels=768),
)
