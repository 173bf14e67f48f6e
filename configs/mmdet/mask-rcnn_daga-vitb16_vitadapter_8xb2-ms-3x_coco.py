_base_ = './mask-rcnn_daga-vits16_vitadapter_8xb2-ms-3x_coco.py'
model = dict(
    backbone=_base_.vitb16,
    neck=[
        dict(type='daga_mm.ViTAdapterNeck', embed_dims=768, drop_path_rate=0.3),
        dict(type='FPN', in_channels=[768, 768, 768, 768], out_channels=256, num_outs=5),
    ],
)
