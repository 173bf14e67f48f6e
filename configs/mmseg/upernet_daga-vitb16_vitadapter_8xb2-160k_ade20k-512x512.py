# UperNet on a frozen DINOv3 ViT with DAGA; schedule and optimiser of ViT-Adapter's DeiT recipes.
_base_ = [
    '../_base_/dinov3.py',
    '../_base_/runtime.py',
    'mmseg::_base_/models/upernet_r50.py',
    'mmseg::_base_/datasets/ade20k.py',
    'mmseg::_base_/default_runtime.py',
    'mmseg::_base_/schedules/schedule_160k.py',
]
crop_size = (512, 512)
model = dict(
    pretrained=None,
    data_preprocessor=dict(size=crop_size, **_base_.trunk.normalization),
    backbone=dict(_delete_=True, type='daga_mm.DAGAViT', adapter='daga', with_image=True, **_base_.trunk.backbone),
    neck=dict(
        type='daga_mm.ViTAdapterNeck',
        embed_dims=_base_.trunk.embed_dims,
        patch_size=_base_.trunk.patch_size,
        drop_path_rate=0.3,
    ),
    decode_head=dict(in_channels=4 * [_base_.trunk.embed_dims], num_classes=150),
    auxiliary_head=dict(in_channels=_base_.trunk.embed_dims, num_classes=150),
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(341, 341)),
)

train_dataloader = dict(
    batch_size=2, sampler=dict(type='daga_mm.InfiniteSampler'), dataset=dict(data_root=_base_.ade20k_root)
)
val_dataloader = dict(dataset=dict(data_root=_base_.ade20k_root))
test_dataloader = val_dataloader

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01),
    constructor='daga_mm.DAGAOptimWrapperConstructor',
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=0, end=160000),
]
default_hooks = dict(checkpoint=dict(type='daga_mm.CheckpointHook', save_best='mIoU', max_keep_ckpts=2))
auto_scale_lr = dict(enable=False, base_batch_size=16)  # 8 GPUs × 2 images
