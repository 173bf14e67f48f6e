_base_ = './mask-rcnn_daga-vitb16_simplefpn_8xb8-lsj-100e_coco.py'
trunk = _base_.trunks['{{$TRUNK:vits16}}']
model = dict(backbone=trunk.backbone, neck=dict(embed_dims=trunk.embed_dims))
