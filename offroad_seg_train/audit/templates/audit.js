"use strict";
(() => {
  const $ = (id) => document.getElementById(id);

  // --- findings: which are shown, and from one to the next by key -----------------------------------------------
  const findings = [...document.querySelectorAll(".finding")];
  const filters = [...document.querySelectorAll("[data-filter]")];
  for (const button of filters) {
    button.addEventListener("click", () => {
      for (const other of filters) other.setAttribute("aria-pressed", String(other === button));
      for (const finding of findings) finding.hidden = Boolean(button.dataset.filter) && finding.dataset.severity !== button.dataset.filter;
    });
  }
  let at = -1;
  function step(by) {
    const shown = findings.filter((f) => !f.hidden);
    if (!shown.length) return;
    const here = shown.indexOf(findings[at]);
    const next = shown[Math.min(shown.length - 1, Math.max(0, here + by))];
    at = findings.indexOf(next);
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "start", behavior: "smooth" });
  }

  // --- one picture, large ---------------------------------------------------------------------------------------
  const large = $("large"), stage = document.querySelector(".stage"), looks = [...document.querySelectorAll(".look")];
  let visible = looks, shown = 0;
  function put(image, source) {
    if (source) { image.src = source.src; image.alt = source.alt; } else { image.removeAttribute("src"); image.alt = ""; }
  }
  function show(index) {
    shown = Math.min(visible.length - 1, Math.max(0, index));
    const look = visible[shown];
    put($("large-image"), look.querySelector("img:not(.mask)"));
    put($("large-mask"), look.querySelector("img.mask"));
    $("large-caption").textContent = `${look.dataset.caption} · ${shown + 1} of ${visible.length}`;
    $("over").hidden = look.children.length < 2;
    stage.classList.toggle("over", look.children.length > 1 && $("over").getAttribute("aria-pressed") === "true");
  }
  function over() {
    $("over").setAttribute("aria-pressed", String($("over").getAttribute("aria-pressed") !== "true"));
    show(shown);
  }
  for (const look of looks) {
    look.addEventListener("click", () => {
      // Those of findings that the filter hides are left out.
      visible = looks.filter((other) => other.offsetParent !== null);
      show(visible.indexOf(look));
      large.showModal();
      $("close").focus();
    });
  }
  $("before").addEventListener("click", () => show(shown - 1));
  $("after").addEventListener("click", () => show(shown + 1));
  $("over").addEventListener("click", over);
  $("close").addEventListener("click", () => large.close());
  large.addEventListener("click", (e) => { if (e.target === large) large.close(); });
  large.addEventListener("close", () => visible[shown].focus());

  const keys = { j: () => step(1), k: () => step(-1) };
  const large_keys = { ArrowRight: () => show(shown + 1), ArrowLeft: () => show(shown - 1), o: over };
  addEventListener("keydown", (e) => {
    const act = (large.open ? large_keys : keys)[e.key];
    if (!act || e.ctrlKey || e.metaKey || e.altKey) return;
    e.preventDefault();
    act();
  });
})();
