import { words } from "../words";
import type { Warning } from "./warnings";

/** Warnings in words, before everything else. */
export function Warnings({ of }: { of: readonly Warning[] }) {
  if (!of.length) return null;
  return (
    <ul class="warnings" aria-label={words.unit.warnings.title}>
      {of.map(({ text, isUrgent }) => (
        <li key={text} class={isUrgent ? "alarm" : undefined}>
          {text}
        </li>
      ))}
    </ul>
  );
}
