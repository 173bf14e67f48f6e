# Mask R-CNN on synthetic scenes (demo/scenes): the COCO recipe, with a small trunk, narrow heads and a short schedule.
_base_ = '../configs/mmdet/mask-rcnn_daga-vits16_vitadapter_8xb2-1x_coco.py'

# The classes that the scenes show, by COCO's own names and in COCO's order: labels follow the ids in the annotations,
# whatever the order here, and in another one a ball would be drawn as a bed.
classes = (
    'sports ball', 'bottle', 'chair', 'couch', 'potted plant', 'bed', 'dining table', 'tv', 'book', 'clock', 'vase',
)  # fmt: skip
epochs = 6
width = 64

model = dict(
    backbone=dict(
        arch=dict(_delete_=True, name='dinov3_vits16', patch_size=8, embed_dim=96, depth=8, num_heads=3),
        adapter=dict(
            _delete_=True,
            type='DAGA',
            instruction_dim=32,
            bottleneck_dim=24,  # a quarter, as the trunk's width is
        ),
        init_cfg=dict(checkpoint='{{ fileDirname }}/trunk/vit_scenes.safetensors'),
    ),
    neck=[
        dict(
            type='daga_mm.ViTAdapterNeck', embed_dims=96, patch_size=8, conv_inplane=16, num_heads=3,
            norm_cfg=dict(type='GN', num_groups=16),
        ),
        dict(type='FPN', in_channels=[96, 96, 96, 96], out_channels=width, num_outs=5),
    ],
    rpn_head=dict(in_channels=width, feat_channels=width),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=width),
        bbox_head=dict(in_channels=width, fc_out_channels=256, num_classes=len(classes)),
        mask_roi_extractor=dict(out_channels=width),
        mask_head=dict(in_channels=width, conv_out_channels=width, num_classes=len(classes)),
    ),
    train_cfg=dict(rcnn=dict(sampler=dict(num=128)), rpn_proposal=dict(max_per_img=300)),
    test_cfg=dict(rpn=dict(max_per_img=300)),
)  # fmt: skip

pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=(192, 144), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(192, 144), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
data_root = '{{ fileDirname }}/data/coco'
data = dict(metainfo=dict(classes=classes), data_root=data_root)
loading = dict(num_workers=0, persistent_workers=False)  # the images are small: workers would cost more than they save
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=pipeline, filter_cfg=dict(min_size=8), **data), **loading)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, **data), **loading)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + '/annotations/instances_val2017.json')
test_evaluator = val_evaluator

optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=epochs, val_interval=epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=50),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=epochs, milestones=[5], gamma=0.1),
]
default_hooks = dict(checkpoint=dict(interval=epochs, save_best=None))
auto_scale_lr = dict(base_batch_size=4)
