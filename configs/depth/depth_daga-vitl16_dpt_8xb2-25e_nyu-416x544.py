_base_ = './depth_daga-vits16_dpt_8xb2-25e_nyu-416x544.py'
model = dict(backbone=dict(daga_layers=(4, 11, 17, 23), **_base_.vitl16), decode_head=dict(embed_dims=1024))
