_base_ = './mask2former_daga-vitb16_vitadapter_8xb2-ms-3x_coco-instance.py'
trunk = _base_.trunks['{{$TRUNK:vits16}}']
model = dict(
    backbone=trunk.backbone,
    neck=dict(embed_dims=trunk.embed_dims),
    panoptic_head=dict(in_channels=4 * [trunk.embed_dims]),
)
