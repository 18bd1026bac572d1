// Fingers on the charts: two of them zoom and move, one moves what is zoomed. A whole record lets the page scroll.
import type { LinkedCharts } from "./linked";

export function followTouches(box: HTMLElement, charts: LinkedCharts): () => void {
  const fingers = new Map<number, number>();
  /** Where the record was under the fingers when the last of them came or went. */
  let held: { from: number; to: number; a: number; b: number } | null = null;

  const xs = (): [number, number] => {
    const all = [...fingers.values()].sort((one, other) => one - other);
    return [all[0]!, all[all.length - 1]!];
  };
  const hold = (): void => {
    box.style.touchAction = charts.isWhole && fingers.size < 2 ? "pan-y" : "none";
    if (!fingers.size || (fingers.size === 1 && charts.isWhole)) {
      held = null;
      return;
    }
    const [from, to] = xs();
    held = { from, to, a: charts.positionAt(from), b: charts.positionAt(to) };
  };
  const onDown = (event: PointerEvent): void => {
    if (event.pointerType !== "touch") return;
    fingers.set(event.pointerId, event.clientX);
    hold();
  };
  const onMove = (event: PointerEvent): void => {
    if (!fingers.has(event.pointerId)) return;
    fingers.set(event.pointerId, event.clientX);
    if (!held) return;
    const [from, to] = xs();
    // What was under a finger stays under it.
    const perPx = fingers.size > 1 && to - from > 1 ? (held.b - held.a) / (to - from) : charts.perPx;
    charts.showFrom(held.a - (from - charts.leftPx) * perPx, perPx);
  };
  const onUp = (event: PointerEvent): void => {
    if (fingers.delete(event.pointerId)) hold();
  };
  box.style.touchAction = "pan-y";
  box.addEventListener("pointerdown", onDown);
  box.addEventListener("pointermove", onMove);
  for (const name of ["pointerup", "pointercancel"] as const) box.addEventListener(name, onUp);
  return () => {
    box.removeEventListener("pointerdown", onDown);
    box.removeEventListener("pointermove", onMove);
    for (const name of ["pointerup", "pointercancel"] as const) box.removeEventListener(name, onUp);
  };
}
