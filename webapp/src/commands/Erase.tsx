import { useEffect, useState } from "preact/hooks";
import { ask, Problem, type Schemas, type Unit } from "../api/client";
import { command } from "../api/device";
import type { Event as Listed } from "../events/choose";
import { Dialog } from "../parts/Dialog";
import { Trouble } from "../parts/Trouble";
import { unitTime } from "../parts/time";
import { words } from "../words";
import { archivedOf, unarchived } from "./archived";
import { FetchAll } from "./FetchAll";
import { useGiving } from "./giving";
import { OutcomeBox } from "./OutcomeBox";

const text = words.commands.erase;
/** So many events that would be lost are named; the others are counted. */
const MOST_NAMED = 8;

interface Props {
  unit: Unit;
  serial: string;
  /** Reads the unit after it. */
  onErased: () => void;
}

/** Erase, behind a dialog that says what would be lost. */
export function Erase({ unit, serial, onErased }: Props) {
  const [isOpen, setIsOpen] = useState(false);
  const giving = useGiving<Schemas["EraseOut"]>();
  const erase = async (count: number, isDiscarding: boolean): Promise<void> => {
    setIsOpen(false);
    const body = { serial, count, discard_unarchived: isDiscarding };
    await giving.give(() => command(unit, "/device/events/erase", body));
    onErased();
  };
  return (
    <section class="block" aria-labelledby="erase">
      <h2 id="erase">{text.title}</h2>
      <p>{text.intro}</p>
      <button type="button" class="danger" disabled={giving.isGoing} onClick={() => setIsOpen(true)}>
        {text.open}
      </button>
      <OutcomeBox of={giving} onLook={onErased}>
        {(done) =>
          done.outcome === "done" && (
            <>
              <p>{text.erased(done.erased)}</p>
              {done.contradicted[0] !== undefined && <p>{text.contradicted(done.contradicted)}</p>}
            </>
          )
        }
      </OutcomeBox>
      {giving.problem && Array.isArray(giving.problem.more.unarchived) && (
        <p class="alarm">{text.lost(giving.problem.more.unarchived.length)}</p>
      )}
      {isOpen && (
        <EraseDialog
          unit={unit}
          serial={serial}
          onCancel={() => setIsOpen(false)}
          onErase={(count, isDiscarding) => void erase(count, isDiscarding)}
        />
      )}
    </section>
  );
}

interface Counted {
  count: number;
  /** Over which address the unit was asked. */
  at: string;
  /** Those that the archive has not; `null`: it could not be asked. */
  lost: Listed[] | null;
}

function EraseDialog({
  unit,
  serial,
  onCancel,
  onErase,
}: Omit<Props, "onErased"> & {
  onCancel: () => void;
  onErase: (count: number, isDiscarding: boolean) => void;
}) {
  const [counted, setCounted] = useState<Counted | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [typed, setTyped] = useState("");
  const [isDiscarding, setIsDiscarding] = useState(false);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const ending = new AbortController();
    setProblem(null);
    countedOf(unit, serial, ending.signal).then(setCounted, (error: unknown) => {
      if (ending.signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    });
    return () => ending.abort();
  }, [turn]);
  const isLosing = counted !== null && counted.lost?.length !== 0;
  const mayErase = counted !== null && counted.count > 0 && typed.trim() === serial && (!isLosing || isDiscarding);
  return (
    <Dialog title={text.dialog(serial)} onClose={onCancel}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (mayErase) onErase(counted.count, isDiscarding);
        }}
      >
        {problem && <Trouble problem={problem} retry={() => setTurn(turn + 1)} />}
        <div role="status">
          {!counted && !problem && <p>{text.counting}</p>}
          {counted && <WhatIsLost serial={serial} {...counted} />}
        </div>
        {counted !== null && counted.count > 0 && (
          <>
            {isLosing && <FetchAll unit={unit} onFetched={() => setTurn(turn + 1)} />}
            {isLosing && (
              <label class="check">
                <input
                  type="checkbox"
                  checked={isDiscarding}
                  onChange={(event) => setIsDiscarding(event.currentTarget.checked)}
                />
                {text.discard}
              </label>
            )}
            <label>
              {text.serial}
              <input
                autocomplete="off"
                autocapitalize="none"
                spellcheck={false}
                aria-invalid={typed !== "" && !serial.startsWith(typed.trim())}
                value={typed}
                onInput={(event) => setTyped(event.currentTarget.value)}
              />
            </label>
          </>
        )}
        <p class="actions">
          <button type="submit" class="danger" disabled={!mayErase}>
            {counted ? text.confirm(counted.count) : text.open}
          </button>
          <button type="button" onClick={onCancel}>
            {words.app.cancel}
          </button>
        </p>
      </form>
    </Dialog>
  );
}

function WhatIsLost({ serial, count, at, lost }: Counted & { serial: string }) {
  if (count === 0) return <p>{text.empty}</p>;
  return (
    <>
      <p>{text.count(serial, at, count)}</p>
      <p class={lost?.length === 0 ? "good" : "alarm"}>
        {lost === null ? text.archiveUnknown : lost.length === 0 ? text.allArchived : text.lost(lost.length)}
      </p>
      {lost && lost.length > 0 && (
        <ul class="missing" aria-label={text.missing}>
          {lost.slice(0, MOST_NAMED).map((event) => (
            <li key={event.index}>{text.missingEvent(event.index, unitTime(event.timestamp))}</li>
          ))}
          {lost.length > MOST_NAMED && <li>{text.missingMore(lost.length - MOST_NAMED)}</li>}
        </ul>
      )}
    </>
  );
}

async function countedOf(unit: Unit, serial: string, signal: AbortSignal): Promise<Counted> {
  const { body } = await ask<Schemas["EventsOut"]>("GET", "/device/events", { query: { ...unit }, signal });
  const count = body.events.length;
  const at = body.provenance.conn_key;
  try {
    return { count, at, lost: unarchived(body.events, await archivedOf(serial)) };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    // The relay counts again before it erases; a relay without an archive has none of them.
    return { count, at, lost: error.kind === "no-archive" ? body.events : null };
  }
}
