import { useEffect, useState } from "preact/hooks";
import type { Unit } from "../api/client";
import { keyOf } from "../api/device";
import { follow } from "../api/streams";
import { wholeText, words } from "../words";
import { perFrame } from "./frames";
import { afterStep, type UnderWay } from "./underway";

/** What is read of a unit now, and how far it is. Nothing when nothing is. */
export function Progress({ unit, only }: { unit: Unit; only?: string }) {
  const [underWay, setUnderWay] = useState<readonly UnderWay[]>([]);
  useEffect(() => {
    let known: readonly UnderWay[] = [];
    const { put, stop } = perFrame(setUnderWay);
    put(known);
    const unfollow = follow(unit, (step) => {
      known = afterStep(known, step);
      put(known);
    });
    return () => {
      unfollow();
      stop();
    };
  }, [keyOf(unit)]);
  const shown = underWay.filter((one) => only === undefined || one.resource === only);
  return (
    <ul class="progress" aria-label={words.unit.progress} hidden={shown.length === 0}>
      {shown.map((one) => (
        <li key={one.resource}>
          <progress
            aria-label={nameOf(one.resource)}
            {...(one.total === null ? {} : { value: Math.min(one.done, one.total), max: one.total })}
          />
          <span>{sentence(one)}</span>
        </li>
      ))}
    </ul>
  );
}

function nameOf(resource: string): string {
  const [kind = "", index] = resource.split(" ");
  const name = words.unit.resources[kind] ?? kind;
  return index === undefined ? name : `${name} ${index}`;
}

function sentence({ resource, what, done, total }: UnderWay): string {
  if (what === null) return words.unit.begun(nameOf(resource));
  const doneText = wholeText(done);
  return total === null
    ? words.unit.stepOpen(nameOf(resource), doneText, what)
    : words.unit.step(nameOf(resource), doneText, wholeText(total), what);
}
