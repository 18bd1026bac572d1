import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import type { Schemas } from "../api/client";
import type { Resource } from "../data/resource";
import { Freshness } from "./Freshness";
import { Waiting } from "./Waiting";

interface Props<T> {
  title: string;
  resource: Resource<T>;
  children: (body: T) => ComponentChildren;
}

/** A block of values that were read together, with their freshness beside the heading. */
export function Block<T extends { provenance: Schemas["ProvenanceOut"] }>({ title, resource, children }: Props<T>) {
  const id = useId();
  return (
    <section class="block" aria-labelledby={id}>
      <header>
        <h2 id={id}>{title}</h2>
        <Freshness of={resource} what={title} />
      </header>
      <Waiting of={resource} />
      {resource.body && children(resource.body)}
    </section>
  );
}
