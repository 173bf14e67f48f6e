# k-NN on CIFAR-10 with the same trunk, and with the DAGA of a checkpoint of cifar10_classifier.py.
#   export CIFAR10_ROOT=data/cifar10
#   python tools/test.py demo/cifar10_knn.py none --adapter none
#   python tools/test.py demo/cifar10_knn.py work_dirs/cifar10_classifier/epoch_2.pth
_base_ = '../configs/mmpretrain/knn_cifar10.py'
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, name='dinov3_vits16', patch_size=4, embed_dim=128, depth=6, num_heads=4),
        adapter=dict(
            _delete_=True,
            type='DAGA',
            instruction_dim=48,
            bottleneck_dim=32,
            guidance=dict(layer=-1),  # as the method was published; the figures in docs were measured with it
        ),
        init_cfg=dict(checkpoint='{{ fileDirname }}/trunk/vit_cifar10.safetensors'),
    )
)
pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
loading = dict(num_workers=0, persistent_workers=False)
test_dataloader = dict(dataset=dict(pipeline=pipeline), **loading)
test_cfg = dict(train_dataloader=dict(dataset=dict(pipeline=pipeline), **loading))
