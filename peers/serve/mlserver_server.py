"""MLServer with onnxruntime: a custom runtime, and its adaptive batches of what waits.

    python mlserver_server.py MODEL.onnx PORT [THREADS [BATCH]]
"""

import asyncio
import base64
import os
import sys

import numpy as np
from mlserver import MLModel, MLServer
from mlserver.settings import ModelParameters, ModelSettings, Settings
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from prepare import prepare, session


class Classify(MLModel):
    async def load(self):
        self.model = session(self.settings.parameters.uri, int(os.environ["THREADS"]))
        self.input = self.model.get_inputs()[0].name
        return True

    def classify(self, files):
        x = np.concatenate([prepare(base64.b64decode(f)) for f in files])
        return [str(i) for i in self.model.run(None, {self.input: x})[0].argmax(-1)]

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        files = payload.inputs[0].data.root
        classes = await asyncio.get_running_loop().run_in_executor(None, self.classify, files)
        return InferenceResponse(model_name=self.name, outputs=[ResponseOutput(name="class", shape=[len(classes), 1], datatype="BYTES", data=classes)])


async def main():
    path, port = sys.argv[1], int(sys.argv[2])
    os.environ["THREADS"] = sys.argv[3] if len(sys.argv) > 3 else "2"
    batch = int(sys.argv[4]) if len(sys.argv) > 4 else 8
    server = MLServer(Settings(host="127.0.0.1", http_port=port, grpc_port=port + 1, metrics_port=port + 2, parallel_workers=0, debug=False, logging_settings=None))
    await server.start([ModelSettings(name="m", implementation=Classify, max_batch_size=batch, max_batch_time=0.001, parameters=ModelParameters(uri=path))])


if __name__ == "__main__":
    asyncio.run(main())
