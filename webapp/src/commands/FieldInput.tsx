import { useId } from "preact/hooks";
import { MeasureInput } from "../parts/MeasureInput";
import { words } from "../words";
import { choiceText, type Field, measureOf, rangeText, unitName } from "./fields";

const text = words.commands.settings;

interface Props {
  field: Field;
  value: string;
  wrong: string | undefined;
  onEdit: (value: string) => void;
}

/** One setting, with what a unit takes for it, in the chosen unit of measure. */
export function FieldInput({ field, value, wrong, onEdit }: Props) {
  const help = useId();
  const name = text.names[field.name] ?? field.name;
  if (field.kind === "switch") {
    return (
      <label class="check">
        <input
          type="checkbox"
          checked={value === "true"}
          onChange={(event) => onEdit(String(event.currentTarget.checked))}
        />
        {name}
      </label>
    );
  }
  const unit = unitName(field);
  const measure = measureOf(field);
  return (
    <label>
      {unit && field.kind !== "choice" ? `${name}, ${unit}` : name}
      {field.kind === "choice" ? (
        <select value={value} onChange={(event) => onEdit(event.currentTarget.value)}>
          {!field.choices.some((choice) => String(choice) === value) && (
            <option value={value}>{value || words.app.unknown}</option>
          )}
          {field.choices.map((choice) => (
            <option key={choice} value={choice}>
              {choiceText(field, choice)}
            </option>
          ))}
        </select>
      ) : measure ? (
        <MeasureInput
          measure={measure}
          value={value}
          onValue={onEdit}
          isWrong={wrong !== undefined}
          describedBy={help}
        />
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
      <small id={help} aria-hidden="true">
        {helpOf(field)} {wrong && <strong class="alarm">{wrong}</strong>}
      </small>
    </label>
  );
}

function helpOf(field: Field): string {
  if (field.kind === "number") return rangeText(field);
  if (field.kind === "text") return text.ascii(field.most);
  return field.kind === "time" ? text.hhmm : "";
}
