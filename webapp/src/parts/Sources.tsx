import { words } from "../words";
import { isPrinting } from "./window";

/** Where a limit curve comes from: the first source at once, all of them when they are wanted, and on paper. */
export function Sources({ text }: { text: string }) {
  const [first, ...others] = text.split("; ");
  if (others.length === 0) return <p class="faint">{text}</p>;
  return (
    <details class="sources faint" open={isPrinting.value}>
      <summary>{words.verdicts.sources(first!, others.length)}</summary>
      {text}
    </details>
  );
}
