"""NVIDIA's Triton as nvidia-pytriton ships it, with its Python backend, Pillow and onnxruntime.

    python pytriton_server.py MODEL.onnx PORT [THREADS [BATCH]]

PORT + 1 and PORT + 2 are Triton's ports for gRPC and metrics. A picture is the input "image" of
type BYTES, the class the output "class".

nvidia-pytriton 0.7.0 fails to load the model with Python 3.11.5 and later ('_thread.RLock'
object has no attribute '_recursion_count'); Debian 12's Python 3.11.2 works.
"""

import sys

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from prepare import prepare, session

if __name__ == "__main__":
    path, port = sys.argv[1], int(sys.argv[2])
    threads, most = int(sys.argv[3]) if len(sys.argv) > 3 else 2, int(sys.argv[4]) if len(sys.argv) > 4 else 8
    model = session(path, threads)
    name = model.get_inputs()[0].name

    @batch
    def infer(image):
        x = np.concatenate([prepare(row[0]) for row in image])
        classes = model.run(None, {name: x})[0].argmax(-1)
        return {"class": np.char.encode(classes.astype(str), "utf-8")[:, None]}

    with Triton(config=TritonConfig(http_address="127.0.0.1", http_port=port, grpc_address="127.0.0.1", grpc_port=port + 1, metrics_port=port + 2, log_verbose=0)) as triton:
        triton.bind(
            model_name="m", infer_func=infer, inputs=[Tensor(name="image", dtype=bytes, shape=(1,))], outputs=[Tensor(name="class", dtype=bytes, shape=(1,))],
            config=ModelConfig(batching=most > 1, max_batch_size=most, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
        )
        triton.serve()
