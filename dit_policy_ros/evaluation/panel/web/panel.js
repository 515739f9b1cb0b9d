// SPDX-License-Identifier: Apache-2.0
// What must not wait for the page's own connection: heartbeat, STOP, pictures, plot and sound.
(() => {
  const BEAT = 400, LOST = 1500, PICTURE = 125, PLOT = 250, RETRY = 250; // [ms]
  let heard = performance.now(), beating = false, word = "", count = 0;

  const post = (path) => fetch(path, { method: "POST", cache: "no-store", signal: AbortSignal.timeout(1200) });

  setInterval(async () => {
    if (beating) return;
    beating = true;
    try {
      if ((await post("/beat")).ok) heard = performance.now();
    } catch { /* the time since the last answer says it */ }
    beating = false;
  }, BEAT);
  setInterval(() => {
    document.documentElement.classList.toggle("lost", performance.now() - heard > LOST);
  }, 200);

  // STOP is repeated until the server has taken it; the server repeats it until the policy node has.
  window.panelStop = async () => {
    const button = document.getElementById("stop");
    for (let tries = 0; tries < 40; tries++) {
      try {
        if ((await post("/stop")).ok) { button.classList.remove("failed"); return; }
      } catch { /* tried again */ }
      button.classList.add("failed");
      await new Promise((done) => setTimeout(done, RETRY));
    }
  };
  // A button keeps the focus after a press, and would take the next key, the space bar above all, for itself.
  // A key that follows a press belongs to the page; one that follows Tab belongs to the button it has reached.
  let pressedLast = false;
  addEventListener("pointerdown", () => { pressedLast = true; }, true);
  addEventListener("keydown", (event) => {
    const focus = document.activeElement;
    if (event.key === "Tab") pressedLast = false;
    else if (event.isTrusted && pressedLast && focus?.closest("button")) {
      event.stopPropagation();
      event.preventDefault();
      focus.blur();
      document.dispatchEvent(new KeyboardEvent("keydown", event));
    } else if (event.key === " " && focus === document.body) event.preventDefault(); // it would scroll
  }, true);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") window.panelStop(); });

  // A gamepad says the same words as the keys; its Start button is STOP. By the standard mapping.
  const PAD = { 0: "s", 1: " ", 2: "f", 3: "r", 4: "d", 5: "u", 8: "o", 9: "Escape" };
  const pressed = new Set();
  setInterval(() => {
    for (const pad of navigator.getGamepads?.() ?? [])
      for (const [button, key] of Object.entries(PAD)) {
        const id = `${pad?.index}:${button}`;
        if (!pad?.buttons?.[button]?.pressed) { pressed.delete(id); continue; }
        if (pressed.has(id)) continue; // it is held down
        pressed.add(id);
        document.activeElement?.blur(); // a text field would keep the key for itself
        document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      }
  }, 50);

  setInterval(() => {
    count += 1;
    for (const image of document.querySelectorAll(".tile img.live"))
      if (image.complete && image.dataset.count !== String(count)) {
        image.dataset.count = String(count);
        image.src = `/camera/${encodeURIComponent(image.dataset.camera)}.jpg?n=${count}`;
      }
    const shown = document.querySelector(".word")?.textContent.replace(/[ 0-9]+$/, "") ?? "";
    if (shown !== word) {
      word = shown;
      for (const image of document.querySelectorAll(".tile img.scene"))
        image.src = `/scene/${encodeURIComponent(image.dataset.camera)}.jpg?n=${count}`;
      if (localStorage.sound === "on" && word) speechSynthesis.speak(new SpeechSynthesisUtterance(word.toLowerCase()));
    }
  }, PICTURE);

  const line = (context, values, time, x, y, colour, dashes) => {
    context.strokeStyle = colour;
    context.setLineDash(dashes);
    context.beginPath();
    let open = false;
    values.forEach((value, n) => {
      if (value === null) { open = false; return; }
      if (open) context.lineTo(x(time[n]), y(value)); else context.moveTo(x(time[n]), y(value));
      open = true;
    });
    context.stroke();
  };

  setInterval(async () => {
    const canvas = document.getElementById("joints");
    if (!canvas || !canvas.offsetParent) return;
    let data;
    try { data = await (await fetch("/joints", { cache: "no-store" })).json(); } catch { return; }
    if (!data.joints) return;
    const scale = window.devicePixelRatio || 1, columns = canvas.clientWidth > 500 ? 2 : 1;
    const rows = Math.ceil(data.joints.length / columns);
    canvas.style.height = `${Math.max(4, rows * 3)}rem`;
    canvas.width = canvas.clientWidth * scale;
    canvas.height = canvas.clientHeight * scale;
    const context = canvas.getContext("2d");
    const wide = canvas.width / columns, high = canvas.height / rows;
    context.lineWidth = 1.5 * scale;
    context.font = `${11 * scale}px sans-serif`;
    data.joints.forEach((joint, n) => {
      const left = Math.floor(n / rows) * wide, top = (n % rows) * high, pad = 4 * scale;
      const measured = data.measured.map((each) => each[n]), commanded = data.commanded.map((each) => each[n]);
      const known = [...measured, ...commanded, ...data.limits[n]].filter((each) => each !== null);
      const low = Math.min(...known), span = Math.max(...known) - low || 1;
      const x = (t) => left + pad + (1 + t / 10) * (wide - 2 * pad);
      const y = (v) => top + high - pad - ((v - low) / span) * (high - 2 * pad);
      for (const limit of data.limits[n])
        if (limit !== null) line(context, [limit, limit], [-10, 0], x, y, "#ff5d6a", [2 * scale, 3 * scale]);
      line(context, measured, data.time, x, y, "#ffffff", []);
      line(context, commanded, data.time, x, y, "#ffd166", [5 * scale, 3 * scale]);
      context.fillStyle = "#ffffff";
      context.fillText(joint, left + pad, top + 13 * scale);
    });
  }, PLOT);
})();
