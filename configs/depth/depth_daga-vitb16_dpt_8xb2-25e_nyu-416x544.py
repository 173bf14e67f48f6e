_base_ = './depth_daga-vits16_dpt_8xb2-25e_nyu-416x544.py'
model = dict(backbone=_base_.vitb16, decode_head=dict(embed_dims=768))
