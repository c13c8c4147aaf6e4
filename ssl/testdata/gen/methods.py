"""Goldens of one method each: losses and gradients of package ssl by PyTorch, to ssl/testdata.

Made with torch 2.15.0; no random numbers: each parameter and buffer is filled from its
state-dict key, the views from the name "input", by internal/golden/golden.py, so the
files hold results only. All in float64, rounded once. The network is resnet8-cifar, the
views are of 16 pictures of 12 x 12; BYOL's target begins as the online network.
Run: python3 ssl/testdata/gen/methods.py

    losses       [3]: of three steps of plain SGD at rate 0.05; BYOL's target follows
                 after each with decay 0.9, 0.8, 0.7
    spread       [1]: std of normalized projections times the root of their number, first step
    grad.digest  [P 10]: L2 norm, sum and first 8 elements of the gradients of the first
                 step, in the order of metadata "params"
    after        [B 10]: the same of every tensor after the third step's forward pass, in
                 the order of metadata "after" (parameters as that pass used them)
"""

import os
import sys

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..", "..")
sys.path[:0] = [os.path.join(ROOT, "internal", "golden"), os.path.join(ROOT, "peers", "torch")]
import golden  # noqa: E402
from ssl_methods import Network  # noqa: E402

OPTIONS = {
    "simsiam": dict(hidden=24, dim=20, predictor=12),
    "byol": dict(hidden=24, dim=20, predictor=12),
    "simclr": dict(hidden=24, dim=20),
    "barlow": dict(hidden=24, dim=20),
    "vicreg": dict(hidden=24, dim=20),
    "rotation": {},
}


@torch.no_grad()
def digest(x):
    x = x.detach().double().reshape(-1)
    head = torch.zeros(8, dtype=torch.float64)
    head[:min(8, len(x))] = x[:8]
    return torch.cat([x.norm()[None], x.sum()[None], head])


def f32(x):
    return np.asarray(x, np.float32)


torch.set_num_threads(1)
for method, options in OPTIONS.items():
    net = Network(method, depth=8, **options)
    for k, v in net.state_dict().items():
        kind = golden.kind_of(k, v.ndim)
        if kind:
            v.copy_(torch.from_numpy(golden.fill(k, v.shape, kind)))
    if method == "simsiam":  # as they are fixed
        plain = net.pretext["projector"][-1]
        plain.weight.data.fill_(1), plain.bias.data.fill_(0)
    if method == "barlow":
        net.pretext["norm"].weight.data.fill_(1), net.pretext["norm"].bias.data.fill_(0)
    net = net.double().train()
    net.start()
    rows = 4 if method == "rotation" else 2
    x = torch.from_numpy(golden.fill("input", (rows * 16, 3, 12, 12), "input")).double()
    trained = {k: p for k, p in net.named_parameters() if p.requires_grad}
    losses, grads = [], None
    for step, tau in enumerate((0.9, 0.8, 0.7)):
        loss = net.loss(x)
        losses.append(loss.item())
        if step == 2:
            after = {k: digest(v) for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
            break
        gs = torch.autograd.grad(loss, list(trained.values()))
        if step == 0:
            grads = torch.stack([digest(g) for g in gs])
            spread = getattr(net, "spread", 0.0)
        with torch.no_grad():
            for p, g in zip(trained.values(), gs):
                p -= 0.05 * g
        net.follow(tau)
    golden.write(os.path.join(HERE, "..", method + ".safetensors"), {
        "losses": f32(losses), "spread": f32([spread]), "grad.digest": f32(grads), "after": f32(torch.stack(list(after.values()))),
    }, {"params": list(trained), "after": list(after), "torch": torch.__version__})
    print(method, losses, spread)
