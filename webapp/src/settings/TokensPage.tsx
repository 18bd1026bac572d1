import type { Schemas } from "../api/client";
import { useResource } from "../data/resource";
import { PageTitle } from "../parts/PageTitle";
import { Table } from "../parts/Table";
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
          <Table caption={text.tokens} heads={[text.name, text.role, text.units, text.created, text.revoked]}>
            {tokens.body.tokens.map(({ id, name, role, units, created_at, revoked_at }) => (
              <tr key={id}>
                <th scope="row">{name}</th>
                <td>{words.who.roles[role]}</td>
                <td>{units.map((unit) => (unit === "*" ? text.allUnits : unit)).join(", ")}</td>
                <td>{serverTime(created_at)}</td>
                <td>{revoked_at === null ? "–" : serverTime(revoked_at)}</td>
              </tr>
            ))}
          </Table>
        </section>
      )}
    </>
  );
}
