import { useId } from "preact/hooks";
import { words } from "../words";
import type { Field } from "./fields";

const text = words.commands.settings;

interface Props {
  field: Field;
  value: string;
  wrong: string | undefined;
  onEdit: (value: string) => void;
}

/** One setting, with what a unit takes for it. */
export function FieldInput({ field, value, wrong, onEdit }: Props) {
  const help = useId();
  const name = text.names[field.name] ?? field.name;
  const unit = "unit" in field ? field.unit : "";
  if (field.kind === "switch") {
    return (
      <label class="check">
        <input type="checkbox" checked={value === "true"} onChange={(event) => onEdit(String(event.currentTarget.checked))} />
        {name}
      </label>
    );
  }
  return (
    <label>
      {unit ? `${name}, ${unit}` : name}
      {field.kind === "choice" ? (
        <select value={value} onChange={(event) => onEdit(event.currentTarget.value)}>
          {!field.choices.some((choice) => String(choice) === value) && <option value={value}>{value || words.app.unknown}</option>}
          {field.choices.map((choice) => (
            <option key={choice} value={choice}>
              {words.unit.modes[choice] ?? `${choice} ${unit}`}
            </option>
          ))}
        </select>
      ) : (
        <input
          value={value}
          inputMode={field.kind === "number" ? "decimal" : "text"}
          autocomplete="off"
          aria-invalid={wrong !== undefined}
          aria-describedby={help}
          onInput={(event) => onEdit(event.currentTarget.value)}
        />
      )}
      {/* Heard as the description, not as a part of the name. */}
      <small id={help} aria-hidden="true" class={wrong ? "alarm" : undefined}>
        {wrong ?? helpOf(field)}
      </small>
    </label>
  );
}

function helpOf(field: Field): string {
  if (field.kind === "number") return text.range(String(field.low), String(field.high), field.unit);
  if (field.kind === "text") return text.ascii(field.most);
  return field.kind === "time" ? text.hhmm : "";
}
