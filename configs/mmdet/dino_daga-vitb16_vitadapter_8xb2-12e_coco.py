# DINO-DETR with four scales, strides 8 to 64, on a frozen DINOv3 ViT with DAGA: head, denoising, mixed query selection,
# augmentation, optimiser and schedule of mmdet's config for ResNet-50, whose backbone has a tenth of the rate. What an
# adapter trains has the whole rate. The neck has ViT-Adapter's drop path: of L from L on, below of B.
_base_ = ['../_base_/dinov3.py', '../_base_/runtime.py', 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py']
dims = _base_.trunk.embed_dims
model = dict(
    data_preprocessor=_base_.trunk.normalization,
    backbone=dict(_delete_=True, type='daga_mm.DAGAViT', adapter='daga', with_image=True, **_base_.trunk.backbone),
    neck=[
        dict(
            type='daga_mm.ViTAdapterNeck',
            embed_dims=dims,
            patch_size=_base_.trunk.patch_size,
            start_level=1,
            drop_path_rate=0.4 if dims > 768 else 0.3,
        ),
        dict(_base_.model.neck, in_channels=3 * [dims]),  # ChannelMapper, which adds stride 64
    ],
)
train_dataloader = dict(sampler=dict(type='daga_mm.DefaultSampler'), dataset=dict(data_root=_base_.coco_root))
val_dataloader = dict(dataset=dict(data_root=_base_.coco_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=_base_.coco_root + '/annotations/instances_val2017.json')
test_evaluator = val_evaluator

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
    constructor='daga_mm.DAGAOptimWrapperConstructor',
)
default_hooks = dict(checkpoint=dict(type='daga_mm.CheckpointHook', save_best='coco/bbox_mAP', max_keep_ckpts=2))
auto_scale_lr = dict(enable=False)
