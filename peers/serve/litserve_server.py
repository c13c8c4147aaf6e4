"""LitServe with onnxruntime, batching what waits.

    python litserve_server.py MODEL.onnx PORT [THREADS [BATCH]]
"""

import base64
import sys

import litserve
import numpy as np

from prepare import prepare, session


class Classify(litserve.LitAPI):
    def __init__(self, path, threads, **options):
        super().__init__(**options)
        self.path, self.threads = path, threads

    def setup(self, device):
        self.model = session(self.path, self.threads)
        self.input = self.model.get_inputs()[0].name

    def decode_request(self, request):  # LitServe takes JSON and forms, no bodies of bytes
        return prepare(base64.b64decode(request["image"]))

    def batch(self, inputs):
        return np.concatenate(inputs)

    def predict(self, x):
        return self.model.run(None, {self.input: x})[0].argmax(-1)

    def unbatch(self, output):
        return list(output)

    def encode_response(self, output):
        return {"class": str(int(output))}


if __name__ == "__main__":
    api = Classify(sys.argv[1], int(sys.argv[3]) if len(sys.argv) > 3 else 2, max_batch_size=int(sys.argv[4]) if len(sys.argv) > 4 else 8, batch_timeout=0.001, api_path="/classify")
    litserve.LitServer(api, accelerator="cpu", workers_per_device=1, track_requests=False).run(host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", generate_client_file=False)
