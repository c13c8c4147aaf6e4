#!/usr/bin/python3
"""Train ResNet-20 with PyTorch on cifar10-jpeg.zip: the accuracy our own training is compared with.

Recipe (the same as ours): 40 epochs, batch 128, last partial batch dropped (390
steps an epoch), shuffled each epoch; pad 4 with black and crop 32 at random,
flip with p = 1/2; normalize; SGD, momentum 0.9, Nesterov, weight decay 5e-4 on
convolution and fc weights only; learning rate per step: linear from peak/W to
the peak 0.2 over W = 2 epochs, then cosine to 0 at the last step; mean cross
entropy; He normal (fan out) convolutions, BN eps 1e-5, momentum 0.1.

    train_cifar.py --data ../shared/data/cifar10-jpeg.zip --out /tmp/torch-baseline

Writes OUT/log.jsonl (one line an epoch) and OUT/last.pt (each epoch, atomically);
started again with the same OUT it goes on after the last finished epoch. The
random numbers of an epoch depend on the seed and the epoch only.
"""

import argparse
import io
import json
import math
import os
import resource
import time
import zipfile

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from resnet_cifar import CifarResNet, init_, param_groups

MEAN = torch.tensor((0.4914, 0.4822, 0.4465))
STD = torch.tensor((0.2470, 0.2435, 0.2616))


def load(zip_path, cache):
    """Decode the zip once; return train and test images (N,32,32,3 uint8) and labels."""
    if not os.path.exists(cache):
        out = {}
        with zipfile.ZipFile(zip_path) as z:
            names = sorted(n for n in z.namelist() if n.endswith(".jpg"))
            classes = sorted({n.split("/")[-2] for n in names})
            for split in ("train", "test"):
                part = [n for n in names if f"{split}/" in n]
                x = np.empty((len(part), 32, 32, 3), np.uint8)
                for i, n in enumerate(part):
                    x[i] = np.asarray(Image.open(io.BytesIO(z.read(n))).convert("RGB"))
                out[split + "_x"] = x
                out[split + "_y"] = np.array([classes.index(n.split("/")[-2]) for n in part])
        with open(cache + ".tmp", "wb") as f:
            np.savez(f, **out)
        os.replace(cache + ".tmp", cache)
    d = np.load(cache)
    return [torch.from_numpy(d[k]) for k in ("train_x", "train_y", "test_x", "test_y")]


def prepare(x):
    """uint8 N,H,W,C to normalized float N,C,H,W, channels last in memory."""
    return ((x.float() / 255 - MEAN) / STD).permute(0, 3, 1, 2)


def augment(padded, ids, g):
    """Random 32x32 crops of the padded images, half of them flipped."""
    n = len(ids)
    span = torch.arange(32)
    rows = torch.randint(0, 9, (n, 1), generator=g) + span
    flip = torch.rand((n, 1), generator=g) < 0.5
    cols = torch.randint(0, 9, (n, 1), generator=g) + torch.where(flip, 31 - span, span)
    return padded[ids[:, None, None], rows[:, :, None], cols[:, None, :]]


def lr_at(step, steps, warm, peak):
    if step < warm:
        return peak * (step + 1) / warm
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm + 1) / (steps - warm)))


@torch.no_grad()
def test(model, x, y):
    model.eval()
    loss = right = 0
    for i in range(0, len(x), 500):
        out = model(prepare(x[i:i + 500]))
        loss += F.cross_entropy(out, y[i:i + 500], reduction="sum").item()
        right += (out.argmax(1) == y[i:i + 500]).sum().item()
    return loss / len(x), 100 * right / len(x)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--cache", default="/tmp/cifar10-jpeg.npz")
    p.add_argument("--depth", type=int, default=20)
    p.add_argument("--epochs", type=int, default=40)
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--lr", type=float, default=0.2)
    p.add_argument("--wd", type=float, default=5e-4)
    p.add_argument("--warmup", type=float, default=2, help="epochs")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--max-steps", type=int, default=0, help="stop after so many steps (a check)")
    a = p.parse_args()

    os.makedirs(a.out, exist_ok=True)
    tx, ty, vx, vy = load(a.data, a.cache)
    padded = torch.zeros((len(tx), 40, 40, 3), dtype=torch.uint8)
    padded[:, 4:36, 4:36] = tx
    torch.manual_seed(a.seed)
    model = init_(CifarResNet(a.depth, int(ty.max()) + 1)).to(memory_format=torch.channels_last)
    opt = torch.optim.SGD(param_groups(model, a.wd), lr=a.lr, momentum=0.9, nesterov=True)
    per_epoch = len(tx) // a.batch
    steps, warm = a.epochs * per_epoch, round(a.warmup * per_epoch)

    last, first, spent = os.path.join(a.out, "last.pt"), 0, 0.0
    if os.path.exists(last):
        c = torch.load(last)
        model.load_state_dict(c["model"])
        opt.load_state_dict(c["opt"])
        first, spent = c["epoch"] + 1, c["seconds"]
        print(f"resuming after epoch {first}", flush=True)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {len(tx)} train and {len(vx)} test "
          f"images, {sum(q.numel() for q in model.parameters())} parameters, {steps} steps", flush=True)

    for epoch in range(first, a.epochs):
        g = torch.Generator().manual_seed(a.seed * 1_000_003 + epoch)
        order = torch.randperm(len(tx), generator=g)
        model.train()
        t0 = time.monotonic()
        loss_sum = right = 0.0
        for i in range(per_epoch):
            step = epoch * per_epoch + i
            for group in opt.param_groups:
                group["lr"] = lr_at(step, steps, warm, a.lr)
            ids = order[i * a.batch:(i + 1) * a.batch]
            x, y = prepare(augment(padded, ids, g)), ty[ids]
            out = model(x)
            loss = F.cross_entropy(out, y)
            opt.zero_grad(set_to_none=True)
            loss.backward()
            opt.step()
            loss_sum += loss.item()
            right += (out.argmax(1) == y).sum().item()
            if i % 50 == 0:
                print(f"epoch {epoch + 1} step {i}/{per_epoch} loss {loss.item():.4f} "
                      f"{(i + 1) * a.batch / (time.monotonic() - t0):.0f} images/s", flush=True)
            if a.max_steps and step + 1 >= a.max_steps:
                return
        dt = time.monotonic() - t0
        spent += dt
        if not math.isfinite(loss_sum):
            raise SystemExit(f"the loss is not finite in epoch {epoch + 1}")
        vloss, top1 = test(model, vx, vy)
        row = {
            "epoch": epoch + 1, "train_loss": loss_sum / per_epoch,
            "train_top1": 100 * right / (per_epoch * a.batch), "test_loss": vloss, "test_top1": top1,
            "images_per_s": per_epoch * a.batch / dt, "seconds": spent, "torch": torch.__version__,
            "threads": torch.get_num_threads(), "seed": a.seed,
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        print(json.dumps(row), flush=True)
        with open(os.path.join(a.out, "log.jsonl"), "a") as f:
            f.write(json.dumps(row) + "\n")
        torch.save({"model": model.state_dict(), "opt": opt.state_dict(), "epoch": epoch,
                    "seconds": spent}, last + ".tmp")
        os.replace(last + ".tmp", last)


if __name__ == "__main__":
    main()
