"""From process start to the first prediction, with PyTorch: what `resnet
predict --model NAME@FILE PICTURE` does.

    python predict.py NAME FILE.pth PICTURE

Prints the five likeliest class indices, and the times of loading the file and
of the prediction. torch and torchvision of any version.
"""
import sys
import time

start = time.perf_counter()
import torch  # noqa: E402
import torchvision  # noqa: E402
from PIL import Image  # noqa: E402
from torchvision import transforms  # noqa: E402

name, file, picture = sys.argv[1:]
imported = time.perf_counter()
model = getattr(torchvision.models, name)()
model.load_state_dict(torch.load(file, weights_only=True, mmap=True))
model.eval()
loaded = time.perf_counter()
prepare = transforms.Compose([
    transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
    transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
with torch.inference_mode():
    top = model(prepare(Image.open(picture).convert("RGB"))[None])[0].topk(5)
done = time.perf_counter()
print(top.indices.tolist())
print(f"import {imported - start:.3f} s, load {loaded - imported:.3f} s, predict {done - loaded:.3f} s", file=sys.stderr)
