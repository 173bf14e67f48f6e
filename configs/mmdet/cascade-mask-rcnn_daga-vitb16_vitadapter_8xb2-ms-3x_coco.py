_base_ = ['../_base_/coco_ms-3x.py', 'mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py']
model = dict(
    backbone=dict(_delete_=True, type='daga_mm.DAGAViT', with_image=True, **_base_.vitb16),
    neck=[
        dict(type='daga_mm.ViTAdapterNeck', embed_dims=768, drop_path_rate=0.3),
        dict(type='FPN', in_channels=[768, 768, 768, 768], out_channels=256, num_outs=5),
    ],
)
