# As camvid_linear.py, with ViTAdapterNeck and UperNet, and half as many training images.
_base_ = './camvid_linear.py'
benchmark = dict(part='heads', title='CamVid, UperNet', rates_of=None, methods=('frozen', 'daga', 'lora'), seeds=1)
trunk = _base_.trunks['{{$TRUNK:vits14_focus}}']
model = dict(
    backbone=dict(with_image=True),
    neck=dict(_delete_=True, type='daga_mm.ViTAdapterNeck', embed_dims=trunk.embed_dims, patch_size=trunk.patch_size),
    decode_head=dict(
        _delete_=True,
        type='UPerHead',
        in_channels=[trunk.embed_dims] * 4,
        in_index=[0, 1, 2, 3],
        channels=128,
        norm_cfg=dict(type='BN'),
        num_classes=11,
    ),
)
train_dataloader = dict(dataset=dict(indices=range(0, 367, 4)))
optim_wrapper = dict(optimizer=dict(lr=3e-4))
