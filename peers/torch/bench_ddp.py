"""The time of a training step of PyTorch's DistributedDataParallel with gloo, for the
comparison with resnet-mpi (docs/mpi.md). Each rank has an equal part of the batch:

    OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 peers/torch/bench_ddp.py resnet18 32 112

The arguments are a network, the pictures of a batch, their size, and steps to measure.
"""
import os
import statistics
import sys
import time

import torch
import torch.distributed as dist

from peer_models import build

name, batch, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
steps = int(sys.argv[4]) if len(sys.argv) > 4 else 20
ranks, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
torch.set_num_threads(threads)
net, _ = build(name)
net = net.to(memory_format=torch.channels_last).train()
if ranks > 1:
    dist.init_process_group("gloo")
    net = torch.nn.parallel.DistributedDataParallel(net)
opt = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
n = batch // ranks
x = torch.randn(n, 3, size, size).to(memory_format=torch.channels_last)
y = torch.arange(n) % 10
times = []
for step in range(steps + 3):
    began = time.perf_counter()
    opt.zero_grad(set_to_none=True)
    torch.nn.functional.cross_entropy(net(x), y).backward()
    opt.step()
    if step >= 3:
        times.append(time.perf_counter() - began)
if rank == 0:
    print(f"torch {torch.__version__} {name} batch {batch} of {size} pixels, {ranks} ranks of {threads} threads: {1000 * statistics.median(times):.1f} ms", flush=True)
if ranks > 1:
    dist.destroy_process_group()
