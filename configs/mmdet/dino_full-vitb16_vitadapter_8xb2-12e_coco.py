# Weight decay, layer decay and the trunk's drop path are those of the DINOs that ViT-Adapter has published: of B, here
# of S too, and of L (wsdm2023/configs/dino_4scale_uniperceiver_adapter_{base,large}_24ep_gqa_wsdm2023.py).
_base_ = './dino_daga-vitb16_vitadapter_8xb2-12e_coco.py'
decay, drop_path = (0.65, 0.2) if _base_.dims <= 768 else (0.8, 0.3)
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, name=_base_.trunk.backbone.arch, drop_path_rate=drop_path), adapter=None, frozen=False
    )
)
optim_wrapper = dict(optimizer=dict(weight_decay=0.05), paramwise_cfg=dict(layer_decay_rate=decay))
