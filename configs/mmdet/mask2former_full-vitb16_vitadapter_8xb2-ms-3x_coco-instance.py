# ViT-Adapter's layer decay; it has published L alone. The trunk's drop path is its Mask R-CNN's, by size: S, B, and
# from L on, where its Mask2Former has the same.
_base_ = './mask2former_daga-vitb16_vitadapter_8xb2-ms-3x_coco-instance.py'
drop_path = {384: 0.2, 768: 0.3}.get(_base_.dims, 0.4)
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, name=_base_.trunk.backbone.arch, drop_path_rate=drop_path), adapter=None, frozen=False
    )
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.9))
