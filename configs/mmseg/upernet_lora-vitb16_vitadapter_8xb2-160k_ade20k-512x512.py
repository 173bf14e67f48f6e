_base_ = './upernet_daga-vitb16_vitadapter_8xb2-160k_ade20k-512x512.py'
model = dict(backbone=dict(adapter='lora'))
