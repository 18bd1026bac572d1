import type { Schemas } from "../api/client";
import { words } from "../words";
import { type Field, valueText } from "./fields";

const text = words.commands.settings;
type Change = Schemas["SettingChange"];

/** What differs, setting by setting, as a sentence each; the bytes are there for those who ask for them. */
export function Changes({ changes, fields }: { changes: readonly Change[]; fields: readonly Field[] }) {
  if (changes.length === 0) return null;
  return (
    <>
      <ul class="changes" aria-label={text.caption}>
        {changes.map((change) => {
          const field = fields.find((one) => one.name === change.field);
          return (
            <li key={change.field}>
              <b>{text.names[change.field] ?? change.field}</b>{" "}
              {text.fromTo(valueText(field, change.before), valueText(field, change.after))}
            </li>
          );
        })}
      </ul>
      <details>
        <summary>{text.changedBytes}</summary>
        <ul>
          {changes.flatMap((change) =>
            change.bytes.map((one) => (
              <li key={`${change.field} ${one.offset}`}>
                <code>
                  {one.offset}: {one.before} → {one.after}
                </code>
              </li>
            )),
          )}
        </ul>
      </details>
    </>
  );
}
