"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const frames = data.frames, classes = data.classes, total = data.rows.length;
  let at = 0, timer = null;

  // --- the pictures of one frame -------------------------------------------------------------------------------
  const panes = [...document.querySelectorAll("[data-picture]")];
  const pixels = { prediction: null, truth: null, confidence: null };
  const percent = (v) => (v === null || v === undefined ? "–" : (100 * v).toFixed(1) + " %");

  function show(index) {
    at = Math.min(frames.length - 1, Math.max(0, index));
    const frame = frames[at];
    for (const pane of panes) {
      const uri = frame.uris[pane.dataset.picture];
      pane.classList.toggle("empty", !uri);
      if (pane.dataset.picture.endsWith("costmap")) pane.dataset.empty = frame.reason || "no costmap for this frame";
      const image = pane.querySelector("img:last-of-type");
      if (uri) image.src = uri; else image.removeAttribute("src");
    }
    for (const under of document.querySelectorAll("img.under")) under.src = frame.uris.image;
    $("scrub").value = at;
    $("scrub").setAttribute("aria-valuetext", `frame ${frame.index}, ${frame.time.toFixed(2)} seconds`);
    $("where").innerHTML = `Frame <b>${frame.index}</b> · ${frame.time.toFixed(2)} s` +
      (frame.miou === null ? "" : ` · mIoU <b>${frame.miou.toFixed(3)}</b>`) + ` · ${frame.latency.toFixed(1)} ms`;
    place();
    for (const name in pixels) pixels[name] = null;
    document.body.dataset.frame = frame.index;
  }

  // --- the timeline: every frame of the drive, with the cursor at the one that is shown --------------------------
  const tracks = $("tracks"), cursor = $("cursor");
  const plot = () => tracks.querySelector("svg").getBoundingClientRect();
  function place() {
    const box = plot(), left = box.left - tracks.getBoundingClientRect().left;
    const row = frames[at].row;
    cursor.style.left = left + (total > 1 ? row / (total - 1) : 0.5) * box.width + "px";
  }
  function seek(event) {
    const box = plot(), row = ((event.clientX - box.left) / box.width) * (total - 1);
    let best = 0;
    frames.forEach((f, i) => { if (Math.abs(f.row - row) < Math.abs(frames[best].row - row)) best = i; });
    show(best);
  }
  tracks.addEventListener("pointerdown", (e) => { tracks.setPointerCapture(e.pointerId); seek(e); });
  tracks.addEventListener("pointermove", (e) => { if (e.buttons) seek(e); });
  addEventListener("resize", place);

  function play(on) {
    clearInterval(timer);
    timer = on ? setInterval(() => show(at + 1 < frames.length ? at + 1 : 0), 140) : null;
    $("play").textContent = on ? "❚❚ Pause" : "▶ Play";
    $("play").setAttribute("aria-pressed", String(on));
  }
  $("play").addEventListener("click", () => play(timer === null));
  $("scrub").max = frames.length - 1;
  $("scrub").addEventListener("input", (e) => show(Number(e.target.value)));
  $("mix").addEventListener("input", (e) => {
    document.querySelectorAll(".mixed").forEach((i) => { i.style.opacity = e.target.value / 100; });
  });
  for (const button of document.querySelectorAll("[data-go]")) {
    button.addEventListener("click", () => {
      show(frames.findIndex((f) => f.index === Number(button.dataset.go)));
      $("frames").scrollIntoView({ behavior: "smooth" });
    });
  }
  const keys = {
    ArrowRight: () => show(at + 1), ArrowLeft: () => show(at - 1), PageDown: () => show(at + 10), PageUp: () => show(at - 10),
    Home: () => show(0), End: () => show(frames.length - 1), " ": () => play(timer === null),
    o: () => { $("mix").value = Number($("mix").value) > 50 ? 0 : 100; $("mix").dispatchEvent(new Event("input")); },
  };
  addEventListener("keydown", (e) => {
    const own = e.target.closest("button, select, summary, input");
    if (e.ctrlKey || e.metaKey || e.altKey || !(e.key in keys) || (own && own.id !== "scrub" && e.key === " ")) return;
    if (own && own.id === "mix" && e.key.startsWith("Arrow")) return;
    e.preventDefault();
    keys[e.key]();
  });

  // --- what lies under the pointer ------------------------------------------------------------------------------
  function read(name) {
    if (pixels[name]) return pixels[name];
    const image = document.querySelector(`[data-picture="${name}"] img:last-of-type`);
    if (!image || !image.src || !image.complete || !image.naturalWidth) return null;
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    pixels[name] = context.getImageData(0, 0, canvas.width, canvas.height);
    return pixels[name];
  }
  const byColor = new Map(classes.map((c) => [c.color.join(), c]));
  function pixel(name, x, y) {
    const image = read(name);
    if (!image) return null;
    const i = 4 * (Math.min(image.height - 1, Math.floor(y * image.height)) * image.width + Math.min(image.width - 1, Math.floor(x * image.width)));
    return [...image.data.slice(i, i + 3)];
  }
  const label = (rgb) => {
    const found = rgb && byColor.get(rgb.join());
    return found ? `<span class="chip" style="background:rgb(${found.color})"></span><b>${found.name}</b>` : "unlabelled";
  };
  const say = $("say"), silence = say.innerHTML;
  for (const pane of document.querySelectorAll(".camera .pane")) {
    pane.addEventListener("pointermove", (e) => {
      const box = pane.getBoundingClientRect(), x = (e.clientX - box.left) / box.width, y = (e.clientY - box.top) / box.height;
      document.querySelectorAll(".cross").forEach((c) => { c.style.display = "block"; c.style.left = 100 * x + "%"; c.style.top = 100 * y + "%"; });
      const predicted = pixel("prediction", x, y), truth = pixel("truth", x, y), sure = pixel("confidence", x, y);
      say.innerHTML = (predicted ? `predicted ${label(predicted)}` : "") + (truth ? ` · true ${label(truth)}` : "") +
        (sure ? ` · confidence <b>${Math.round(sure[0] / 2.55)} %</b>` : "");
    });
    pane.addEventListener("pointerleave", () => {
      document.querySelectorAll(".cross").forEach((c) => { c.style.display = "none"; });
      say.innerHTML = silence;
    });
  }

  show(0);
})();
