"use strict";
// The path of the vehicle from above, coloured by what went wrong.
(() => {
  const { data, show, nearest, said, color, ramp, text, current, onFrame } = replay;
  const map = data.map, $ = (id) => document.getElementById(id);
  if (!map) return;
  const svg = $("map-svg"), box = $("map-box"), pins = $("map-pins");
  const known = map.x.map((x, i) => i).filter((i) => map.x[i] !== null);
  let scale = 1, left = 0, top = 0, vehicle, foot;

  function node(name, attributes, parent = svg) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    parent.append(element);
    return element;
  }
  const px = (x) => (x - left) * scale, py = (y) => (top - y) * scale;

  function fit() {
    const xs = known.map((i) => map.x[i]), ys = known.map((i) => map.y[i]);
    const low = (v) => v.reduce((a, b) => Math.min(a, b)), high = (v) => v.reduce((a, b) => Math.max(a, b));
    const [x0, x1, y0, y1] = [low(xs), high(xs), low(ys), high(ys)];
    const foot = map.footprint || [10, 10], round = Math.min(Math.max(...foot) / 2, Math.max(6, x1 - x0, y1 - y0));
    const width = x1 - x0 + 2 * round, height = y1 - y0 + 2 * round;
    scale = Math.min(box.clientWidth / width, box.clientHeight / height);
    left = (x0 + x1) / 2 - box.clientWidth / scale / 2;
    top = (y0 + y1) / 2 + box.clientHeight / scale / 2;
  }

  function shades() {
    const key = $("map-measure").value, series = data.series.find((s) => s.key === key);
    if (!series) {
      $("map-low").textContent = "fine"; $("map-high").textContent = "bad";
      return data.trouble.values;
    }
    const there = series.values.filter((v) => v !== null), low = there.reduce((a, b) => Math.min(a, b)), high = there.reduce((a, b) => Math.max(a, b));
    const [fine, bad] = series.lessIsWorse ? [high, low] : [low, high];
    $("map-low").textContent = said(fine, series.unit); $("map-high").textContent = said(bad, series.unit);
    return series.values.map((v) => (v === null ? null : bad === fine ? 0 : (v - fine) / (bad - fine)));
  }

  function legs(values) {
    // Neighbours of one shade make one line; a missing pose, or a leap that no vehicle makes, breaks it.
    const steps = known.slice(1).map((i, k) => Math.hypot(map.x[i] - map.x[known[k]], map.y[i] - map.y[known[k]])).sort((a, b) => a - b);
    const leap = Math.max(5, 20 * (steps[Math.floor(steps.length / 2)] || 0));
    const casing = [], colored = [];
    let run = null, shade = null;
    known.forEach((i, k) => {
      const before = known[k - 1], joined = k > 0 && before === i - 1 && Math.hypot(map.x[i] - map.x[before], map.y[i] - map.y[before]) < leap;
      const here = `${px(map.x[i]).toFixed(1)},${py(map.y[i]).toFixed(1)}`;
      const own = values[i] === null ? null : Math.round(values[i] * 12) / 12;
      if (joined) casing[casing.length - 1].push(here); else casing.push([here, here]);
      if (joined && own === shade) run.points.push(here);
      else {
        run = { color: color(own), points: joined ? [casing[casing.length - 1].at(-2), here] : [here, here] };
        colored.push(run);
        shade = own;
      }
    });
    for (const points of casing) node("polyline", { class: "casing", points: points.join(" ") });
    for (const { color: stroke, points } of colored) node("polyline", { class: "leg", points: points.join(" "), stroke });
  }

  function ruler() {
    const metres = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000].find((m) => m * scale > 60) || 20000;
    const y = box.clientHeight - 16;
    node("path", { class: "scale", d: `M14 ${y - 4}V${y}H${14 + metres * scale}V${y - 4}`, fill: "none" });
    node("text", { x: 18, y: y - 7 }).textContent = metres >= 1000 ? `${metres / 1000} km` : `${metres} m`;
    node("text", { x: box.clientWidth - 12, y: y, "text-anchor": "end" }).textContent = "x →, y ↑ of the odometry";
  }

  function draw() {
    svg.replaceChildren();
    fit();
    const grid = $("map-grid") && map.grids[$("map-grid").value];
    if (grid) node("image", { href: grid.uri, x: px(grid.x), y: py(grid.y + grid.height), width: grid.width * scale, height: grid.height * scale, preserveAspectRatio: "none" });
    legs(shades());
    for (const mark of map.marks) {
      const shape = mark.kind === "driven" ? "M-5 -5L5 5M-5 5L5 -5" : "M0 -5L5 0L0 5L-5 0Z";
      const drawn = node("path", { class: `mark-${mark.kind}`, d: shape, transform: `translate(${px(mark.x)} ${py(mark.y)})` });
      node("title", {}, drawn).textContent = `${mark.text}, at ${mark.x.toFixed(1)}, ${mark.y.toFixed(1)} m`;
    }
    foot = node("rect", { class: "foot" });
    ruler();
    const first = known[0], last = known[known.length - 1];
    for (const [i, name] of [[first, "start"], [last, "end"]]) node("text", { x: px(map.x[i]) + 17, y: py(map.y[i]) + 4 }).textContent = name;
    vehicle = node("path", { class: "vehicle", d: "M11 0L-8 7L-4 0L-8 -7Z" });
    pins.replaceChildren();
    // The worst last, so that it lies on top.
    data.worst.map((w, rank) => [w, rank + 1]).reverse().forEach(([w, rank]) => {
      const pose = data.frames[w.frame].pose;
      if (!pose) return;
      const pin = document.createElement("button");
      pin.type = "button"; pin.className = "pin"; pin.textContent = rank; pin.dataset.frame = w.index;
      pin.title = `${w.name} ${said(w.value, w.unit)}, frame ${w.index}`;
      pin.setAttribute("aria-label", `Worst frame ${rank}: ${pin.title}`);
      // To the left of the path, so that neither it nor the vehicle is hidden.
      const [x, y, yaw] = [px(pose[0]), py(pose[1]), pose[2]], aside = [x - 26 * Math.sin(yaw), y - 26 * Math.cos(yaw)];
      node("line", { class: "leader", x1: x, y1: y, x2: aside[0], y2: aside[1] });
      pin.style.left = aside[0] + "px"; pin.style.top = aside[1] + "px";
      pin.addEventListener("pointerdown", (e) => e.stopPropagation());
      pin.addEventListener("click", () => show(w.frame));
      pins.append(pin);
    });
    stand(current());
  }

  function stand(frame) {
    $("preview-image").src = frame.uris.image;
    $("preview-labels").src = frame.uris.prediction;
    $("preview-say").replaceChildren(...text("Frame", frame.index), ` · ${frame.time.toFixed(2)} s`,
      ...data.series.filter((s) => ["miou", "confidence", "latency"].includes(s.key)).map((s) => ` · ${s.name} ${said(frame.values[s.key], s.unit)}`));
    if (!vehicle) return;
    vehicle.style.display = foot.style.display = frame.pose ? "" : "none";
    if (!frame.pose) return;
    const [x, y, yaw] = frame.pose;
    vehicle.setAttribute("transform", `translate(${px(x)} ${py(y)}) rotate(${(-yaw * 180) / Math.PI})`);
    if (map.footprint) {
      const [w, h] = map.footprint;
      for (const [key, v] of Object.entries({ x: px(x - w / 2), y: py(y + h / 2), width: w * scale, height: h * scale })) foot.setAttribute(key, v);
    }
  }

  function seek(event) {
    const place = box.getBoundingClientRect(), x = event.clientX - place.left, y = event.clientY - place.top;
    let best = known[0], least = Infinity;
    for (const i of known) {
      const away = Math.hypot(px(map.x[i]) - x, py(map.y[i]) - y);
      if (away < least) [best, least] = [i, away];
    }
    show(nearest(best * data.stride));
  }
  box.addEventListener("pointerdown", (e) => { box.setPointerCapture(e.pointerId); seek(e); });
  box.addEventListener("pointermove", (e) => { if (e.buttons) seek(e); });
  for (const id of ["map-measure", "map-grid"]) if ($(id)) $(id).addEventListener("change", draw);
  addEventListener("resize", draw);
  $("map-ramp").style.background = ramp;
  draw();
  onFrame(stand);
})();
