#!/usr/bin/env python3
"""Simulates training by resnet-mpi on 8 to 256 machines, from the measured time of a step
on one and the sizes of the messages, and prints the table of docs/mpi.md.

What a step is: each machine computes its shard (measured median, with a spread); all
share a small report; each sends slices of its gradients to the others, one after another
in the order of mpi.AllToAll, adds up what it gets, and sends the sums in the same way.
A message takes the latency and its bytes over the bandwidth; it starts when both ends
are there. Nothing is sent during the backward pass; the last column is what that, which
the program does, saves at best: two thirds of the step are backward.
"""
import argparse

import numpy as np

# docs/speed.md, two threads of a Xeon with AVX-512: network, pictures of a machine,
# measured seconds of a step, parameters and running statistics (float32 each).
NETWORKS = [
    ("resnet20-cifar", 128, 0.0857, 0.272e6 + 1.4e3),
    ("resnet18", 16, 0.357, 11.69e6 + 9.6e3),
    ("resnet50", 16, 1.263, 25.56e6 + 53.1e3),
]
# Name, bytes a second that a program gets (0.9 of the line), seconds of a message over
# TCP in one data center.
NETS = [("10 Gbit/s", 0.9 * 10e9 / 8, 40e-6), ("100 Gbit/s", 0.9 * 100e9 / 8, 15e-6)]
ADDING = 5e9  # bytes of gradients that a core adds up in a second


def rounds(at, n, size, bandwidth, latency):
    """The times after mpi.AllToAll of messages of size bytes."""
    rank = np.arange(n)
    for k in range(1, n):
        start = np.maximum(at, np.maximum(at[(rank + k) % n], at[(rank - k) % n]))
        at = start + latency + size / bandwidth
    return at


def step(rng, n, compute, spread, bytes_, bandwidth, latency):
    """Seconds of a step: of the slowest machine's computing, and of all."""
    at = compute * (1 + spread * np.abs(rng.standard_normal(n)))
    computed = at.max()
    at = np.full(n, computed) + np.ceil(np.log2(n)) * latency  # the report
    at = rounds(at, n, bytes_ / n, bandwidth, latency)
    at = at + bytes_ / ADDING
    at = rounds(at, n, bytes_ / n, bandwidth, latency)
    return computed, at.max()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--speed", type=float, default=1, help="how many times faster the machines compute than the measured one")
    p.add_argument("--spread", type=float, default=0.03, help="share by which a step is slower on some machines (half-normal)")
    p.add_argument("--machines", default="8,16,32,64,128,256")
    p.add_argument("--steps", type=int, default=20)
    a = p.parse_args()
    rng = np.random.default_rng(0)
    print("| network, pictures per machine | line | machines | step, s | computing, s | messages, s | efficiency | overlapped at best |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, batch, seconds, params in NETWORKS:
        seconds /= a.speed
        for line, bandwidth, latency in NETS:
            dominated = None
            for n in map(int, a.machines.split(",")):
                runs = np.array([step(rng, n, seconds, a.spread, 4 * params, bandwidth, latency) for _ in range(a.steps)])
                computing, whole = np.median(runs[:, 0]), np.median(runs[:, 1])
                messages = whole - computing
                hidden = computing + max(0.0, messages - 2 / 3 * seconds)
                if dominated is None and messages > computing:
                    dominated = n
                print(f"| {name}, {batch} | {line} | {n} | {whole:.3f} | {computing:.3f} | {messages:.3f} | {seconds / whole:.2f} | {seconds / hidden:.2f} |")
            print(f"| | {line} | | | | messages take longer than computing: {'from %d machines' % dominated if dominated else 'never'} | | |")


if __name__ == "__main__":
    main()
