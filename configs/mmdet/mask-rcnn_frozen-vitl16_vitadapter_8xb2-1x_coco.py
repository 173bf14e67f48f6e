_base_ = './mask-rcnn_daga-vitl16_vitadapter_8xb2-1x_coco.py'
model = dict(backbone=dict(daga_layers=()))
