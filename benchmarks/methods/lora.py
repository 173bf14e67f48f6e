# LoRA on the attention of every block.
model = dict(backbone=dict(adapter=dict(type='LoRA', rank=21, targets=('qkv', 'proj'))))
seeds = 3
