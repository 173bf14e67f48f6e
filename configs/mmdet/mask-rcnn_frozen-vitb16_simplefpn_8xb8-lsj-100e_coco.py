_base_ = './mask-rcnn_daga-vitb16_simplefpn_8xb8-lsj-100e_coco.py'
model = dict(backbone=dict(adapter=None))
