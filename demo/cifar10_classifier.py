# A linear classifier of CIFAR-10 on the small trunk of demo/train_trunk.py, with DAGA; docs/probes.md has figures.
#   python tools/train.py demo/cifar10_classifier.py --cfg-options cifar10_root=data/cifar10
_base_ = '../configs/mmpretrain/image-classifier_daga-vits16_linear_8xb128-30e_cifar10.py'
epochs = 2

model = dict(
    backbone=dict(
        arch=dict(_delete_=True, name='dinov3_vits16', patch_size=4, embed_dim=128, depth=6, num_heads=4),
        adapter=dict(
            _delete_=True,
            type='DAGA',
            instruction_dim=48,
            bottleneck_dim=32,  # a third, as the trunk's width is
            guidance=dict(layer=-1),  # as the method was published; the figures in docs were measured with it
        ),
        init_cfg=dict(checkpoint='{{ fileDirname }}/trunk/vit_cifar10.safetensors'),
    ),
    head=dict(in_channels=2 * 128),
)

pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
loading = dict(num_workers=0, persistent_workers=False)  # the images are small: workers would cost more than they save
train_dataloader = dict(dataset=dict(pipeline=pipeline), **loading)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline), **loading)
test_dataloader = val_dataloader

# Two epochs of one process: AdamW gets further than the recipe's SGD, which has thirty.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=2e-3, weight_decay=0.05), paramwise_cfg=dict(adapter_lr_mult=None)
)
param_scheduler = [dict(type='CosineAnnealingLR', eta_min=0.0, begin=0, end=epochs, convert_to_iter_based=True)]
train_cfg = dict(max_epochs=epochs, val_interval=1)
default_hooks = dict(checkpoint=dict(interval=epochs))
auto_scale_lr = dict(base_batch_size=128)
