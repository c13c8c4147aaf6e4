"""The server of few lines that many teams write: FastAPI, Pillow and onnxruntime.

    python fastapi_server.py MODEL.onnx PORT [THREADS]
"""

import io
import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, Request
from PIL import Image

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def prepare(file):
    """torchvision's preparation for ImageNet: resize the shorter side to 256, crop 224."""
    im = Image.open(io.BytesIO(file)).convert("RGB")
    w, h = im.size
    s = 256 / min(w, h)
    im = im.resize((round(w * s) if w > h else 256, round(h * s) if h >= w else 256), Image.BILINEAR)
    x, y = (im.width - 224) // 2, (im.height - 224) // 2
    return ((np.asarray(im.crop((x, y, x + 224, y + 224)), np.float32) / 255 - MEAN) / STD).transpose(2, 0, 1)[None]


def session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    model = session(sys.argv[1], int(sys.argv[3]) if len(sys.argv) > 3 else 2)
    name = model.get_inputs()[0].name
    app = FastAPI()

    def classify(file):
        return int(model.run(None, {name: prepare(file)})[0].argmax())

    @app.post("/classify")
    async def handle(request: Request):
        from starlette.concurrency import run_in_threadpool

        return {"class": str(await run_in_threadpool(classify, await request.body()))}

    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
