import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

interface Props {
  label: string;
  children: ComponentChildren;
}

/** A button that opens a list of others. One of them that is pressed, Escape, and a look elsewhere close it. */
export function Menu({ label, children }: Props) {
  const box = useRef<HTMLDetailsElement>(null);
  const summary = useRef<HTMLElement>(null);
  const close = (): void => {
    if (!box.current?.open) return;
    if (box.current.contains(document.activeElement)) summary.current?.focus();
    box.current.open = false;
  };
  useEffect(() => {
    const onPointerDown = ({ target }: PointerEvent): void => {
      if (box.current && !box.current.contains(target as Node)) box.current.open = false;
    };
    document.addEventListener("pointerdown", onPointerDown);
    return () => document.removeEventListener("pointerdown", onPointerDown);
  }, []);
  return (
    <details
      class="menu"
      ref={box}
      onKeyDown={(event) => event.key === "Escape" && close()}
      onFocusOut={({ relatedTarget }) => {
        // Without a target the focus goes nowhere yet: a press on what takes none.
        if (relatedTarget && !box.current?.contains(relatedTarget as Node)) box.current!.open = false;
      }}
      onClick={({ target }) => (target as HTMLElement).closest("button") && close()}
    >
      <summary ref={summary}>{label}</summary>
      <div class="menu-list">{children}</div>
    </details>
  );
}
