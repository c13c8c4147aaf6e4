#!/usr/bin/python3
"""Training steps without labels in PyTorch, for comparison only; ../protocol.py tells how
to drive it: forward of all views, the method's loss, backward, SGD with momentum, on
fixed views. --method is simsiam, byol, simclr, barlow, vicreg or rotation; --model
resnet20-cifar, or resnet18 with CIFAR's stem.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import protocol  # noqa: E402


def main():
    p = protocol.flags(("train",))
    p.add_argument("--method", default="simsiam")
    p.set_defaults(mode="train")
    args = p.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # before torch reads it
    import torch
    import ssl_methods
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    if args.model not in ("resnet20-cifar", "resnet18"):
        raise SystemExit(f"{args.model} is not resnet20-cifar or resnet18")
    net = ssl_methods.Network(args.method, 18 if args.model == "resnet18" else 20).train().to(memory_format=torch.channels_last)
    net.start()
    rows = 4 if args.method == "rotation" else 2
    x = torch.randn(rows * args.batch, 3, 32, 32).to(memory_format=torch.channels_last)
    opt = torch.optim.SGD([q for q in net.parameters() if q.requires_grad], lr=1e-3, momentum=0.9, weight_decay=5e-4)

    def step():
        opt.zero_grad(set_to_none=True)
        net.loss(x).backward()
        opt.step()
        net.follow(0.99)

    protocol.serve(args, {"peer": "torch", "version": torch.__version__.split("+")[0], "method": args.method}, step)


if __name__ == "__main__":
    main()
