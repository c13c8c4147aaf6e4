"""Quantizes a model of 3x32x32 pictures to QDQ form, on random pictures.

    python quantize.py MODEL.onnx OUT.onnx

onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6.
"""
import sys

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

src, dst = sys.argv[1:]
rng = np.random.default_rng(0)


class Random(CalibrationDataReader):
    def __init__(self):
        self.batches = iter([{"input": rng.standard_normal((2, 3, 32, 32)).astype(np.float32)} for _ in range(4)])

    def get_next(self):
        return next(self.batches, None)


quantize_static(src, dst, Random(), quant_format=QuantFormat.QDQ, per_channel=True,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
