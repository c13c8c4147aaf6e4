"""Writes ../lookahead.json: SGD with Lookahead and a rate of their own for the
biases of batch norm; ../eigen.json: numpy's eigenvectors.

Made with PyTorch 2.15, seed 2.
"""

import json
import os

import numpy as np
import torch
from torch import nn

torch.set_num_threads(1)
torch.manual_seed(2)
HERE = os.path.dirname(os.path.abspath(__file__))
STEPS, N, EVERY, SCALE = 7, 6, 2, 16


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        self.bn = nn.BatchNorm2d(3)
        self.fc = nn.Linear(3, 4)

    def forward(self, x):
        return self.fc(torch.relu(self.bn(self.conv(x))).mean((2, 3)))


def flat(t):
    return [float(v) for v in t.detach().reshape(-1)]


def floats(net):
    return {k: v for k, v in net.state_dict().items() if v.dtype.is_floating_point}


def save(name, what):
    with open(os.path.join(HERE, "..", name), "w") as f:
        json.dump(what, f, separators=(",", ":"))


net = Net()
start = {k: flat(v) for k, v in floats(net).items()}
xs, labels = torch.randn(STEPS, N, 2, 5, 5), torch.randint(0, 4, (STEPS, N))
weights = [p for p in net.parameters() if p.ndim > 1]
biases = [net.conv.bias, net.bn.weight, net.fc.bias]
opt = torch.optim.SGD([
    {"params": weights, "weight_decay": 0.05}, {"params": biases}, {"params": [net.bn.bias], "scale": SCALE},
], lr=0.1, momentum=0.9, nesterov=True)
slow = {k: v.clone() for k, v in floats(net).items()}
losses, decays, lrs = [], [], [0.02, 0.05, 0.04, 0.03, 0.02, 0.02, 0.01]
for t in range(STEPS):
    for g in opt.param_groups:
        g["lr"] = lrs[t] * g.get("scale", 1)
    loss = nn.functional.cross_entropy(net(xs[t]), labels[t], label_smoothing=0.1)
    opt.zero_grad()
    loss.backward()
    losses.append(loss.item())
    opt.step()
    decay = 1.0
    if (t + 1) % EVERY == 0:  # k steps forward, one step back
        decay = 0.7 * ((t + 1) / STEPS) ** 3
        with torch.no_grad():
            for k, v in floats(net).items():
                slow[k].lerp_(v, 1 - decay)
                v.copy_(slow[k])
    decays.append(decay)
state = {k: flat(v) for k, v in floats(net).items()}
state.update({"ema." + k: flat(v) for k, v in slow.items()})
save("lookahead.json", {
    "start": start, "x": [flat(x.permute(0, 2, 3, 1)) for x in xs], "labels": labels.tolist(), "lrs": lrs, "decays": decays,
    "scale": SCALE, "losses": losses, "state": state,
})

a = np.random.default_rng(3).standard_normal((40, 12)) @ np.diag(np.linspace(0.01, 3, 12))
m = a.T @ a / 40
values, vectors = np.linalg.eigh(m)
save("eigen.json", {"matrix": m.reshape(-1).tolist(), "values": values[::-1].tolist(), "vectors": vectors.T[::-1].tolist()})
