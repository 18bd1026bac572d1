import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import type { Schemas } from "../api/client";
import { words } from "../words";
import { Freshness } from "./Freshness";
import { Trouble } from "./Trouble";
import type { Reading } from "./reading";

interface Props<T> {
  title: string;
  reading: Reading<T>;
  children: (body: T) => ComponentChildren;
}

/** A block of values that were read together: their freshness beside the heading, trouble under it. */
export function Block<T extends { provenance: Schemas["ProvenanceOut"] }>({ title, reading, children }: Props<T>) {
  const id = useId();
  const { body, problem, isReading, refresh } = reading;
  return (
    <section class="block" aria-labelledby={id}>
      <header>
        <h2 id={id}>{title}</h2>
        <Freshness of={body?.provenance} onRefresh={refresh} what={title} isReading={isReading} problem={problem} />
      </header>
      {problem && <Trouble problem={problem} retry={refresh} />}
      {body ? children(body) : !problem && <p class="faint">{words.app.loading}</p>}
    </section>
  );
}
