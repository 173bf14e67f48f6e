_base_ = './mask2former_daga-vitb16_vitadapter_8xb2-160k_ade20k-640x640.py'
model = dict(backbone=dict(adapter='lora'))
