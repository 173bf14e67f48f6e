# As nyu_linear.py, with DPT.
_base_ = './nyu_linear.py'
benchmark = dict(part='heads', title='NYUv2 depth, DPT', rates_of=None, methods=('frozen', 'daga', 'lora'), seeds=1)
model = dict(
    decode_head=dict(
        _delete_=True,
        type='daga_mm.DPTDepthHead',
        embed_dims=_base_.trunk.dims,
        channels=64,
        patch_size=_base_.trunk.patch,
        loss_decode=dict(type='daga_mm.SigLogLoss'),
    )
)
optim_wrapper = dict(optimizer=dict(lr=3e-4))
