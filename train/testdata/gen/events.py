"""Writes ../events.hex: events as the tensorboard package encodes and frames them.

Made with tensorboard 2.21.0. Nothing in it is random.
"""

import io
import os

from tensorboard.compat.proto import event_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

out = io.BytesIO()
w = RecordWriter(out)
E = event_pb2.Event

e = E(wall_time=1.5, file_version="brain.Event:2")
w.write(e.SerializeToString())

e = E(wall_time=2.25, step=300)
e.session_log.status = event_pb2.SessionLog.START
w.write(e.SerializeToString())

e = E(wall_time=3.125, step=300)
e.summary.value.add(tag="loss/train", simple_value=0.1)
e.summary.value.add(tag="lr", simple_value=1e-5)
w.write(e.SerializeToString())

e = E(wall_time=4, step=1 << 40)
e.summary.value.add(tag="top1/val", simple_value=float("inf"))
w.write(e.SerializeToString())
w.flush()

text = out.getvalue().hex()
with open(os.path.join(os.path.dirname(__file__), "..", "events.hex"), "w") as f:
    for i in range(0, len(text), 96):
        f.write(text[i : i + 96] + "\n")
