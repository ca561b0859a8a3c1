// Input and result side by side, with one crosshair; the slider goes from input over output to uncertainty.

import { Niivue } from "/niivue.js";

const OPTIONS = {
  backColor: [0, 0, 0, 1], crosshairColor: [1, 0.75, 0.2, 0.8], crosshairWidth: 0.8, crosshairWidthUnit: "percent", show3Dcrosshair: false,
  isOrientCube: false, isColorbar: false, dragAndDropEnabled: false, loadingText: "", isRadiologicalConvention: true,
  multiplanarForceRender: false, multiplanarShowRender: 0, isRuler: false, isNearestInterpolation: true,
  isSliceMM: true,  // millimetres of the patient: else crosshairs part where one scan is tilted against the other
};
const NAMES = ["input", "output", "uncertainty"];
const KEYS = {
  ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowUp: [0, 1, 0], ArrowDown: [0, -1, 0], PageUp: [0, 0, 1], PageDown: [0, 0, -1],
};

export class Viewer {
  constructor(before, after, told) {
    this.canvases = [before, after];
    this.told = told;
    this.roles = [];
  }

  // Throws where the browser has no WebGL 2.
  async start() {
    if (this.sides) return;
    this.sides = [new Niivue(OPTIONS), new Niivue(OPTIONS)];
    for (const [k, side] of this.sides.entries()) {
      await side.attachToCanvas(this.canvases[k]);
      side.setInterpolation(true);  // nearest: a thick slice is seen as the block it is
      side.setMultiplanarLayout(2);
      this.canvases[k].addEventListener("keydown", (event) => this.move(event, side));
    }
    const sync = { "2d": true, "3d": false, crosshair: true };
    this.sides[0].broadcastTo([this.sides[1]], sync);
    this.sides[1].broadcastTo([this.sides[0]], sync);
    this.sides[1].onLocationChange = (place) => this.told(place.string ?? "");
  }

  // ``urls``: {before, output, std}, each or null. ``stay``: the crosshair stays where it is in the patient.
  async show(urls, stay) {
    await this.start();
    const place = stay && this.sides[1].frac2mm(this.sides[1].scene.crosshairPos);
    for (const side of this.sides) while (side.volumes.length) side.removeVolume(side.volumes[0]);
    if (urls.before) await this.sides[0].loadVolumes([{ url: urls.before, name: "input.nii.gz" }]);
    const layers = [{ url: urls.output, name: "output.nii.gz" }];
    this.roles = ["output"];
    if (urls.before) { layers.push({ url: urls.before, name: "input.nii.gz", opacity: 0 }); this.roles.push("input"); }
    if (urls.std) {
      layers.push({ url: urls.std, name: "std.nii.gz", opacity: 0, colormap: "inferno" });
      this.roles.push("uncertainty");
    }
    await this.sides[1].loadVolumes(layers);
    const after = this.sides[1];
    const [low, high] = [after.volumes[0].cal_min, after.volumes[0].cal_max];
    for (const volume of [...this.sides[0].volumes, ...after.volumes.filter((_, k) => this.roles[k] === "input")]) {
      volume.cal_min = low;  // one window: what differs is the image
      volume.cal_max = high;
    }
    const spread = after.volumes[this.roles.indexOf("uncertainty")];
    if (spread) spread.cal_min = 0;
    for (const side of this.sides) {
      if (!side.volumes.length) continue;
      side.updateGLVolume();
      if (place) side.scene.crosshairPos = side.mm2frac(place.slice(0, 3));
      if (place) side.drawScene();
    }
  }

  plane(name) {
    for (const side of this.sides ?? []) {
      const types = { axial: side.sliceTypeAxial, coronal: side.sliceTypeCoronal, sagittal: side.sliceTypeSagittal };
      side.setSliceType(types[name] ?? side.sliceTypeMultiplanar);
    }
  }

  // ``at``: 0 input, 1 output, 2 uncertainty over the output.
  mix(at) {
    const after = this.sides?.[1];
    if (!after) return;
    this.roles.forEach((role, k) => {
      if (role === "input") after.setOpacity(k, Math.max(0, 1 - at));
      if (role === "uncertainty") after.setOpacity(k, Math.max(0, at - 1));
    });
  }

  static nameOf(at) {
    const whole = Math.round(at);
    if (Math.abs(at - whole) < 0.01) return NAMES[whole];
    const low = Math.floor(at);
    return `${Math.round(100 * (at - low))} % ${NAMES[low + 1]}`;
  }

  move(event, side) {
    const step = KEYS[event.key];
    if (!step || !side.volumes.length) return;
    event.preventDefault();
    event.stopPropagation();
    side.moveCrosshairInVox(...step);
  }
}
