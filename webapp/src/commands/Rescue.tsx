import { useState } from "preact/hooks";
import type { Schemas, Unit } from "../api/client";
import { command } from "../api/device";
import { words } from "../words";
import { Changes } from "./Changes";
import { CALL_HOME } from "./fields";
import { useGiving } from "./giving";
import { OutcomeBox } from "./OutcomeBox";

const text = words.commands.rescue;
const erasing = words.commands.erase;

/**
 * For a unit that dials home without end. It may answer nobody, so its serial number is typed and not read;
 * where it is known, it must be this.
 */
export function Rescue({ unit, serial, onRescued }: { unit: Unit; serial: string | null; onRescued: () => void }) {
  const [typed, setTyped] = useState("");
  const [isErasing, setIsErasing] = useState(false);
  const giving = useGiving<Schemas["RescueOut"]>();
  const name = typed.trim();
  const isOther = name !== "" && serial !== null && !serial.startsWith(name);
  const may = name !== "" && (serial === null || name === serial) && !giving.isGoing;
  const rescue = async (): Promise<void> => {
    await giving.give(() => command(unit, "/device/rescue", { serial: name, erase: isErasing }));
    setTyped("");
    setIsErasing(false);
    onRescued();
  };
  return (
    <section class="block" aria-labelledby="rescue">
      <h2 id="rescue">{text.title}</h2>
      <p>{text.intro}</p>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          if (may) void rescue();
        }}
      >
        <label class="check">
          <input type="checkbox" checked={isErasing} onChange={(event) => setIsErasing(event.currentTarget.checked)} />
          {text.erase}
        </label>
        <label>
          {erasing.serial}
          <input
            autocomplete="off"
            autocapitalize="none"
            spellcheck={false}
            aria-invalid={isOther}
            aria-describedby="rescue-wrong"
            value={typed}
            onInput={(event) => setTyped(event.currentTarget.value)}
          />
        </label>
        <p id="rescue-wrong" class="wrong">
          {isOther && erasing.serialDiffers}
        </p>
        <button type="submit" class="danger" disabled={!may}>
          {text.confirm}
        </button>
      </form>
      <OutcomeBox of={giving} onLook={onRescued}>
        {(done) => (
          <>
            <Changes changes={done.changes} fields={CALL_HOME} />
            {done.erased && <p>{text.erased}</p>}
          </>
        )}
      </OutcomeBox>
    </section>
  );
}
