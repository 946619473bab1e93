"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const frames = data.frames, classes = data.classes;
  if (!frames.length) return;
  const panes = [...document.querySelectorAll("[data-picture]")], buttons = [...document.querySelectorAll("[data-go]")];
  let at = 0, pixels = {};

  // --- the pictures of one frame -------------------------------------------------------------------------------
  function show(index) {
    at = Math.min(frames.length - 1, Math.max(0, index));
    const frame = frames[at];
    for (const pane of panes) pane.querySelector("img:last-of-type").src = frame.uris[pane.dataset.picture];
    document.querySelector("img.under").src = frame.uris.image;
    const words = $("where");
    words.textContent = "";
    const name = document.createElement("b");
    name.textContent = frame.name;
    words.append(name, ` · mIoU ${frame.miou.toFixed(3)} · ${(100 * frame.accuracy).toFixed(1)} % of its pixels are right`);
    buttons.forEach((b, i) => b.setAttribute("aria-pressed", String(i === at)));
    pixels = {};
    document.body.dataset.frame = frame.name;
  }
  buttons.forEach((b, i) => b.addEventListener("click", () => show(i)));
  $("mix").addEventListener("input", (e) => { document.querySelector(".mixed").style.opacity = e.target.value / 100; });
  const keys = {
    ArrowRight: () => show(at + 1), ArrowLeft: () => show(at - 1),
    o: () => { $("mix").value = Number($("mix").value) > 50 ? 0 : 100; $("mix").dispatchEvent(new Event("input")); },
  };
  addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || !(e.key in keys) || (e.target.id === "mix" && e.key.startsWith("Arrow"))) return;
    e.preventDefault();
    keys[e.key]();
  });

  // --- what lies under the pointer ------------------------------------------------------------------------------
  const byColor = new Map(classes.map((c) => [c.color.join(), c]));
  function read(name) {
    const image = document.querySelector(`[data-picture="${name}"] img:last-of-type`);
    if (!pixels[name] && image.complete && image.naturalWidth) {
      const canvas = document.createElement("canvas");
      canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      pixels[name] = context.getImageData(0, 0, canvas.width, canvas.height);
    }
    return pixels[name];
  }
  function pixel(name, x, y) {
    const image = read(name);
    if (!image) return null;
    const i = 4 * (Math.min(image.height - 1, Math.floor(y * image.height)) * image.width + Math.min(image.width - 1, Math.floor(x * image.width)));
    return [...image.data.slice(i, i + 3)];
  }
  function label(rgb) {
    const found = rgb && byColor.get(rgb.join()), word = document.createElement("b");
    word.textContent = found ? found.name : "unlabelled";
    if (!found) return [word];
    const chip = document.createElement("span");
    chip.className = "chip";
    chip.style.background = `rgb(${found.color})`;
    return [chip, word];
  }
  const say = $("say"), silence = say.textContent;
  for (const pane of panes) {
    pane.addEventListener("pointermove", (e) => {
      const box = pane.getBoundingClientRect(), x = (e.clientX - box.left) / box.width, y = (e.clientY - box.top) / box.height;
      document.querySelectorAll(".cross").forEach((c) => { c.style.display = "block"; c.style.left = 100 * x + "%"; c.style.top = 100 * y + "%"; });
      const sure = pixel("confidence", x, y);
      say.replaceChildren("true ", ...label(pixel("truth", x, y)), " · predicted ", ...label(pixel("prediction", x, y)),
        sure ? ` · confidence ${Math.round(sure[0] / 2.55)} %` : "");
    });
    pane.addEventListener("pointerleave", () => {
      document.querySelectorAll(".cross").forEach((c) => { c.style.display = "none"; });
      say.textContent = silence;
    });
  }
  show(0);
})();
