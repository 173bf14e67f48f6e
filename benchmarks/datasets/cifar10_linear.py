# CIFAR-10: a linear head on [class token; mean patch]; 300 training and 1,000 test images, at 8 × 8 patches.
_base_ = ['../base.py', '../../configs/_base_/classification.py']
benchmark = dict(
    part='cifar10',
    title='CIFAR-10, linear head',
    score='accuracy/top1',
    unit='%',
    rates_of='camvid_linear',
    deterministic=True,
    methods=('frozen', 'lora', 'adaptformer', 'daga', 'daga_heads', 'daga_late', 'full'),  # in the plan for a CPU
)

trunk = _base_.trunks['{{$TRUNK:vits14_focus}}']
resize = dict(type='Resize', scale=8 * trunk.patch_size, **_base_.bicubic)
model = dict(
    type='ImageClassifier',
    backbone=dict(type='daga_mm.DAGAViT', out_indices=(-1,), out_type='cls_avg', **trunk.backbone),
    head=dict(type='LinearClsHead', in_channels=2 * trunk.embed_dims, num_classes=10),
)
loading = dict(batch_size=16, collate_fn=dict(type='default_collate'), **_base_.workers)
train_dataloader = dict(
    sampler=dict(type='daga_mm.DefaultSampler', shuffle=True),
    dataset=dict(
        indices=[50000 * number // 300 for number in range(300)],  # classes follow each other: as many of each
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='RandomFlip', prob=0.5),
            resize,
            dict(type='PackInputs'),
        ],
        **_base_.cifar10.train,
    ),
    **loading,
)
val_dataloader = dict(
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        indices=range(0, 10000, 10),
        pipeline=[dict(type='LoadImageFromFile'), resize, dict(type='PackInputs')],
        **_base_.cifar10.test,
    ),
    **loading,
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator
