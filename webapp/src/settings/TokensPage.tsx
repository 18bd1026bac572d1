import type { Schemas } from "../api/client";
import { useResource } from "../data/resource";
import { Entries } from "../parts/Entries";
import { PageTitle } from "../parts/PageTitle";
import { Troubles } from "../parts/Trouble";
import { serverTime } from "../parts/time";
import { Waiting } from "../parts/Waiting";
import { words } from "../words";

const text = words.settings;

/** Who may use the relay, and for what; never a token itself. */
export function TokensPage() {
  const tokens = useResource<Schemas["TokensOut"]>({ path: "/tokens" });
  return (
    <>
      <PageTitle title={text.tokens} />
      <p>{text.tokensHow}</p>
      <Troubles of={[tokens]} />
      <Waiting of={tokens} />
      {tokens.body && (
        <section class="block" aria-label={text.tokens}>
          <Entries
            caption={text.tokens}
            none={text.noTokens}
            heads={[text.name, text.role, text.units, text.created, text.revoked]}
            entries={tokens.body.tokens.map(({ id, name, role, units, created_at, revoked_at }) => ({
              key: id,
              cells: [
                name,
                words.who.roles[role],
                units.map((unit) => (unit === "*" ? text.allUnits : unit)).join(", "),
                serverTime(created_at),
                revoked_at === null ? "–" : serverTime(revoked_at),
              ],
            }))}
          />
        </section>
      )}
    </>
  );
}
