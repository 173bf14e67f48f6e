# Layer decay and drop path are ViTDet's, by size: S and B (ViTDet has no S), and from L on.
_base_ = './mask-rcnn_daga-vitb16_simplefpn_8xb8-lsj-100e_coco.py'
decay, drop_path = (0.7, 0.1) if _base_.trunk.embed_dims <= 768 else (0.8, 0.4)
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, name=_base_.trunk.backbone.arch, drop_path_rate=drop_path), adapter=None, frozen=False
    )
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=decay))
