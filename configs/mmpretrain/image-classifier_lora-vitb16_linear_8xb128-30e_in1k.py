_base_ = './image-classifier_daga-vitb16_linear_8xb128-30e_in1k.py'
model = dict(backbone=dict(adapter='lora'))
