# For a trunk that is too big for one GPU: weights, gradients and the optimiser's states split over all processes.
# docs/scale.md says when that pays. On the command line: --cfg-options strategy.type=daga_mm.ShardedStrategy
runner_type = 'daga_mm.ShardedRunner'
strategy = dict(type='daga_mm.ShardedStrategy')
