"""The server of few lines that many teams write: FastAPI, Pillow and onnxruntime.

    python fastapi_server.py MODEL.onnx PORT [THREADS]
"""

import sys

import uvicorn
from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool

from prepare import prepare, session

if __name__ == "__main__":
    model = session(sys.argv[1], int(sys.argv[3]) if len(sys.argv) > 3 else 2)
    name = model.get_inputs()[0].name
    app = FastAPI()

    def classify(file):
        return int(model.run(None, {name: prepare(file)})[0].argmax())

    @app.post("/classify")
    async def handle(request: Request):
        return {"class": str(await run_in_threadpool(classify, await request.body()))}

    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
