# What Mask2Former's two configs for COCO share, by the names of their settings. Head, losses and optimiser are those of
# mmdet's configs (arXiv:2112.01527), which they inherit. Schedule and augmentation are those of ViT-Adapter
# (czczup/ViT-Adapter, detection/configs/mask2former/mask2former_beitv2_adapter_large_16x1_3x_coco-panoptic.py): batches
# of 16, 36 epochs, no warm-up. Its moving average of the weights is left out.
_base_ = ['./dinov3.py', './multi_scale.py', './runtime.py']
dims = _base_.trunk.embed_dims
mask2former = dict(
    model=dict(
        # without upstream's squares of 1024 pixels, which are for large-scale jitter
        data_preprocessor=dict(batch_augments=None, **_base_.trunk.normalization),
        backbone=dict(_delete_=True, type='daga_mm.DAGAViT', adapter='daga', with_image=True, **_base_.trunk.backbone),
        neck=dict(
            type='daga_mm.ViTAdapterNeck',
            embed_dims=dims,
            patch_size=_base_.trunk.patch_size,
            drop_path_rate=0.4 if dims > 768 else 0.3,
        ),
        panoptic_head=dict(in_channels=4 * [dims]),
    ),
    optim_wrapper=dict(
        _delete_=True,
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
        clip_grad=dict(max_norm=0.01, norm_type=2),
        constructor='daga_mm.DAGAOptimWrapperConstructor',  # without a decay of norms, queries and embeddings
    ),
    param_scheduler=dict(end=265500, milestones=[191750, 236000]),
    # validation every 5000 iterations, as upstream, and at the end
    train_cfg=dict(max_iters=265500, dynamic_intervals=[(265001, 265500)]),
    sampler=dict(_delete_=True, type='daga_mm.InfiniteSampler'),
)
