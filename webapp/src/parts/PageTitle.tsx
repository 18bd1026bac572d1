import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { hasMoved } from "../route";
import { words } from "../words";

interface Props {
  title: string;
  /** What the window is called, where that is more than the heading. */
  name?: string;
  children?: ComponentChildren;
}

/** The heading of a page; it names the window too, and gets the focus when the page was come to from another. */
export function PageTitle({ title, name = title, children }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = words.app.windowTitle(name);
  }, [name]);
  // Before the page is painted: later, it would take the focus from a field that somebody already types in.
  useLayoutEffect(() => {
    if (hasMoved.peek()) heading.current?.focus({ preventScroll: true });
  }, []);
  return (
    <h1 tabIndex={-1} ref={heading}>
      {title} {children}
    </h1>
  );
}
