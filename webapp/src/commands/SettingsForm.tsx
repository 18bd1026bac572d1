import { useState } from "preact/hooks";
import type { Schemas, Unit } from "../api/client";
import { command } from "../api/device";
import { words } from "../words";
import { Changes } from "./Changes";
import { FieldInput } from "./FieldInput";
import { changeOf, shownOf, type Edits, type Field, type Settings } from "./fields";
import { useGiving } from "./giving";
import { OutcomeBox } from "./OutcomeBox";

const text = words.commands.settings;

interface Props {
  unit: Unit;
  serial: string;
  path: "/device/config" | "/device/call_home";
  fields: readonly Field[];
  current: Settings;
  /** Reads the settings anew. */
  onWritten: () => void;
}

/** Settings as a form: edit, preview at the unit, write what was previewed, see it read back. */
export function SettingsForm({ unit, serial, path, fields, current, onWritten }: Props) {
  const [edits, setEdits] = useState<Edits>({});
  const [previewed, setPreviewed] = useState<string | null>(null);
  const dryRun = useGiving<Schemas["WrittenOut"]>();
  const written = useGiving<Schemas["WrittenOut"]>();
  const change = changeOf(fields, current, edits);
  const isWrong = Object.keys(change.wrong).length > 0;
  const isEmpty = Object.keys(change.body).length === 0;
  const body = { ...change.body, serial };
  const serialized = JSON.stringify(body);

  const edit = (name: string, value: string): void => {
    setEdits((before) => ({ ...before, [name]: value }));
    written.clear();
  };
  const preview = async (): Promise<void> => {
    written.clear();
    const would = await dryRun.give(() => command(unit, path, body, { dry_run: true }));
    setPreviewed(would ? serialized : null);
  };
  const write = async (): Promise<void> => {
    dryRun.clear();
    setPreviewed(null);
    const done = await written.give(() => command(unit, path, body));
    if (done) {
      setEdits({});
      onWritten();
    }
  };
  const isPreviewed = previewed === serialized && dryRun.done !== null;
  return (
    <form
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (!isWrong && !isEmpty) void preview();
      }}
    >
      <div class="fields">
        {fields.map((field) => (
          <FieldInput
            key={field.name}
            field={field}
            value={shownOf(field, current, edits)}
            wrong={change.wrong[field.name]}
            onEdit={(value) => edit(field.name, value)}
          />
        ))}
      </div>
      <p class="actions">
        <button type="submit" disabled={isWrong || isEmpty || dryRun.isGoing || written.isGoing}>
          {text.preview}
        </button>
        <button
          type="button"
          class="main"
          disabled={!isPreviewed || dryRun.done?.outcome !== "dry_run" || written.isGoing}
          onClick={() => void write()}
        >
          {text.write}
        </button>
        <button type="button" class="quiet" disabled={Object.keys(edits).length === 0} onClick={() => setEdits({})}>
          {text.reset}
        </button>
        {isEmpty && !isWrong && <span class="faint">{text.none}</span>}
      </p>
      {(isPreviewed || dryRun.isGoing || dryRun.problem) && (
        <OutcomeBox of={dryRun}>{(would) => <Changes changes={would.changes} fields={fields} />}</OutcomeBox>
      )}
      <OutcomeBox of={written} onLook={onWritten}>
        {(done) => (
          <>
            <Changes changes={done.changes} fields={fields} />
            {done.elsewhere_bytes > 0 ? (
              <p class="alarm">{text.elsewhere(done.elsewhere_bytes)}</p>
            ) : (
              done.outcome === "done" && <p>{text.readBack}</p>
            )}
          </>
        )}
      </OutcomeBox>
    </form>
  );
}
