import { useMemo, useState } from "preact/hooks";
import type { Schemas, Unit } from "../api/client";
import { command } from "../api/device";
import { fragment, look, viewOf } from "../route";
import { words } from "../words";
import { Changes } from "./Changes";
import { FieldInput } from "./FieldInput";
import { changeOf, type Edits, type Field, type Settings, shownOf } from "./fields";
import { useGiving } from "./giving";
import { OutcomeBox } from "./OutcomeBox";

const text = words.commands.settings;

interface Props {
  unit: Unit;
  serial: string;
  path: "/device/config" | "/device/call_home";
  fields: readonly Field[];
  /** Titles of groups, and the settings in them. */
  groups: readonly [title: string, names: readonly string[]][];
  current: Settings;
  /** Reads the settings anew. */
  onWritten: () => void;
}

/** Settings as a form: edit, preview at the unit, write what was previewed, see it read back. */
export function SettingsForm({ unit, serial, path, fields, groups, current, onWritten }: Props) {
  const { edits, setEdits } = useEdits(fields);
  const [previewed, setPreviewed] = useState<string | null>(null);
  const dryRun = useGiving<Schemas["WrittenOut"]>();
  const written = useGiving<Schemas["WrittenOut"]>();
  const change = changeOf(fields, current, edits);
  const isWrong = Object.keys(change.wrong).length > 0;
  const isEmpty = Object.keys(change.body).length === 0;
  const body = { ...change.body, serial };
  const serialized = JSON.stringify(body);

  const edit = (name: string, value: string): void => {
    setEdits({ ...edits, [name]: value });
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
      if (isAsWritten(done)) setEdits({});
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
      {groups.map(([title, names]) => (
        <fieldset class="fields" key={title}>
          <legend>{title}</legend>
          {fields
            .filter(({ name }) => names.includes(name))
            .map((field) => (
              <FieldInput
                key={field.name}
                field={field}
                value={shownOf(field, current, edits)}
                wrong={change.wrong[field.name]}
                onEdit={(value) => edit(field.name, value)}
              />
            ))}
        </fieldset>
      ))}
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
      <OutcomeBox of={written} onLook={onWritten} isReached={isAsWritten}>
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

/** Whether nothing but what was wanted differs at the unit now. */
const isAsWritten = (done: Schemas["WrittenOut"]): boolean => done.elsewhere_bytes === 0;

/** Edits that are not written yet: they stand in the address, so that they outlast a reload and a look elsewhere. */
function useEdits(fields: readonly Field[]): { edits: Edits; setEdits: (edits: Edits) => void } {
  const query = fragment.value.split("?")[1] ?? "";
  const edits = useMemo(() => {
    const view = viewOf(`?${query}`);
    const found = fields.map(({ name }) => [name, view.get(`set.${name}`)] as const);
    return Object.fromEntries(found.filter((one): one is readonly [string, string] => one[1] !== null));
  }, [query]);
  const [cleared, setCleared] = useState<Edits>({});
  return {
    // An empty text is an edit as well, and no parameter of an address.
    edits: { ...cleared, ...edits },
    setEdits: (next) => {
      setCleared(Object.fromEntries(Object.entries(next).filter(([, value]) => value === "")));
      look(Object.fromEntries(fields.map(({ name }) => [`set.${name}`, next[name] ?? ""])));
    },
  };
}
