import type { Schemas } from "../api/client";
import { Table } from "../parts/Table";
import { words } from "../words";
import type { Field } from "./fields";

const text = words.commands.settings;
type Change = Schemas["SettingChange"];

/** What differs, setting by setting, to the byte. */
export function Changes({ changes, fields }: { changes: readonly Change[]; fields: readonly Field[] }) {
  if (changes.length === 0) return null;
  const asText = (name: string, value: unknown): string => {
    if (value === null || value === undefined) return words.app.unknown;
    if (typeof value === "boolean") return value ? words.app.yes : words.app.no;
    const field = fields.find((one) => one.name === name);
    return `${words.unit.modes[String(value)] ?? String(value)} ${field && "unit" in field ? field.unit : ""}`.trim();
  };
  return (
    <Table caption={text.caption} heads={[text.field, text.before, text.after, text.changedBytes]}>
      {changes.map((change) => (
        <tr key={change.field}>
          <th scope="row">{text.names[change.field] ?? change.field}</th>
          <td>{asText(change.field, change.before)}</td>
          <td>{asText(change.field, change.after)}</td>
          <td>
            {change.bytes.map((one) => (
              <div key={one.offset}>
                <code>
                  {one.offset}: {one.before} → {one.after}
                </code>
              </div>
            ))}
          </td>
        </tr>
      ))}
    </Table>
  );
}
