"use strict";
// One viewer a scene: two layers, one at either side of an edge that a slider, the pointer or a flicker moves.
for (const viewer of document.querySelectorAll("[data-viewer]")) {
  const scene = JSON.parse(viewer.querySelector("script").textContent);
  const wipe = viewer.querySelector("[name=wipe]");
  const flicker = viewer.querySelector("[name=flicker]");
  const frames = [...viewer.querySelectorAll(".frame")];
  let timer = 0;

  const chosen = (side) => Number(viewer.querySelector(`[data-side=${side}]:checked`).value);
  const move = (percent) => {
    wipe.value = percent;
    for (const frame of frames) frame.style.setProperty("--wipe", `${percent}%`);
  };
  const draw = () => {
    frames.forEach((frame, plane) => {
      const slider = frame.parentElement.querySelector("[name=cut]");
      const cut = scene[plane][slider ? Number(slider.value) : 0];
      for (const side of ["left", "right"])
        frame.querySelector(`.${side}`).src = `data:image/png;base64,${cut[chosen(side)]}`;
    });
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    flicker.setAttribute("aria-pressed", "false");
  };

  flicker.addEventListener("click", () => {
    if (timer) {
      stop();
      move(50);
      return;
    }
    flicker.setAttribute("aria-pressed", "true");
    move(0);
    timer = setInterval(() => move(Number(wipe.value) > 50 ? 0 : 100), 600);
  });
  wipe.addEventListener("input", () => {
    stop();
    move(wipe.value);
  });
  for (const frame of frames) {
    const follow = (event) => {
      if (event.type === "pointermove" && event.buttons !== 1) return;
      const box = frame.getBoundingClientRect();
      stop();
      move(Math.round(Math.min(100, Math.max(0, (100 * (event.clientX - box.left)) / box.width))));
    };
    frame.addEventListener("pointerdown", follow);
    frame.addEventListener("pointermove", follow);
  }
  viewer.addEventListener("change", draw);
  for (const slider of viewer.querySelectorAll("[name=cut]")) slider.addEventListener("input", draw);
  draw();
  move(50);
}
