_base_ = './mask2former_daga-vitb16_vitadapter_8xb2-160k_ade20k-640x640.py'
trunk = _base_.trunks['{{$TRUNK:vits16}}']
model = dict(
    backbone=trunk.backbone,
    neck=dict(embed_dims=trunk.embed_dims),
    decode_head=dict(in_channels=4 * [trunk.embed_dims]),
)
