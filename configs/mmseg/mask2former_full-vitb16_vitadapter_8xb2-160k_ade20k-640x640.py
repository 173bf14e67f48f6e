# Rate, layer decay and the trunk's drop path are ViT-Adapter's, from L on of the config named there; of B
# segmentation/configs/coco_stuff10k/mask2former_beit_adapter_base_512_40k_cocostuff10k_ss.py, here of S too.
_base_ = './mask2former_daga-vitb16_vitadapter_8xb2-160k_ade20k-640x640.py'
lr, decay, drop_path = (3e-5, 0.95, 0.2) if _base_.dims <= 768 else (2e-5, 0.9, 0.3)
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, name=_base_.trunk.backbone.arch, drop_path_rate=drop_path), adapter=None, frozen=False
    )
)
optim_wrapper = dict(optimizer=dict(lr=lr), paramwise_cfg=dict(layer_decay_rate=decay))
