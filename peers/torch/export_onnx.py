#!/usr/bin/python3
"""Write a model of peer_models.py as ONNX, for a fixed batch: export_onnx.py MODEL BATCH SIZE OUT

SIZE 0 is the model's own. The graph is in inference mode with batch norm folded
by PyTorch's exporter; random weights, which do not matter for speed."""

import sys

import torch

from peer_models import build


def main():
    name, batch, size, out = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    model, own = build(name)
    x = torch.zeros(batch, 3, size or own, size or own)
    torch.onnx.export(model.eval(), x, out, opset_version=13, input_names=["input"], output_names=["logits"])


if __name__ == "__main__":
    main()
