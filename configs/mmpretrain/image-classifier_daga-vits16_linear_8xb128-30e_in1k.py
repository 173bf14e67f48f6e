_base_ = './image-classifier_daga-vitb16_linear_8xb128-30e_in1k.py'
trunk = _base_.trunks['{{$TRUNK:vits16}}']
model = dict(backbone=trunk.backbone, head=dict(in_channels=2 * trunk.embed_dims))
