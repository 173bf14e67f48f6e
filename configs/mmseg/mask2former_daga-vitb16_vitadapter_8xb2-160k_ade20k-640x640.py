# Mask2Former on a frozen DINOv3 ViT with DAGA. Head, augmentation and optimiser are those of mmseg's config
# (arXiv:2112.01527), whose backbone has a tenth of the rate; what an adapter trains has the whole rate. The schedule
# and the sliding window are ViT-Adapter's (czczup/ViT-Adapter,
# segmentation/configs/ade20k/mask2former_beit_adapter_large_640_160k_ade20k_ss.py). Its L has a head of 1024 channels,
# its B, on COCO-Stuff, one of 256, as here. DINOv3 has published the inference of its Mask2Former, not the training.
_base_ = [
    '../_base_/dinov3.py',
    '../_base_/hooks.py',
    'mmseg::mask2former/mask2former_swin-b-in1k-384x384-pre_8xb2-160k_ade20k-640x640.py',
]
# mmseg's head is a child of mmdet's, which needs operators of mmcv.
custom_imports = dict(imports=['daga_mm.compat', 'mmdet.models'], allow_failed_imports=False)
dims, crop_size = _base_.trunk.embed_dims, (640, 640)
model = dict(
    data_preprocessor=_base_.trunk.normalization,
    backbone=dict(_delete_=True, type='daga_mm.DAGAViT', adapter='daga', with_image=True, **_base_.trunk.backbone),
    neck=dict(type='daga_mm.ViTAdapterNeck', embed_dims=dims, patch_size=_base_.trunk.patch_size, drop_path_rate=0.3),
    decode_head=dict(in_channels=4 * [dims]),
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(426, 426)),
)
train_dataloader = dict(sampler=dict(type='daga_mm.InfiniteSampler'), dataset=dict(data_root=_base_.ade20k_root))
val_dataloader = dict(dataset=dict(data_root=_base_.ade20k_root))
test_dataloader = val_dataloader

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    clip_grad=dict(max_norm=0.01, norm_type=2),
    constructor='daga_mm.DAGAOptimWrapperConstructor',  # without a decay of norms, queries and embeddings
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=0, end=160000),
]
default_hooks = dict(checkpoint=dict(type='daga_mm.CheckpointHook', save_best='mIoU', max_keep_ckpts=2))
