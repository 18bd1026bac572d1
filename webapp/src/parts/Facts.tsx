import type { ComponentChildren } from "preact";
import { words } from "../words";

export type Fact = readonly [name: string, value: ComponentChildren];

/** Names and values, one a line. What is not known is shown as such. */
export function Facts({ facts }: { facts: readonly Fact[] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => {
        const isUnknown = value === null || value === undefined || value === "" || value === words.app.unknown;
        return (
          <div key={name}>
            <dt>{name}</dt>
            <dd class={isUnknown ? "faint" : undefined}>{isUnknown ? words.app.unknown : value}</dd>
          </div>
        );
      })}
    </dl>
  );
}
