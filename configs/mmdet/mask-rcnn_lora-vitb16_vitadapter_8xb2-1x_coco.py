_base_ = './mask-rcnn_daga-vitb16_vitadapter_8xb2-1x_coco.py'
model = dict(backbone=dict(adapter='lora'))
