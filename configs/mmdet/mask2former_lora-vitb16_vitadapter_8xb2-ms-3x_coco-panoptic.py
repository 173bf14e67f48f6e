_base_ = './mask2former_daga-vitb16_vitadapter_8xb2-ms-3x_coco-panoptic.py'
model = dict(backbone=dict(adapter='lora'))
