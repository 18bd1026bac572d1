// What kind of window the app is in: a phone's, a wide one, or paper.

import { type Signal, signal } from "@preact/signals";
import { options } from "preact";

function matching(query: string): Signal<boolean> {
  const found = globalThis.matchMedia?.(query);
  const is = signal(found?.matches ?? false);
  found?.addEventListener("change", ({ matches }) => (is.value = matches));
  return is;
}

/** As narrow as a phone: lists become cards, and the bar one line. */
export const isNarrow = matching("(max-width: 40rem)");

/** Whether the page is being printed: then lists are drawn whole, and everything is light. */
export const isPrinting = signal(false);

/** Draw for paper before the browser takes the page, and for the screen after it. */
export function followPrinting(): void {
  const print = (isNow: boolean): void => {
    // The browser takes the page when the listener returns, so it must be drawn by then.
    const { debounceRendering } = options;
    options.debounceRendering = (draw) => draw();
    document.documentElement.toggleAttribute("data-printing", isNow);
    isPrinting.value = isNow;
    options.debounceRendering = debounceRendering!;
  };
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
}
