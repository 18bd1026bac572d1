import type { ComponentChildren } from "preact";
import { Facts } from "./Facts";
import { Table } from "./Table";
import { isNarrow, isPrinting } from "./window";

export interface Entry {
  key: string | number;
  /** One for each head; the first names the entry. */
  cells: readonly [ComponentChildren, ...ComponentChildren[]];
  /** The button of the last column. */
  button?: ComponentChildren;
}

interface Props {
  /** What the table is, for who cannot see it. */
  caption: string;
  heads: readonly string[];
  action?: string | false;
  entries: readonly Entry[];
  /** What stands there when there are none. */
  none: string;
}

/** A table; on a phone, which is too narrow for its columns, each row is a block of names and values. */
export function Entries({ caption, heads, action = false, entries, none }: Props) {
  if (entries.length === 0) return <p class="faint">{none}</p>;
  if (isNarrow.value && !isPrinting.value) {
    return (
      <ul class="entries" aria-label={caption}>
        {entries.map(({ key, cells: [name, ...rest], button }) => (
          <li key={key}>
            <h2>
              <span class="faint">{heads[0]}</span> {name}
            </h2>
            <Facts facts={rest.map((cell, i) => [heads[i + 1]!, cell])} />
            {button}
          </li>
        ))}
      </ul>
    );
  }
  return (
    <Table caption={caption} heads={heads} action={action}>
      {entries.map(({ key, cells: [name, ...rest], button }) => (
        <tr key={key}>
          <th scope="row">{name}</th>
          {rest.map((cell, i) => (
            <td key={heads[i + 1]}>{cell}</td>
          ))}
          {button && <td>{button}</td>}
        </tr>
      ))}
    </Table>
  );
}
