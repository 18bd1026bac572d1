import type { Schemas } from "../api/client";
import { useResource } from "../data/resource";
import { Entries } from "../parts/Entries";
import { PageTitle } from "../parts/PageTitle";
import { Troubles } from "../parts/Trouble";
import { serverTime } from "../parts/time";
import { Waiting } from "../parts/Waiting";
import { words } from "../words";

const text = words.settings;
const PAGE = 200;

type Audit = Schemas["AuditOut"];

const PAGES = {
  next: (body: unknown) => {
    const { entries } = body as Audit;
    const last = entries.at(-1);
    return entries.length >= PAGE && last && last.number > 1 ? { before: last.number } : null;
  },
  merge: (before: unknown, next: unknown) => ({
    entries: [...(before as Audit).entries, ...(next as Audit).entries],
  }),
};

/** Who sent which command to which unit, the latest first. */
export function AuditPage() {
  const audit = useResource<Audit>({ path: "/audit", query: { limit: PAGE }, pages: PAGES });
  return (
    <>
      <PageTitle title={text.audit} />
      <Troubles of={[audit]} />
      <Waiting of={audit} />
      {audit.body && (
        <section class="block" aria-label={text.audit}>
          <Entries
            caption={text.audit}
            none={text.noCommands}
            heads={[text.number, text.at, text.who, text.unit, text.command, text.outcome]}
            entries={audit.body.entries.map(({ number, at, actor, role, unit, serial, command, outcome }) => ({
              key: number,
              cells: [
                number,
                serverTime(at),
                words.who.as(actor, role),
                serial ?? unit ?? "–",
                command,
                text.outcomes[outcome],
              ],
            }))}
          />
        </section>
      )}
      {audit.more && (
        <button type="button" onClick={audit.more}>
          {text.older}
        </button>
      )}
    </>
  );
}
