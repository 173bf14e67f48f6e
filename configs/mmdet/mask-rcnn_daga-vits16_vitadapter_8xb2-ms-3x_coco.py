_base_ = './mask-rcnn_daga-vitb16_vitadapter_8xb2-ms-3x_coco.py'
trunk = _base_.trunks['{{$TRUNK:vits16}}']
model = dict(
    backbone=trunk.backbone,
    neck=[
        dict(_base_.model.neck[0], embed_dims=trunk.embed_dims),
        dict(_base_.model.neck[1], in_channels=4 * [trunk.embed_dims]),
    ],
)
