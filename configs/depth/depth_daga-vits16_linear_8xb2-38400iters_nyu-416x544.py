_base_ = './depth_daga-vitb16_linear_8xb2-38400iters_nyu-416x544.py'
trunk = _base_.trunks['{{$TRUNK:vits16}}']
model = dict(backbone=trunk.backbone, decode_head=dict(in_channels=[trunk.embed_dims]))
