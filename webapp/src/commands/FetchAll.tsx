// Everything that the unit stores and the archive lacks, downloaded into the archive.
import { useState } from "preact/hooks";
import { problemFrom, type Unit } from "../api/client";
import { longCommand, type Operation } from "../api/operation";
import { plainly } from "../parts/plainly";
import { Trouble } from "../parts/Trouble";
import { atLeast, noteProblem } from "../state";
import { words } from "../words";
import { useGiving } from "./giving";

const text = words.commands.fetch;

/** What a download of all events came to, as the relay reports it (`POST /device/fetch`). */
interface Fetched {
  archived: number;
  already_archived: number;
  failed: unknown[];
}

interface Props {
  unit: Unit;
  onFetched?: () => void;
}

/** Download all events, with progress. It changes nothing at the unit. */
export function FetchAll({ unit, onFetched }: Props) {
  const giving = useGiving<Fetched>();
  const [seen, setSeen] = useState<Operation | null>(null);
  if (!atLeast("operator")) return null;
  const fetchAll = async (): Promise<void> => {
    setSeen(null);
    await giving.give(() => longCommand(unit, "/device/fetch", {}, { onLook: setSeen, onLost: noteProblem }));
    onFetched?.();
  };
  const { done, total } = seen ?? {};
  const again = seen?.trying_again ? problemFrom(seen.trying_again) : null;
  return (
    <section class="fetch" aria-label={text.title}>
      <button type="button" disabled={giving.isGoing} onClick={() => void fetchAll()}>
        {text.title}
      </button>{" "}
      <span class="faint">{text.intro}</span>
      {giving.isGoing && seen && (
        <p class="progress">
          <progress aria-label={text.title} {...(total ? { value: done ?? 0, max: total } : {})} />{" "}
          {text.progress(done ?? 0, total ?? null)}
        </p>
      )}
      {giving.isGoing && again && (
        <p>
          {text.again(again.title)} <span class="detail">{plainly(again.message)}</span>
        </p>
      )}
      <div role="status">
        {giving.done && (
          <p class={giving.done.failed.length ? "alarm" : "good"}>
            {text.result(giving.done.archived, giving.done.already_archived, giving.done.failed.length)}
          </p>
        )}
      </div>
      {giving.problem && <Trouble problem={giving.problem} retry={() => void fetchAll()} />}
    </section>
  );
}
