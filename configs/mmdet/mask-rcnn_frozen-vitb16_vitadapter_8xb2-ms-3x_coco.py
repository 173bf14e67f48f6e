_base_ = './mask-rcnn_daga-vitb16_vitadapter_8xb2-ms-3x_coco.py'
model = dict(backbone=dict(adapter=None))
