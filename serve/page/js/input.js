// Pictures in: dropped, pasted, chosen, photographed.
import { at } from "./dom.js";

// wireInput calls add with the files that the user gives, and trouble with what is wrong.
export function wireInput(add, trouble) {
  const give = (files) => {
    const good = files.filter((f) => f.type === "" || f.type.startsWith("image/"));
    const bad = files.filter((f) => !good.includes(f));
    if (bad.length > 0) {
      trouble(bad.length === 1 ? `${bad[0].name} is not a picture.` : `${bad.length} of the files are not pictures, such as ${bad[0].name}.`);
    } else {
      trouble("");
    }
    if (good.length > 0) {
      add(good);
    }
  };

  const files = at("files"), capture = at("capture");
  at("choose").addEventListener("click", () => files.click());
  for (const input of [files, capture]) {
    input.addEventListener("change", () => {
      give([...input.files]);
      input.value = ""; // so that the same file can be chosen again
    });
  }

  let depth = 0; // of elements that the pointer has entered
  const over = (n) => {
    depth = Math.max(n, 0);
    document.body.classList.toggle("over", depth > 0);
  };
  addEventListener("dragenter", (e) => { e.preventDefault(); over(depth + 1); });
  addEventListener("dragleave", () => over(depth - 1));
  addEventListener("dragover", (e) => e.preventDefault());
  addEventListener("drop", (e) => {
    e.preventDefault();
    over(0);
    const dropped = [...e.dataTransfer.files];
    if (dropped.length === 0) {
      trouble("That was no file. Save the picture first, or copy it and paste it here.");
      return;
    }
    give(dropped);
  });
  addEventListener("paste", (e) => {
    if (e.target instanceof HTMLInputElement) {
      return;
    }
    const pasted = [...(e.clipboardData?.files ?? [])];
    if (pasted.length === 0) {
      trouble("The clipboard has no picture.");
      return;
    }
    e.preventDefault();
    give(pasted);
  });
  wireCamera(capture, give, trouble);
}

// wireCamera takes photos: phones by their camera's program, others by a view of the
// camera in the page, which needs https or this machine.
function wireCamera(capture, give, trouble) {
  const dialog = at("camera-dialog"), video = at("video");
  let stream = null, shots = 0;
  const stop = () => {
    stream?.getTracks().forEach((t) => t.stop());
    stream = null;
    video.srcObject = null;
  };
  dialog.addEventListener("close", stop);
  at("camera-cancel").addEventListener("click", () => dialog.close());
  at("photograph").addEventListener("click", async () => {
    if (matchMedia("(pointer: coarse)").matches || !navigator.mediaDevices?.getUserMedia) {
      capture.click();
      return;
    }
    dialog.showModal();
    at("shoot").disabled = true;
    try {
      const opened = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } } });
      if (!dialog.open) { // it was closed meanwhile
        opened.getTracks().forEach((t) => t.stop());
        return;
      }
      stream = opened;
      video.srcObject = stream;
      await video.play();
      at("shoot").disabled = false;
      at("shoot").focus();
    } catch (e) {
      dialog.close();
      trouble({ NotAllowedError: "The browser does not let this page use the camera.", NotFoundError: "There is no camera." }[e.name] ?? `The camera cannot be used: ${e.message}`);
    }
  });
  at("shoot").addEventListener("click", () => {
    const c = new OffscreenCanvas(video.videoWidth, video.videoHeight);
    c.getContext("2d").drawImage(video, 0, 0);
    dialog.close();
    c.convertToBlob({ type: "image/jpeg", quality: 0.92 })
      .then((blob) => give([new File([blob], `photo ${++shots}.jpg`, { type: "image/jpeg" })]))
      .catch((e) => trouble(`The photo cannot be used: ${e.message}`));
  });
}
