# Layer decay and the trunk's drop path are ViT-Adapter's, by size: S, B, and from L on.
_base_ = './mask-rcnn_daga-vitb16_vitadapter_8xb2-ms-3x_coco.py'
decay, drop_path = {384: (0.7, 0.2), 768: (0.6, 0.3)}.get(_base_.dims, (0.65, 0.4))
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, name=_base_.trunk.backbone.arch, drop_path_rate=drop_path), adapter=None, frozen=False
    )
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=decay))
