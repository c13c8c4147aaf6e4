#!/usr/bin/python3
"""Milliseconds of a training step without labels, ours against PyTorch, in alternation.

    go build -o /tmp/ssl-ours ./peers/ssl
    python3 peers/ssl_steps.py --ours /tmp/ssl-ours --python /path/to/python --threads 2

Each pair of processes is started once and asks for a few steps in turn, so that a machine
whose speed drifts does both the same. A line for each configuration has the medians and
their ratio, ours by PyTorch's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


class Peer:
    def __init__(self, cmd):
        self.p = subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if not json.loads(self.p.stdout.readline() or "{}").get("ready"):
            sys.exit("it does not start: " + " ".join(cmd))

    def steps(self, n):
        self.p.stdin.write(json.dumps({"steps": n}) + "\n")
        self.p.stdin.flush()
        return json.loads(self.p.stdout.readline())["ms"]

    def close(self):
        self.p.stdin.close()
        self.p.wait()


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--ours", required=True)
    a.add_argument("--python", default=sys.executable)
    a.add_argument("--threads", type=int, default=1)
    a.add_argument("--rounds", type=int, default=5)
    a.add_argument("--steps", type=int, default=3)
    a.add_argument("--methods", default="simsiam,simclr")
    a.add_argument("--networks", default="resnet20-cifar:128,resnet18:64", help="NAME:BATCH, several by commas")
    o = a.parse_args()
    for network in o.networks.split(","):
        model, batch = network.split(":")
        for method in o.methods.split(","):
            flags = ["--model", model, "--method", method, "--batch", batch, "--threads", str(o.threads)]
            peers = [Peer([o.ours, *flags]), Peer([o.python, os.path.join(HERE, "torch", "bench_ssl.py"), *flags])]
            ms = ([], [])
            for _ in range(o.rounds):
                for list_, p in zip(ms, peers):
                    list_.extend(p.steps(o.steps))
            for p in peers:
                p.close()
            ours, torch = (statistics.median(m) for m in ms)
            print(json.dumps(dict(model=model, method=method, batch=int(batch), threads=o.threads, ours_ms=round(ours, 1),
                                  torch_ms=round(torch, 1), ratio=round(ours / torch, 3))), flush=True)


if __name__ == "__main__":
    main()
