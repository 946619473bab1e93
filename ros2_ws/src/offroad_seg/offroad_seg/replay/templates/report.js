"use strict";
// The drive, frame by frame. `replay` is what the map works with.
const replay = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const frames = data.frames, classes = data.classes, total = data.count;
  const listeners = [];
  let at = 0, timer = null;

  const units = { "%": (v) => (100 * v).toFixed(1) + " %", ms: (v) => v.toFixed(v < 100 ? 1 : 0) + " ms", "": (v) => v.toFixed(3) };
  const said = (value, unit) => (value === null || value === undefined ? "–" : units[unit](value));
  const text = (name, value) => { const b = document.createElement("b"); b.textContent = value; return [name + " ", b]; };
  // From fine to bad; told apart without red and green.
  const stops = [[38, 140, 132], [226, 196, 104], [217, 122, 60], [122, 22, 52]];
  function color(t) {
    if (t === null || t === undefined) return "rgb(140,135,128)";
    const x = Math.min(0.9999, Math.max(0, t)) * (stops.length - 1), i = Math.floor(x);
    return `rgb(${stops[i].map((c, k) => Math.round(c + (x - i) * (stops[i + 1][k] - c)))})`;
  }
  const ramp = `linear-gradient(90deg, ${stops.map((s) => `rgb(${s})`)})`;

  // --- the pictures of one frame -------------------------------------------------------------------------------
  const panes = [...document.querySelectorAll("[data-picture]")];
  const pixels = {};
  const now = new Map([...document.querySelectorAll("[data-now]")].map((o) => [o.dataset.now, o]));

  function show(index) {
    at = Math.min(frames.length - 1, Math.max(0, index));
    const frame = frames[at];
    for (const pane of panes) {
      const uri = frame.uris[pane.dataset.picture];
      pane.classList.toggle("empty", !uri);
      pane.dataset.empty = pane.dataset.picture.endsWith("costmap") ? frame.reason || "no costmap for this frame" : "nothing for this frame";
      const image = pane.querySelector("img:last-of-type");
      if (uri) image.src = uri; else image.removeAttribute("src");
    }
    for (const under of document.querySelectorAll("img.under")) under.src = frame.uris.image;
    $("scrub").value = at;
    $("scrub").setAttribute("aria-valuetext", `frame ${frame.index}, ${frame.time.toFixed(2)} seconds`);
    $("where").replaceChildren(...text("Frame", frame.index), ` · ${frame.time.toFixed(2)} s`, frame.camera ? ` · ${frame.camera}` : "");
    place($("cursor"), frame.row);
    values(frame.row, frame.values);
    for (const name in pixels) delete pixels[name];
    document.body.dataset.frame = frame.index;
    for (const listener of listeners) listener(frame);
  }

  // --- the timeline: every frame of the drive, with the cursor at the one that is shown --------------------------
  const tracks = $("tracks"), ghost = $("ghost");
  const point = (row) => Math.min(data.index.length - 1, Math.floor(row / data.stride));
  function values(row, exact) {
    const i = point(row);
    for (const s of data.series) if (now.has(s.key)) now.get(s.key).textContent = said(exact ? exact[s.key] : s.values[i], s.unit);
    if (now.has("gap")) now.get("gap").textContent = i && data.stride === 1 && data.time[i] > data.time[i - 1] ? said(1000 * (data.time[i] - data.time[i - 1]), "ms") : "";
    const cause = data.trouble.causes[i];
    now.get("trouble").textContent = cause === null || data.trouble.values[i] <= 0 ? "none" : data.series[cause].name;
    now.get("trouble").title = now.get("trouble").textContent;
  }
  const plot = () => $("strip").getBoundingClientRect();
  function place(line, row) {
    const box = plot(), left = box.left - tracks.getBoundingClientRect().left;
    line.style.left = left + (total > 1 ? row / (total - 1) : 0.5) * box.width + "px";
  }
  function rowAt(event) {
    const box = plot();
    return Math.round(Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * (total - 1));
  }
  function nearest(row) {
    let best = 0;
    frames.forEach((f, i) => { if (Math.abs(f.row - row) < Math.abs(frames[best].row - row)) best = i; });
    return best;
  }
  tracks.addEventListener("pointerdown", (e) => { tracks.setPointerCapture(e.pointerId); show(nearest(rowAt(e))); });
  tracks.addEventListener("pointermove", (e) => {
    if (e.buttons) { show(nearest(rowAt(e))); return; }
    ghost.style.display = "block";
    place(ghost, rowAt(e));
    values(rowAt(e), null);
  });
  tracks.addEventListener("pointerleave", () => { ghost.style.display = "none"; values(frames[at].row, frames[at].values); });
  addEventListener("resize", () => place($("cursor"), frames[at].row));

  const strip = $("strip"), ink = strip.getContext("2d");
  // One pixel for some points where there are many: the worst of them is shown.
  strip.width = Math.min(data.trouble.values.length, 1000);
  for (let x = 0; x < strip.width; x++) {
    const n = data.trouble.values.length, from = Math.floor((x * n) / strip.width), to = Math.max(from + 1, Math.floor(((x + 1) * n) / strip.width));
    const there = data.trouble.values.slice(from, to).filter((v) => v !== null);
    ink.fillStyle = color(there.length ? Math.max(...there) : null);
    ink.fillRect(x, 0, 1, 1);
  }

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
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  for (const button of document.querySelectorAll("[data-go]")) {
    button.addEventListener("click", () => {
      show(frames.findIndex((f) => f.index === Number(button.dataset.go)));
      $("viewer").focus({ preventScroll: true });
      $("frames").scrollIntoView({ behavior: calm });
    });
  }
  for (const image of document.querySelectorAll("[data-image]")) image.src = frames[Number(image.dataset.image)].uris.image;

  // Arrows step wherever the focus is; the keys that also scroll a page are the viewer's only while it has the focus.
  const everywhere = { ArrowRight: () => show(at + 1), ArrowLeft: () => show(at - 1) };
  const inViewer = {
    PageDown: () => show(at + 10), PageUp: () => show(at - 10), Home: () => show(0), End: () => show(frames.length - 1),
    " ": () => play(timer === null),
    o: () => { $("mix").value = Number($("mix").value) > 50 ? 0 : 100; $("mix").dispatchEvent(new Event("input")); },
  };
  addEventListener("keydown", (e) => {
    const own = e.target.closest("button, select, summary, a, input");
    if (e.ctrlKey || e.metaKey || e.altKey || e.shiftKey) return;
    if (own && own.id !== "scrub" && (own.matches("select, input") || e.key === " ")) return;
    const act = everywhere[e.key] || (e.target.closest("#viewer") && inViewer[e.key]);
    if (!act) return;
    e.preventDefault();
    act();
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
  function label(rgb) {
    const found = byColor.get(rgb.join()), chip = document.createElement("span"), name = document.createElement("b");
    if (!found) return ["unlabelled"];
    chip.className = "chip";
    chip.style.background = `rgb(${found.color})`;
    name.textContent = found.name;
    return [chip, name];
  }
  const say = $("say"), silence = say.textContent;
  for (const pane of document.querySelectorAll(".camera .pane")) {
    pane.addEventListener("pointermove", (e) => {
      const box = pane.getBoundingClientRect(), x = (e.clientX - box.left) / box.width, y = (e.clientY - box.top) / box.height;
      document.querySelectorAll(".cross").forEach((c) => { c.style.display = "block"; c.style.left = 100 * x + "%"; c.style.top = 100 * y + "%"; });
      const predicted = pixel("prediction", x, y), truth = pixel("truth", x, y), sure = pixel("confidence", x, y);
      say.replaceChildren(...(predicted ? ["predicted ", ...label(predicted)] : []), ...(truth ? [" · true ", ...label(truth)] : []),
        ...(sure ? text(" · confidence", Math.round(sure[0] / 2.55) + " %") : []));
    });
    pane.addEventListener("pointerleave", () => {
      document.querySelectorAll(".cross").forEach((c) => { c.style.display = "none"; });
      say.textContent = silence;
    });
  }

  // report.html#frame=123 leads to the picture nearest to image 123.
  function called() {
    const wanted = /^#frame=(\d+)$/.exec(location.hash);
    if (!wanted) return false;
    const far = (f) => Math.abs(f.index - Number(wanted[1]));
    show(frames.indexOf(frames.reduce((best, f) => (far(f) < far(best) ? f : best))));
    document.getElementById("frames").scrollIntoView();
    return true;
  }
  addEventListener("hashchange", called);
  if (!called()) show(0);
  return { data, show, nearest, said, color, ramp, text, current: () => frames[at], onFrame: (f) => { listeners.push(f); f(frames[at]); } };
})();
