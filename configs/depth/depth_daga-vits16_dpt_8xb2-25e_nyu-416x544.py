_base_ = './depth_daga-vitb16_dpt_8xb2-25e_nyu-416x544.py'
trunk = _base_.trunks['{{$TRUNK:vits16}}']
model = dict(backbone=trunk.backbone, decode_head=dict(embed_dims=trunk.embed_dims))
