_base_ = './mask-rcnn_daga-vits16_vitadapter_8xb2-1x_coco.py'
model = dict(
    backbone=_base_.vitl16,
    neck=[
        dict(type='daga_mm.ViTAdapterNeck', embed_dims=1024, drop_path_rate=0.4),
        dict(type='FPN', in_channels=[1024, 1024, 1024, 1024], out_channels=256, num_outs=5),
    ],
)
