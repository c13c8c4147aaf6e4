"""The time of a training step of PyTorch's DistributedDataParallel with gloo, for the
comparison with resnet-mpi (docs/mpi.md). Each rank has an equal part of the batch:

    OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 peers/torch/bench_ddp.py resnet18 16
"""
import os
import statistics
import sys
import time

import torch
import torch.distributed as dist

from peer_models import build

name, batch, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 12
ranks = int(os.environ.get("WORLD_SIZE", "1"))
threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
torch.set_num_threads(threads)
torch.manual_seed(0)
net = build(name).to(memory_format=torch.channels_last).train()
size, classes = (32, 10) if "cifar" in name else (224, 1000)
if ranks > 1:
    dist.init_process_group("gloo")
    net = torch.nn.parallel.DistributedDataParallel(net)
opt = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
n = batch // ranks
x = torch.randn(n, 3, size, size).to(memory_format=torch.channels_last)
y = torch.arange(n) % classes
times = []
for step in range(steps + 3):
    began = time.perf_counter()
    opt.zero_grad(set_to_none=True)
    torch.nn.functional.cross_entropy(net(x), y).backward()
    opt.step()
    if step >= 3:
        times.append(time.perf_counter() - began)
if int(os.environ.get("RANK", "0")) == 0:
    ms = 1000 * statistics.median(times)
    print(f"torch {torch.__version__} {name} batch {batch}, {ranks} ranks of {threads} threads: {ms:.1f} ms, {1000 * batch / ms:.1f} pictures/s", flush=True)
if ranks > 1:
    dist.destroy_process_group()
